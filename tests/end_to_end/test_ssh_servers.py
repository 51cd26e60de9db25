"""Whole deploys over real sshds as people set them up: jump hosts, agents, limits, and keys held to one command."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployer.command import REMOTE_COMMAND
from tests.agent import Agent
from tests.end_to_end.deployment import Deployment, Ran, tree
from tests.end_to_end.processes import send
from tests.end_to_end.site import wait_until
from tests.integration.ssh_visits import occupy, settles
from tests.relay import Relay
from tests.sshd import Sshd, make_key, sshd_for_tests

DOCS = Path(__file__).resolve().parents[2] / "docs" / "ssh.md"


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """The host."""
    with sshd_for_tests(tmp_path) as server:
        yield server


@pytest.fixture
def jump(tmp_path: Path, sshd: Sshd) -> Iterator[Sshd]:
    """A server on the way, where the host's key logs in, too, and may do nothing but go on."""
    with sshd_for_tests(tmp_path) as server:
        server.authorize(sshd.key_file, f'restrict,port-forwarding,permitopen="127.0.0.1:{sshd.port}",command="false"')
        yield server


@pytest.fixture
def site(tmp_path: Path, sshd: Sshd) -> Deployment:
    """A site that deploys straight to the host."""
    site = Deployment(tmp_path, sshd=sshd)
    site.files(index="old")
    return site


def go_through(site: Deployment, *way: Sshd, host: Sshd, first_port: int = 0) -> None:
    """Make the site deploy to the host through these; ``first_port`` is a relay's in front of the first."""
    ports = [server.port for server in way]
    ports[0] = first_port or ports[0]
    site.host["jump"] = ",".join(f"{host.user}@127.0.0.1:{port}" for port in ports)
    pins = [server.pin(port=port) for server, port in zip(way, ports, strict=True)]
    site.host["host_key"] = [*pins, host.pin()]


def lives(site: Deployment) -> None:
    """Check that a whole life works: deploy, again, back."""
    site.deploy()
    site.files(index="new")
    assert site.deploy()["status"] == "deployed"
    assert site.served() == tree(site.source)
    assert site.answer("rollback")["status"] == "rolled_back"
    assert site.text("index.html") == "old"
    assert site.is_unlocked()


def test_a_whole_life_behind_two_jump_hosts(site: Deployment, sshd: Sshd, jump: Sshd, tmp_path: Path) -> None:
    """Each connection is one login on every server; the host is called what it is called without them."""
    with sshd_for_tests(tmp_path) as first:
        first.authorize(sshd.key_file)
        go_through(site, first, jump, host=sshd)

        lives(site)
        answer = site.deploy()

        assert answer["hosts"] == [f"{sshd.user}@127.0.0.1:{sshd.port}"]
        assert [server.log.read_text().count("Accepted publickey") for server in (first, jump, sshd)] == [4, 4, 4]


def test_an_unknown_jump_host_is_exit_4(site: Deployment, sshd: Sshd, jump: Sshd) -> None:
    """With the line that, pinned, makes it work."""
    go_through(site, jump, host=sshd)
    site.host["host_key"] = [sshd.pin()]

    said = site.run().failed(4, f"the host key of jump host 127.0.0.1:{jump.port} is not known", "ssh-keygen -lf")

    line = next(line.strip() for line in said.splitlines() if line.strip().startswith("[127.0.0.1]"))
    site.host["host_key"] = [sshd.pin(), line]
    assert site.deploy()["status"] == "deployed"


def test_a_jump_host_that_does_not_forward_is_exit_4(site: Deployment, sshd: Sshd, tmp_path: Path) -> None:
    """The message names it and the settings that say so."""
    with sshd_for_tests(tmp_path, config=("AllowTcpForwarding no",)) as closed:
        closed.authorize(sshd.key_file)
        go_through(site, closed, host=sshd)
        site.run().failed(4, f"jump host {closed.user}@127.0.0.1:{closed.port} does not let", "AllowTcpForwarding")


def test_a_jump_host_that_dies_during_the_upload(site: Deployment, sshd: Sshd, jump: Sshd) -> None:
    """The message names it, the old release serves, and the next run needs no repair."""
    go_through(site, jump, host=sshd)
    site.deploy()
    site.write("big.bin", os.urandom(12_000_000))
    ended: list[Ran] = []
    with Relay(to=jump.port, rtt=0.001, rate=8) as relay:
        go_through(site, jump, host=sshd, first_port=relay.port)
        deploying = threading.Thread(target=lambda: ended.append(site.run()))
        deploying.start()
        # In the middle: the file needs twelve seconds.
        assert settles(lambda: relay.traffic().sent > 1_000_000, 60)
        for pid in jump.sessions():
            send(pid, signal.SIGKILL)
        deploying.join()

        ended[0].failed(1, "broke", f"jump host {sshd.user}@127.0.0.1:{relay.port}")
        assert site.text("index.html") == "old"
        assert not (site.target / "big.bin").exists()
    go_through(site, jump, host=sshd)
    assert site.deploy()["status"] == "deployed"
    assert site.served() == tree(site.source)


def test_an_agents_key_deploys(site: Deployment, sshd: Sshd, jump: Sshd, tmp_path: Path) -> None:
    """One that had a passphrase, which only the agent was told; it opens the jump host, too."""
    key = make_key(tmp_path / "locked", passphrase="open sesame")
    for server in (sshd, jump):
        server.authorize(key)
    go_through(site, jump, host=sshd)
    del site.host["key"]
    with Agent(tmp_path) as agent:
        agent.take(make_key(tmp_path / "other", "ecdsa"))
        agent.take(key, "open sesame")
        site.variables |= agent.variables
        lives(site)
    site.run().failed(2, "no key to log in with")


def test_the_users_own_key_deploys(site: Deployment, sshd: Sshd) -> None:
    """Nothing configured and no agent: what lies in ~/.ssh."""
    (site.home / ".ssh").mkdir()
    sshd.authorize(make_key(site.home / ".ssh" / "id_ed25519"))
    del site.host["key"]
    assert site.deploy()["status"] == "deployed"


def test_one_session_is_enough(tmp_path: Path) -> None:
    """`MaxSessions 1`, no terminal, no forwarding, no SFTP."""
    config = ("MaxSessions 1", "PermitTTY no", "DisableForwarding yes", "MaxAuthTries 1")
    with sshd_for_tests(tmp_path, config=config) as server:
        site = Deployment(tmp_path, sshd=server)
        site.files(index="old")
        assert site.deploy()["status"] == "deployed"


def test_a_server_that_turns_visitors_away_is_tried_again(tmp_path: Path) -> None:
    """`MaxStartups 1:100:1`: while another is logging in, everybody is sent away; the deploy waits its turn."""
    with sshd_for_tests(tmp_path, config=("MaxStartups 1:100:1",)) as server:
        site = Deployment(tmp_path, sshd=server)
        site.files(index="old")
        with occupy(server):
            site.host["connect_timeout"] = 1
            site.run().failed(4, "hung up without the greeting of an SSH server", "Exceeded MaxStartups")
        with Relay(server.port, rtt=0) as relay, occupy(server) as other:
            site.host |= {"port": relay.port, "host_key": [server.pin(port=relay.port)], "connect_timeout": 60}

            def leave_when_it_comes_again() -> None:
                wait_until(lambda: relay.traffic().connections > 1, 60)
                other.close()

            leaving = threading.Thread(target=leave_when_it_comes_again, daemon=True)
            leaving.start()
            assert site.deploy()["status"] == "deployed"
            leaving.join()
            assert relay.traffic().connections > 1


def test_a_key_that_is_held_to_the_one_command_deploys(site: Deployment, sshd: Sshd, tmp_path: Path) -> None:
    """By the wrapper that the documentation shows: it compares the whole line, and lets nothing else in."""
    wrapper = tmp_path / "only-deployer"
    wrapper.write_text(DOCS.read_text("utf-8").partition("```sh\n")[2].partition("```\n")[0])
    wrapper.chmod(0o755)
    sshd.authorized_keys.write_text("")
    sshd.authorize(sshd.key_file, f'restrict,command="{wrapper}"')

    lives(site)

    for command in ("id", f"{REMOTE_COMMAND}; id", "", f" {REMOTE_COMMAND}"):
        asked = subprocess.run(
            [wrapper], env={"SSH_ORIGINAL_COMMAND": command}, input=b"id\n", capture_output=True, check=False
        )
        assert (asked.returncode, asked.stdout) == (1, b"")
        assert b"for deployer only" in asked.stderr


def test_a_key_whose_command_is_the_one_line_itself_deploys(site: Deployment, sshd: Sshd) -> None:
    """Without a wrapper: the line in authorized_keys, its quotes escaped as sshd wants them."""
    sshd.authorized_keys.write_text("")
    sshd.authorize(sshd.key_file, 'restrict,command="{}"'.format(REMOTE_COMMAND.replace('"', '\\"')))
    assert site.deploy()["status"] == "deployed"
