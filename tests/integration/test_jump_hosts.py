"""Through other servers to the host: real sshds in a row, each checked, each logged in to, and each able to fail."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deployer.command import encode_program
from deployer.errors import ConnectionLost, ConnectionRefused, InvalidInput
from deployer.plan import Effect, Request
from deployer.ports import Channel
from deployer.transports.conversation import Conversation
from deployer.transports.ssh import Jump, SshSettings, open_channel
from tests.attempts import ATTEMPTS, least
from tests.integration.ssh_visits import (
    CountingClock,
    echo,
    flowing,
    held,
    new_sessions,
    occupy,
    settles,
    turns_to,
    vacate,
)
from tests.relay import Relay
from tests.sshd import Sshd, make_key, sshd_for_tests


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one key that logs in everywhere."""
    with sshd_for_tests(tmp_path_factory.mktemp("key")) as server:
        return server.key_file


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, key_file: Path) -> Iterator[tuple[Sshd, Sshd, Sshd]]:
    """Two jump hosts and a host."""
    directory = tmp_path_factory.mktemp("servers")
    with sshd_for_tests(directory) as first, sshd_for_tests(directory) as second, sshd_for_tests(directory) as host:
        for server in (first, second, host):
            server.authorize(key_file)
        yield first, second, host


@pytest.fixture
def server(tmp_path: Path, key_file: Path) -> Iterator[Callable[..., Sshd]]:
    """A function that starts one more server that the key may log in to."""
    started: list[Sshd] = []

    def start(options: str = "", **changes: object) -> Sshd:
        started.append(sshd_for_tests(tmp_path, **changes))
        started[-1].authorized_keys.write_text("")
        started[-1].authorize(key_file, options)
        return started[-1]

    yield start
    for each in started:
        each.stop()


def through(*way: Sshd | Relay, key: Path, **changes: object) -> SshSettings:
    """Settings for a way through servers, or relays in front of them (whose servers' keys are then to be given)."""
    user = next(server.user for server in way if isinstance(server, Sshd))
    settings = SshSettings(
        "127.0.0.1",
        way[-1].port,
        user,
        key_file=key,
        host_keys=tuple(server.pin() for server in way if isinstance(server, Sshd)),
        connect_timeout=60,
        command_timeout=60,
        jumps=tuple(Jump("127.0.0.1", server.port, user) for server in way[:-1]),
    )
    return replace(settings, **changes)  # type: ignore[arg-type]


def refused(settings: SshSettings, clock: CountingClock | None = None) -> ConnectionRefused:
    """The error of a connection that must fail, which leaves no connection to any server open."""
    before = held()
    with pytest.raises(ConnectionRefused) as caught:
        open_channel(settings, clock)
    assert caught.value.exit_code == 4
    assert settles(lambda: held() <= before)
    return caught.value


def refused_in_the_end(settings: SshSettings, said: str) -> str:
    """The message of a connection that must fail; while that is another, the jump host itself may have been too slow."""
    for _ in range(ATTEMPTS):
        message = refused(settings).message
        if message.endswith(said):
            break
    return message


def send_all(channel: Channel, data: bytes) -> None:
    channel.send(data)
    channel.end_input()


def logins(server: Sshd) -> int:
    return server.log.read_text().count("Accepted publickey")


def kill_sessions(server: Sshd, before: set[int]) -> None:
    for pid in set(server.sessions()) - before:
        os.kill(pid, signal.SIGKILL)


# --- the way there -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jumps", [1, 2])
def test_a_program_runs_behind_jump_hosts(jumps: int, servers: tuple[Sshd, ...], key_file: Path) -> None:
    """Each server on the way is logged in to once, with the same key, and the host sees the last jump host's address."""
    way = servers[-1 - jumps :]
    before = [logins(server) for server in servers]
    assert echo(through(*way, key=key_file), "cat", b"data\n") == b"data\n"
    passed = [logins(server) - count for server, count in zip(servers, before, strict=True)]
    assert passed == [0] * (2 - jumps) + [1] * (jumps + 1)


def test_much_data_passes_in_both_directions(server: Callable[..., Sshd], key_file: Path) -> None:
    """Twenty megabytes there and back, through key exchanges in the middle of it on every connection."""
    strict = [server(config=("RekeyLimit 3M",)) for _ in range(3)]
    data = os.urandom(1 << 20) * 20
    channel = open_channel(through(*strict, key=key_file))
    try:
        channel.send(encode_program("exec cat"))
        sender = threading.Thread(target=send_all, args=(channel, data))
        sender.start()
        assert b"".join(iter(channel.receive, b"")) == data
        sender.join()
    finally:
        channel.close()


def test_a_jump_host_costs_three_round_trips(servers: tuple[Sshd, ...], key_file: Path) -> None:
    """Banners, key exchange, login: the tunnel is opened with the login before. `ssh -J` takes seven more than `ssh`."""
    _, jump, host = servers

    def settings(relay: Relay) -> SshSettings:
        return through(relay, host, key=key_file, host_keys=(jump.pin(port=relay.port), host.pin()))

    most = 2 * (5 + 3) + 1  # TCP's own is not among them; the banners may cross each other or not
    assert least(lambda: turns_to(jump, settings), enough=most) <= most


# --- the servers' keys -------------------------------------------------------------------------------------------------


def test_an_unknown_jump_host_is_refused(servers: tuple[Sshd, ...], key_file: Path) -> None:
    """Before any login: it says that it is the jump host, and which line would pin it; the next one says so in its turn."""
    first, second, host = servers
    settings = through(first, second, host, key=key_file, host_keys=(host.pin(),))
    before = logins(first)
    error = refused(settings)
    assert (
        f"the host key of jump host 127.0.0.1:{first.port} is not known: it shows ssh-ed25519 SHA256:" in error.message
    )
    assert logins(first) == before
    line = error.hint.splitlines()[-1].strip()
    assert line == first.pin()

    error = refused(replace(settings, host_keys=(host.pin(), line)))
    behind = f"jump host 127.0.0.1:{second.port} through 127.0.0.1:{first.port}"
    assert f"the host key of {behind} is not known: it shows ssh-ed25519 SHA256:" in error.message
    line = error.hint.splitlines()[-1].strip()
    assert echo(replace(settings, host_keys=(host.pin(), first.pin(), line))) == b"in\n"


def test_a_jump_host_with_another_key_is_refused(servers: tuple[Sshd, ...], key_file: Path, tmp_path: Path) -> None:
    """Nothing is sent that tells who we are, and nobody tries again."""
    first, _, host = servers
    wrong = make_key(tmp_path / "wrong").with_suffix(".pub").read_text()
    before, clock = logins(first), CountingClock()
    settings = through(first, host, key=key_file, host_keys=(f"[127.0.0.1]:{first.port} {wrong}", host.pin()))
    error = refused(settings, clock)
    assert f"the host key of jump host 127.0.0.1:{first.port} is not the pinned one" in error.message
    assert (logins(first), clock.pauses) == (before, [])


def test_a_host_with_another_key_behind_a_jump_host_is_refused(
    servers: tuple[Sshd, ...], key_file: Path, tmp_path: Path
) -> None:
    """The jump host itself could stand in for the host: it is trusted for nothing but carrying bytes."""
    first, _, host = servers
    wrong = make_key(tmp_path / "wrong").with_suffix(".pub").read_text()
    before = logins(host)
    settings = through(first, host, key=key_file, host_keys=(first.pin(), f"[127.0.0.1]:{host.port} {wrong}"))
    error = refused(settings)
    name = f"127.0.0.1:{host.port} through 127.0.0.1:{first.port}"
    assert f"the host key of {name} is not the pinned one" in error.message
    assert logins(host) == before


def test_a_bare_key_does_not_say_whose_it_is(servers: tuple[Sshd, ...], key_file: Path, tmp_path: Path) -> None:
    """With a jump host, a key without an address is wrong input, in a text and in a named file; nobody is called."""
    first, _, host = servers
    known = tmp_path / "known_hosts"
    known.write_text(f"{first.pin()}\n{host.public()}\n")
    settings = through(first, host, key=key_file, host_keys=(first.pin(), host.public()))
    with pytest.raises(InvalidInput, match="host key 2, line 1 is a bare key") as caught:
        open_channel(settings)
    assert "Put the address in front of it" in caught.value.hint
    with pytest.raises(InvalidInput, match="known_hosts:2 is a bare key"):
        open_channel(replace(settings, host_keys=(), known_hosts=known))


def test_known_hosts_count_for_jump_hosts_too(servers: tuple[Sshd, ...], key_file: Path, tmp_path: Path) -> None:
    """One file with the lines of all servers."""
    known = tmp_path / "known_hosts"
    known.write_text("".join(f"{server.pin('ecdsa')}\n" for server in servers))
    assert echo(through(*servers, key=key_file, host_keys=(), known_hosts=known)) == b"in\n"


# --- which of them refuses ---------------------------------------------------------------------------------------------


def test_the_server_that_refuses_the_login_is_named(servers: tuple[Sshd, ...], key_file: Path) -> None:
    """A jump host as such, and the host with the way to it."""
    first, _, host = servers
    settings = through(first, host, key=key_file)
    error = refused(replace(settings, jumps=(Jump("127.0.0.1", first.port, "no-such-user"),)))
    assert error.message.startswith(f"jump host no-such-user@127.0.0.1:{first.port} refused the login")
    assert "Is 'no-such-user' the right user?" in error.hint
    error = refused(replace(settings, user="no-such-user"))
    name = f"no-such-user@127.0.0.1:{host.port} through 127.0.0.1:{first.port}"
    assert error.message.startswith(f"{name} refused the login")


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (("AllowTcpForwarding no",), ""),
        (("AllowTcpForwarding remote",), ""),
        (("PermitOpen example.org:22",), ""),
        (("DisableForwarding yes",), ""),
        ((), "restrict"),
    ],
)
def test_a_jump_host_that_does_not_forward_is_named(
    config: tuple[str, ...], options: str, server: Callable[..., Sshd], servers: tuple[Sshd, ...], key_file: Path
) -> None:
    """With the settings to look at; not tried again."""
    jump, clock = server(config=config, options=options), CountingClock()
    error = refused(through(jump, servers[-1], key=key_file), clock)
    name = f"jump host {jump.user}@127.0.0.1:{jump.port}"
    assert error.message.startswith(f"{name} does not let this user through to 127.0.0.1:{servers[-1].port}: ")
    for word in ("AllowTcpForwarding", "PermitOpen", "port-forwarding"):
        assert word in error.hint
    assert clock.pauses == []


def test_a_key_may_be_restricted_to_forwarding(
    server: Callable[..., Sshd], servers: tuple[Sshd, ...], key_file: Path
) -> None:
    """On a jump host, a key needs neither commands nor anything else."""
    jump = server(options=f'restrict,port-forwarding,permitopen="127.0.0.1:{servers[-1].port}",command="false"')
    assert echo(through(jump, servers[-1], key=key_file)) == b"in\n"


def test_a_jump_host_that_is_down_is_named(
    servers: tuple[Sshd, ...], server: Callable[..., Sshd], key_file: Path
) -> None:
    """By the setting that holds it."""
    jump = server()
    settings = through(jump, servers[-1], key=key_file)
    jump.stop()
    clock = CountingClock()
    error = refused(settings, clock)
    assert f"nothing listens at 127.0.0.1:{jump.port}" in error.message
    assert "host.jump" in error.hint
    assert len(clock.pauses) == 3
    jump.start()


def test_a_host_that_is_down_behind_a_jump_host_is_tried_again(
    servers: tuple[Sshd, ...], server: Callable[..., Sshd], key_file: Path
) -> None:
    """With growing pauses and the jump host's words; when it comes up in time, all is well."""
    host = server()
    settings = through(*servers[:2], host, key=key_file)
    host.stop()
    clock = CountingClock()
    error = refused(settings, clock)
    jump = f"jump host {servers[1].user}@127.0.0.1:{servers[1].port} through 127.0.0.1:{servers[0].port}"
    assert error.message == f"{jump} cannot reach 127.0.0.1:{host.port}: Connection refused"
    assert clock.pauses == [0.25, 0.5, 1.0]

    clock = CountingClock(during=host.start)
    open_channel(settings, clock).close()
    assert clock.pauses == [0.25]


def test_a_name_that_the_jump_host_does_not_know_is_its_error(servers: tuple[Sshd, ...], key_file: Path) -> None:
    """Names behind a jump host are looked up there, never here."""
    settings = through(servers[0], servers[2], key=key_file, host_keys=(servers[0].pin(),))
    error = refused(replace(settings, address="nowhere.invalid", port=22), CountingClock())
    assert f"127.0.0.1:{servers[0].port} cannot reach nowhere.invalid:22: " in error.message


def test_too_many_visitors_behind_a_jump_host_are_waited_for(
    servers: tuple[Sshd, ...], server: Callable[..., Sshd], key_file: Path
) -> None:
    """A real MaxStartups: the host hangs up while another is logging in, and lets us in afterwards."""
    host = server(config=("MaxStartups 1:100:1",))
    other = occupy(host)
    clock = CountingClock(during=lambda: vacate(host, other))
    open_channel(through(servers[0], host, key=key_file), clock).close()
    assert clock.pauses


def test_a_host_that_says_nothing_behind_a_jump_host_ends_by_the_time_out(
    servers: tuple[Sshd, ...], key_file: Path
) -> None:
    """Whether its port takes connections without a word, or packets are dropped on the way from the jump host."""
    settings = through(servers[0], servers[2], key=key_file, host_keys=(servers[0].pin(),), connect_timeout=1)
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        name = f"{servers[0].user}@127.0.0.1:{port} through 127.0.0.1:{servers[0].port}"
        said = f"{name} hung up without the greeting of an SSH server"
        assert refused_in_the_end(replace(settings, port=port), said) == said
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(full.getsockname())
        port = full.getsockname()[1]
        said = f":{servers[0].port} did not reach 127.0.0.1:{port} within 1 s"
        assert refused_in_the_end(replace(settings, port=port), said).endswith(said)
        for filler in fillers:
            filler.close()
    assert time.monotonic() - began < 60  # the one never speaks, the other is given up by TCP after two minutes


# --- when it breaks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dying", [0, 1, 2])
def test_a_connection_that_dies_is_named(dying: int, servers: tuple[Sshd, ...], key_file: Path) -> None:
    """The first jump host's, the second's, the host's: the reader is told at once, and nothing stays open."""
    before, sessions = held(), [set(server.sessions()) for server in servers]
    channel = open_channel(through(*servers, key=key_file))
    channel.send(encode_program("echo in; exec cat"))
    assert channel.receive() == b"in\n"
    began = time.monotonic()
    kill_sessions(servers[dying], sessions[dying])
    roles = [f"jump host {server.user}@127.0.0.1:{server.port}" for server in servers[:2]] + [f"{servers[2].user}@"]
    with pytest.raises(ConnectionError, match=rf"^the connection to {roles[dying]}.* ended$"):
        channel.receive()
    channel.close()
    assert time.monotonic() - began < 20  # the time-out is a minute
    assert settles(lambda: held() <= before)
    assert settles(lambda: not new_sessions(sessions, servers))


def test_a_jump_host_that_dies_is_a_lost_connection(servers: tuple[Sshd, ...], key_file: Path) -> None:
    """In the middle of a deploy: the class of error that says that the host undoes by itself."""
    sessions = set(servers[1].sessions())
    channel = open_channel(through(*servers, key=key_file))
    conversation = Conversation(channel, "echo in; exec cat >/dev/null", "deploy@example.org")
    threading.Timer(0.3, kill_sessions, (servers[1], sessions)).start()
    with pytest.raises(
        ConnectionLost, match=rf"broke: the connection to jump host .*:{servers[1].port} through .* ended"
    ):
        conversation.perform(Request("begin", Effect.READ))
    conversation.close()


def pulled(channel: Channel, relay: Relay) -> None:
    """Pull the cable while much is being sent: that ends by itself, and closing does not wait for the line."""
    relay.pause()
    began = time.monotonic()
    with pytest.raises(ConnectionError):
        channel.send(bytes(64 << 20))
    channel.end_input()
    channel.close()
    assert time.monotonic() - began < 30  # it would wait for ever
    relay.resume()


@pytest.mark.parametrize("before_the_jump_host", [True, False])
def test_a_network_that_stops_is_noticed(before_the_jump_host: bool, servers: tuple[Sshd, ...], key_file: Path) -> None:
    """On either side of a jump host: no error comes from anywhere, and the command time-out ends it."""
    first, _, host = servers
    with Relay(to=(first if before_the_jump_host else host).port, rtt=0.001) as relay:
        way = (relay, host) if before_the_jump_host else (first, relay)
        pins = (first.pin(port=way[0].port), host.pin(port=way[1].port))
        settings = through(*way, key=key_file, host_keys=pins, command_timeout=1)
        before = held()
        pulled(flowing(settings), relay)
        assert settles(lambda: held() <= before)


def test_the_host_sees_the_end_and_can_undo(servers: tuple[Sshd, ...], key_file: Path, tmp_path: Path) -> None:
    """When the way is closed, the program's input ends, and every server's session does."""
    sessions = [set(server.sessions()) for server in servers]
    undone = tmp_path / "undone"
    channel = open_channel(through(*servers, key=key_file))
    wait = f"until [ -e '{tmp_path}/closed' ]; do sleep 0.05; done"
    channel.send(encode_program(f"trap '' HUP PIPE; echo ready; cat >/dev/null; {wait}; : >'{undone}'"))
    assert channel.receive() == b"ready\n"
    began = time.monotonic()
    channel.close()
    assert time.monotonic() - began < 20  # the program goes on until we say so
    (tmp_path / "closed").touch()
    assert settles(undone.exists)
    assert settles(lambda: not new_sessions(sessions, servers))
