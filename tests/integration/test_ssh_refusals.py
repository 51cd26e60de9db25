"""Every way in which a connection fails: which error it is, what the message says, and whether it is tried again."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from pytest_mock import MockerFixture

from deployer.command import encode_program
from deployer.errors import ConnectionRefused, InvalidInput
from deployer.transports.ssh import SshSettings, open_channel
from tests.conftest import need
from tests.integration.ssh_visits import CountingClock, PassingClock, flowing, occupy, settles, to, vacate
from tests.relay import Relay
from tests.sshd import Sshd, make_key, sshd_for_tests


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd_for_tests(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    need("ssh-keygen", "to make keys")
    return make_key(tmp_path / "some-key")


def refused(settings: SshSettings, clock: CountingClock | None = None) -> ConnectionRefused:
    """The error of a connection that must fail, which leaves no thread that would hold up the program's end."""
    with pytest.raises(ConnectionRefused) as caught:
        open_channel(settings, clock)
    assert caught.value.exit_code == 4
    assert settles(lambda: not _kept_threads())
    return caught.value


def _kept_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()]


def somebody(port: int, key_file: Path, **changes: object) -> SshSettings:
    """Settings for a server that is no host of ours."""
    settings = SshSettings("127.0.0.1", port, "x", key_file=key_file, connect_timeout=60)
    return replace(settings, **changes)  # type: ignore[arg-type]


@contextmanager
def _listening(answer: Callable[[socket.socket], object]) -> Iterator[tuple[int, list[float]]]:
    """A port where each visitor gets ``answer``, and the times of the visits."""
    visits: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    visitor, _ = listener.accept()
                except OSError:
                    return
                visits.append(time.monotonic())
                with visitor:
                    answer(visitor)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], visits
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(60)


def listening(answer: Callable[[socket.socket], object]) -> AbstractContextManager[tuple[int, list[float]]]:
    return _listening(answer)


# --- the host's key ----------------------------------------------------------------------------------------------------


def test_an_unknown_host_is_refused(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the fingerprint seen, the way to check it, and a line that works once it is pinned."""
    monkeypatch.setenv("HOME", str(tmp_path))
    clock = CountingClock()
    error = refused(to(sshd, host_keys=()), clock)
    assert "is not known: it shows ssh-ed25519 SHA256:" in error.message
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in error.hint
    assert clock.pauses == []
    line = error.hint.splitlines()[-1].strip()
    assert line == sshd.pin()
    open_channel(to(sshd, host_keys=(line,))).close()


def test_a_wrong_host_key_is_refused(sshd: Sshd, key_file: Path) -> None:
    """Before anything is sent that tells who we are, and without another try."""
    wrong = key_file.with_suffix(".pub").read_text()
    clock, before = CountingClock(), sshd.log.read_text().count("publickey")
    error = refused(to(sshd, host_keys=(wrong,)), clock)
    assert "is not the pinned one" in error.message
    assert clock.pauses == []
    assert sshd.log.read_text().count("publickey") == before


def test_a_pinned_type_that_the_server_lacks_is_a_mismatch(tmp_path: Path, key_file: Path) -> None:
    """The server's other key is shown, as what it is, rather than "no common algorithm"."""
    rsa = make_key(tmp_path / "rsa", "rsa").with_suffix(".pub").read_text()
    with sshd_for_tests(tmp_path, host_key_types=("ecdsa",)) as server:
        error = refused(to(server, host_keys=(rsa, key_file.with_suffix(".pub").read_text())))
    assert "is not the pinned one: it shows ecdsa-sha2-nistp256 SHA256:" in error.message
    assert "pinned: ssh-rsa SHA256:" in error.message


def test_a_revoked_host_key_is_refused(sshd: Sshd) -> None:
    """Even when the same key is pinned beside it."""
    assert "revoked" in refused(to(sshd, host_keys=(sshd.pin(), f"@revoked * {sshd.public()}"))).message


def test_a_pin_that_is_no_key_is_wrong_input(sshd: Sshd) -> None:
    """Nobody is called before the input is right."""
    with pytest.raises(InvalidInput, match="host key 2, line 1"):
        open_channel(to(sshd, host_keys=(sshd.pin(), "nonsense"), port=1))


# --- the network -------------------------------------------------------------------------------------------------------


def test_an_unknown_name_is_not_tried_again(mocker: MockerFixture, key_file: Path) -> None:
    """There is no such host, and there will not be one in a second."""
    mocker.patch("socket.getaddrinfo", side_effect=socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    clock = CountingClock()
    error = refused(SshSettings("nowhere.invalid", 22, "x", key_file=key_file), clock)
    assert error.message == "there is no host named nowhere.invalid"
    assert clock.pauses == []


def test_a_name_server_that_is_away_is_asked_again(mocker: MockerFixture, sshd: Sshd) -> None:
    """A laptop that has just woken up has its network a moment later."""
    real = socket.getaddrinfo
    failing = [socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")] * 2
    mocker.patch("socket.getaddrinfo", side_effect=lambda *a, **k: _raise(failing.pop()) if failing else real(*a, **k))
    clock = CountingClock()
    open_channel(to(sshd), clock).close()
    assert clock.pauses == [0.25, 0.5]


def _raise(error: Exception) -> None:
    raise error


def test_a_closed_port_is_tried_four_times(key_file: Path) -> None:
    """With growing pauses, and then an error that says what to check."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        clock = CountingClock()
        error = refused(somebody(unused.getsockname()[1], key_file), clock)
    assert "connection refused" in error.message
    assert "host.port" in error.hint
    assert clock.pauses == [0.25, 0.5, 1.0]


def test_tries_end_with_the_connect_time_out(key_file: Path) -> None:
    """No pause is begun that the time does not allow."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        clock = CountingClock()
        refused(somebody(unused.getsockname()[1], key_file, connect_timeout=0.7), clock)
    assert clock.pauses == [0.25]


def test_a_server_that_is_just_starting_is_reached(tmp_path: Path) -> None:
    """A reboot or a restart of sshd costs a moment, not the deploy."""
    with sshd_for_tests(tmp_path) as server:
        server.stop()
        clock = CountingClock(during=server.start)
        open_channel(to(server), clock).close()
    assert clock.pauses == [0.25]


def test_a_host_that_does_not_answer_takes_the_time_out_once(key_file: Path) -> None:
    """A firewall that drops: the whole time goes into one try, because TCP itself tries again."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        began, clock = time.monotonic(), PassingClock()
        error = refused(somebody(listener.getsockname()[1], key_file, connect_timeout=1), clock)
        assert 0.9 < time.monotonic() - began < 30  # TCP by itself tries for two minutes
        assert clock.pauses == []
        for filler in fillers:
            filler.close()
    assert "did not answer within 1 s" in error.message


def test_a_dead_address_leaves_time_for_the_next(mocker: MockerFixture, sshd: Sshd) -> None:
    """A name with a broken IPv6 address still works by its IPv4 one."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead, alive = (
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
            for port in (unused.getsockname()[1], sshd.port)
        )
        mocker.patch("socket.getaddrinfo", return_value=[dead, alive])
        clock = CountingClock()
        open_channel(to(sshd), clock).close()
    assert clock.pauses == []


# --- before the login --------------------------------------------------------------------------------------------------


def test_a_silent_server_ends_by_the_time_out(key_file: Path) -> None:
    """A port that takes connections and says nothing."""
    over = threading.Event()
    with listening(lambda visitor: over.wait(90)) as (port, _):
        began = time.monotonic()
        error = refused(somebody(port, key_file, connect_timeout=1))
        over.set()
        assert time.monotonic() - began < 30
    assert "without the greeting of an SSH server" in error.message


@pytest.mark.parametrize(
    "words", [b"", b"Exceeded MaxStartups\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x1b[31m\x00\xff\n"]
)
def test_a_server_that_hangs_up_is_tried_again(words: bytes, key_file: Path) -> None:
    """It may have too many visitors for a while. What it said is in the message, made harmless for the terminal."""

    def answer(visitor: socket.socket) -> None:
        visitor.sendall(words)
        visitor.shutdown(socket.SHUT_WR)
        visitor.recv(100)

    clock = CountingClock()
    with listening(answer) as (port, visits):
        error = refused(somebody(port, key_file), clock)
    assert len(visits) == 6
    assert clock.pauses == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert words.partition(b"\r")[0].decode("ascii", "replace") in str(error) or "\x1b" not in str(error)


def test_a_server_that_hangs_up_behind_its_banner_is_tried_again(key_file: Path) -> None:
    """It was restarted in the middle, perhaps; no timer of the library's holds up the end of the program."""
    clock = CountingClock()
    with listening(lambda visitor: visitor.sendall(b"SSH-2.0-test\r\n")) as (port, visits):
        error = refused(somebody(port, key_file), clock)
    assert len(visits) == 4
    assert "hung up before the login" in error.message


def test_too_many_visitors_at_once_are_waited_for(tmp_path: Path) -> None:
    """A real server's MaxStartups: refused while another is logging in, let in afterwards."""
    with sshd_for_tests(tmp_path, config=("MaxStartups 1:100:1",)) as server:
        other = occupy(server)
        clock = CountingClock(during=lambda: vacate(server, other))
        open_channel(to(server), clock).close()
    assert clock.pauses


def test_a_server_without_common_algorithms_is_named(tmp_path: Path) -> None:
    """Not tried again: it will not learn any."""
    with sshd_for_tests(tmp_path, config=("Ciphers chacha20-poly1305@openssh.com",)) as server:
        clock = CountingClock()
        error = refused(to(server), clock)
    assert "no algorithm in common" in error.message
    assert clock.pauses == []


# --- the login ---------------------------------------------------------------------------------------------------------


def test_a_refused_login_says_who_and_with_what(sshd: Sshd, key_file: Path) -> None:
    """User, key type, fingerprint, where the key came from, and the line for authorized_keys; one try only."""
    clock = CountingClock()
    error = refused(to(sshd, key_file=key_file), clock)
    public = " ".join(key_file.with_suffix(".pub").read_text().split()[:2])
    assert f"{sshd.user}@127.0.0.1:{sshd.port} refused the login" in error.message
    assert "ssh-ed25519 SHA256:" in error.message
    assert str(key_file) in error.message
    assert f"~{sshd.user}/.ssh/authorized_keys" in error.hint
    assert public in error.hint
    assert clock.pauses == []


def test_an_unknown_user_is_refused_as_a_wrong_key_is(sshd: Sshd) -> None:
    """The server does not tell which of them it is; the message names the user first."""
    error = refused(to(sshd, user="no-such-user"))
    assert error.message.startswith("no-such-user@127.0.0.1")
    assert "Is 'no-such-user' the right user?" in error.hint


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (("PubkeyAuthentication no", "PasswordAuthentication yes"), "takes no keys for this user, only: password"),
        (
            ("KbdInteractiveAuthentication yes", "AuthenticationMethods publickey,keyboard-interactive"),
            "took the key but asks for more: keyboard-interactive",
        ),
        (("MaxSessions 0",), "lets us in, but opens no session"),
        (("DenyUsers *",), "refused the login"),
    ],
)
def test_servers_that_want_something_else_say_so(config: tuple[str, ...], words: str, tmp_path: Path) -> None:
    """Each has its own message, and none is tried again."""
    with sshd_for_tests(tmp_path, config=config) as server:
        clock = CountingClock()
        assert words in refused(to(server), clock).message
    assert clock.pauses == []


def test_many_keys_that_nobody_wants_are_all_named(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own keys were tried, each once."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / ".ssh").mkdir()
    make_key(tmp_path / ".ssh" / "id_ed25519")
    make_key(tmp_path / ".ssh" / "id_ecdsa", "ecdsa")
    error = refused(to(sshd, key_file=None))
    assert error.message.count("SHA256:") == 2


# --- behind the login --------------------------------------------------------------------------------------------------


class _NoCommands(paramiko.ServerInterface):  # type: ignore[misc]
    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return int(paramiko.AUTH_SUCCESSFUL)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)


def test_a_server_that_runs_no_commands_is_noticed(key_file: Path) -> None:
    """One for files only, say: the first wait for an answer tells."""
    host_key = paramiko.RSAKey.generate(2048)

    def answer(visitor: socket.socket) -> None:
        transport = paramiko.Transport(visitor)
        transport.add_server_key(host_key)
        transport.start_server(server=_NoCommands())
        transport.join(60)

    with listening(answer) as (port, _):
        pin = f"ssh-rsa {host_key.get_base64()}"
        channel = open_channel(somebody(port, key_file, host_keys=(pin,)))
        with pytest.raises(ConnectionError, match="does not let this user run commands"):
            channel.receive()
        channel.close()


def test_a_network_that_stops_is_noticed_while_sending(sshd: Sshd) -> None:
    """A pulled cable: no error comes from anywhere, and buffers fill; the command time-out ends it, and closing is quick."""
    with Relay(to=sshd.port, rtt=0.001) as relay:
        channel = flowing(to(sshd, port=relay.port, host_keys=(sshd.public(),), command_timeout=1))
        relay.pause()
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            channel.send(bytes(64 << 20))
        channel.end_input()
        channel.close()
        assert time.monotonic() - began < 30  # it would wait for ever
        relay.resume()


def test_closing_during_a_stuck_send_is_quick(sshd: Sshd) -> None:
    """Ctrl-C on a dead line: the sender is woken, and nobody waits for the line."""
    with Relay(to=sshd.port, rtt=0.001) as relay:
        channel = open_channel(to(sshd, port=relay.port, host_keys=(sshd.public(),), command_timeout=100))
        channel.send(encode_program("cat >/dev/null"))
        relay.pause()
        failed = threading.Event()

        def send() -> None:
            try:
                channel.send(bytes(64 << 20))
            except ConnectionError:
                failed.set()

        threading.Thread(target=send, daemon=True).start()
        time.sleep(0.5)
        began = time.monotonic()
        channel.end_input()
        channel.close()
        assert failed.wait(30)
        assert time.monotonic() - began < 30  # the time-out is far longer
        relay.resume()


def test_a_cut_connection_is_an_error_and_no_end_of_output(sshd: Sshd) -> None:
    """A reader that took it for the end would take half an answer for a whole one."""
    with Relay(to=sshd.port, rtt=0.001) as relay:
        channel = open_channel(to(sshd, port=relay.port, host_keys=(sshd.public(),)))
        channel.send(encode_program("echo half; exec sleep 90"))
        assert channel.receive() == b"half\n"
        relay.cut()
        with pytest.raises(ConnectionError, match="ended"):
            channel.receive()
        channel.close()
