"""Reaching the host over a real sshd: whom we trust, who lets us in, and what stays secret on the way."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.deployment import Deployment, tree
from tests.sshd import Sshd, make_key, sshd_for_tests

NOISE = """#!/bin/sh
printf 'Welcome!\\nlast login: never\\n'
head -c 100000 /dev/zero | tr '\\000' x
head -c 100000 /dev/zero | tr '\\000' e >&2
printf 'and no line break'
exec sh -c "$SSH_ORIGINAL_COMMAND"
"""


@pytest.fixture
def remote(tmp_path: Path, sshd: Sshd) -> Deployment:
    """A site that deploys over that server."""
    site = Deployment(tmp_path, sshd=sshd)
    site.files(index="old")
    return site


def fingerprint(public_key: str, directory: Path) -> str:
    """As ssh-keygen shows it."""
    file = directory / "shown.pub"
    file.write_text(public_key + "\n")
    return subprocess.run(["ssh-keygen", "-lf", file], check=True, capture_output=True, text=True).stdout.split()[1]


def test_a_whole_life_over_ssh(remote: Deployment, sshd: Sshd) -> None:
    """Deploy, nothing to do, deploy again, look, go back: each over one connection."""
    assert remote.deploy()["hosts"] == [f"{sshd.user}@127.0.0.1:{sshd.port}"]
    assert remote.deploy()["status"] == "unchanged"
    remote.files(index="new", page="x")
    assert remote.deploy()["status"] == "deployed"
    assert remote.served() == tree(remote.source)
    assert remote.answer("rollback")["status"] == "rolled_back"
    assert remote.text("index.html") == "old"
    assert len(remote.answer("releases")["releases"]) == 2
    assert remote.is_unlocked()
    assert sshd.log.read_text().count("Accepted publickey") == 5


@pytest.mark.parametrize("command", ["run", "plan", "status", "rollback"])
def test_a_wrong_host_key_is_refused(remote: Deployment, sshd: Sshd, command: str, tmp_path: Path) -> None:
    """Another key than the pinned one: exit 4 with both fingerprints; no login is tried and nothing is sent."""
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text().strip()
    pinned = f"[127.0.0.1]:{sshd.port} {' '.join(other.split()[:2])}"
    remote.host["host_key"] = [pinned]

    said = remote.command(command, "--json").failed(4, "not the pinned one", fingerprint(other, tmp_path))

    assert fingerprint(sshd.public("ed25519"), tmp_path) in said
    assert list(remote.parent.iterdir()) == []
    assert "Accepted" not in sshd.log.read_text()


def test_an_unknown_host_key_is_refused_with_the_line_to_pin(remote: Deployment, sshd: Sshd, tmp_path: Path) -> None:
    """Nothing known of the host: exit 4, the fingerprint seen, and the line to add, which then works."""
    remote.host["host_key"] = []

    said = remote.command("run").failed(4, "is not known", "ssh-keygen -lf")
    line = next(line.strip() for line in said.splitlines() if line.strip().startswith("[127.0.0.1]"))
    assert fingerprint(" ".join(line.split()[1:]), tmp_path) in said
    assert "Accepted" not in sshd.log.read_text()

    remote.host["host_key"] = [line]
    assert remote.deploy()["status"] == "deployed"


def test_a_key_that_the_host_does_not_know_is_refused(remote: Deployment, tmp_path: Path) -> None:
    """A login that is refused: exit 4, the user, the key's fingerprint and what to put where; never the key itself."""
    stranger = make_key(tmp_path / "stranger")
    remote.host["key"] = str(stranger)

    said = remote.command("run", "--json").failed(4, "refused the login", "authorized_keys")

    assert fingerprint(stranger.with_suffix(".pub").read_text().strip(), tmp_path) in said
    assert stranger.read_text().splitlines()[1] not in said
    assert list(remote.parent.iterdir()) == []


def test_nobody_listening_is_exit_4(remote: Deployment, sshd: Sshd) -> None:
    """A server that is down: exit 4 within the connect time-out, with the address."""
    sshd.stop()
    remote.host["connect_timeout"] = 1

    remote.command("run", "--json").failed(4, "127.0.0.1", str(sshd.port))

    sshd.start()
    remote.host["connect_timeout"] = 30
    assert remote.deploy()["status"] == "deployed"


def test_noise_on_the_channel_is_passed_over(tmp_path: Path) -> None:
    """A forced command that greets with 100 kB on both streams, the last line without an end, changes nothing."""
    noisy = tmp_path / "noisy"
    noisy.write_text(NOISE)
    noisy.chmod(0o755)
    with sshd_for_tests(tmp_path, options=f'command="{noisy}"') as server:
        site = Deployment(tmp_path, sshd=server)
        for version in ("old", "new"):
            site.files(index=version)
            assert site.deploy()["status"] == "deployed"

        assert site.served() == tree(site.source)
        assert site.answer("rollback")["status"] == "rolled_back"


def test_an_account_without_a_shell_is_reported(tmp_path: Path) -> None:
    """An account that may not run commands: its words are in the one message."""
    with sshd_for_tests(tmp_path, options='command="echo This account is closed >&2; exit 1"') as server:
        site = Deployment(tmp_path, sshd=server)
        site.files(index="x")

        ended = site.run()

        ended.failed(ended.code, "This account is closed")
        assert ended.code in (1, 4)


def test_the_key_in_the_variable_stays_secret(remote: Deployment, sshd: Sshd) -> None:
    """A key in DEPLOYER_KEY logs in, and is neither in the build's environment nor in any output, journal or log."""
    key = sshd.key_file.read_text()
    lines = [line for line in key.splitlines() if line and not line.startswith("-----")]
    del remote.host["key"]
    remote.static["build"] = "env; tr '\\000' '\\n' <\"/proc/$PPID/cmdline\"; ps -ef || true"

    ended = remote.command("run", "--json", "--verbose", variables={"DEPLOYER_KEY": key})

    assert ended.code == 0, ended.err
    told = [ended.out, ended.err]
    assert "PATH=" in ended.err
    told += [path.read_text("utf-8", "replace") for path in remote.state.rglob("*") if path.is_file()]
    told += [remote.command("logs", "--json", variables={"DEPLOYER_KEY": key}).out]
    for text in told:
        assert "DEPLOYER_KEY" not in text
        assert not [line for line in lines if line in text]


def test_a_key_in_the_variable_that_is_broken_is_not_printed(remote: Deployment, sshd: Sshd) -> None:
    """A key that was cut off: exit 2 and what is wrong, without a byte of it, even where tracebacks are wanted."""
    key = sshd.key_file.read_text()
    lines = key.splitlines()
    del remote.host["key"]

    for broken in ("\n".join(lines[:3]), key.replace(lines[2], lines[2][:-9])):
        ended = remote.command("run", "--verbose", variables={"DEPLOYER_KEY": broken})
        assert ended.code == 2, ended.err
        assert "DEPLOYER_KEY" in ended.err
        assert not [line for line in lines[1:-1] if line[:20] in ended.err]


def test_the_hosts_program_shows_no_secrets(remote: Deployment, sshd: Sshd) -> None:
    """What other users of the host see in its process list is the one constant command, nothing of the deploy's."""
    remote.static["build"] = ""
    seen = remote.directory / "seen"
    wrapper = remote.directory / "wrapper"
    wrapper.write_text(
        f'#!/bin/sh\nprintf "%s" "$SSH_ORIGINAL_COMMAND" >"{seen}"\nenv >>"{seen}.env"\nexec sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    wrapper.chmod(0o755)
    sshd.authorized_keys.write_text("")
    sshd.authorize(sshd.key_file, f'command="{wrapper}"')

    remote.deploy()

    assert seen.read_text() == """sh -c 'IFS= read -r s && eval "$(printf %b "$s")"'"""
    assert "DEPLOYER" not in Path(f"{seen}.env").read_text()
    assert str(remote.target) not in seen.read_text()
