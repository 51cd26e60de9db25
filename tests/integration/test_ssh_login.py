"""Logging in to a real sshd: with every kind of key, from everywhere that keys come from, past what servers do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deployer.command import REMOTE_COMMAND, encode_program
from deployer.errors import ConnectionRefused, InvalidInput
from deployer.secret import Secret
from deployer.transports.ssh import SshSettings, open_channel
from tests.agent import Agent
from tests.attempts import least
from tests.integration.ssh_visits import echo, held, settles, to, turns_to
from tests.relay import Relay
from tests.sshd import Sshd, make_key, sshd_for_tests

KEYS = {
    "ed25519": ("ed25519", ()),
    "ecdsa-256": ("ecdsa", ("-b", "256")),
    "ecdsa-384": ("ecdsa", ("-b", "384")),
    "ecdsa-521": ("ecdsa", ("-b", "521")),
    "rsa": ("rsa", ("-b", "2048")),
    "rsa-pem": ("rsa", ("-b", "2048", "-m", "PEM")),
    "ecdsa-pkcs8": ("ecdsa", ("-m", "PKCS8")),
}


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd_for_tests(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home without an agent: nothing of the machine's own user takes part."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("passphrase", ["", "open sesame"])
def test_every_kind_of_key_logs_in(name: str, passphrase: str, sshd: Sshd, nobody: Path) -> None:
    """From a file and from a text, with a passphrase and without."""
    kind, options = KEYS[name]
    file = make_key(nobody / "key", kind, passphrase=passphrase, options=options)
    sshd.authorize(file)
    secret = Secret(passphrase) if passphrase else None
    assert echo(to(sshd, key_file=file, passphrase=secret)) == b"in\n"
    text = Secret(file.read_text().replace("\n", "\r\n").strip())
    assert echo(to(sshd, key_file=None, key=text, passphrase=secret)) == b"in\n"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_every_kind_of_host_key_is_checked(kind: str, sshd: Sshd) -> None:
    """The server has all three types; the pinned one is asked for, whichever the server would show first."""
    assert echo(to(sshd, key_file=sshd.key_file, host_keys=(sshd.pin(kind),))) == b"in\n"
    assert echo(to(sshd, key_file=sshd.key_file, host_keys=(sshd.public(kind),))) == b"in\n"


def test_the_users_own_known_hosts_count_where_nothing_is_pinned(sshd: Sshd, nobody: Path) -> None:
    """As for the ssh command: hashed names too."""
    known = nobody / ".ssh" / "known_hosts"
    known.parent.mkdir()
    known.write_text(f"{sshd.pin('ecdsa')}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True)
    assert "127.0.0.1" not in known.read_text()
    assert echo(to(sshd, key_file=sshd.key_file, host_keys=())) == b"in\n"
    assert echo(to(sshd, key_file=sshd.key_file, host_keys=(), known_hosts=known)) == b"in\n"


def test_the_users_own_keys_are_tried_in_turn(sshd: Sshd, nobody: Path) -> None:
    """Without a configured key: what lies in ~/.ssh, past those that the server does not know or that are locked."""
    folder = nobody / ".ssh"
    folder.mkdir()
    make_key(folder / "id_ed25519")
    make_key(folder / "id_ecdsa", "ecdsa", passphrase="locked")
    sshd.authorize(make_key(folder / "id_rsa", "rsa", options=("-b", "2048")))
    assert echo(to(sshd, key_file=None)) == b"in\n"


def test_the_agent_is_asked_when_no_key_is_configured(
    sshd: Sshd, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real agent signs for keys that deployer never sees, with a passphrase or without; a configured key comes first."""
    with Agent(nobody) as agent:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.socket))
        for name, kind, passphrase in (("rsa", "rsa", ""), ("locked", "ed25519", "open sesame")):
            agent.take(make_key(nobody / f"other-{name}", "ecdsa"))
            sshd.authorize(make_key(nobody / name, kind, passphrase=passphrase))
            agent.take(nobody / name, passphrase)
            assert echo(to(sshd, key_file=None)) == b"in\n"
            subprocess.run(["ssh-add", "-q", "-D"], check=True, capture_output=True)
        agent.take(make_key(nobody / "known", "rsa"))
        sshd.authorize(nobody / "known")
        with pytest.raises(ConnectionRefused, match="refused the login"):
            open_channel(to(sshd, key_file=make_key(nobody / "configured")))


def test_an_agent_that_is_gone_is_no_agent(sshd: Sshd, nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that a closed terminal left behind: the keys in ~/.ssh are tried."""
    monkeypatch.setenv("SSH_AUTH_SOCK", str(nobody / "gone"))
    (nobody / ".ssh").mkdir()
    sshd.authorize(make_key(nobody / ".ssh" / "id_ed25519"))
    assert echo(to(sshd, key_file=None)) == b"in\n"


def test_without_any_key_the_message_says_where_to_put_one(sshd: Sshd, nobody: Path) -> None:
    """Nothing configured, no agent, nothing in ~/.ssh: wrong input, before anybody is asked."""
    with pytest.raises(InvalidInput, match="no key to log in with") as caught:
        open_channel(to(sshd, key_file=None))
    assert "DEPLOYER_KEY" in str(caught.value)
    (nobody / ".ssh").mkdir()
    make_key(nobody / ".ssh" / "id_rsa", "rsa", passphrase="locked")
    with pytest.raises(InvalidInput, match="id_rsa is protected by a passphrase"):
        open_channel(to(sshd, key_file=None))


def test_a_forced_command_holds_the_key(tmp_path: Path, nobody: Path) -> None:
    """A key may be bound to the one constant line, without PTY and forwarding: `restrict,command="…"`."""
    quoted = REMOTE_COMMAND.replace('"', '\\"')
    with sshd_for_tests(tmp_path, options=f'restrict,command="{quoted}"') as server:
        assert echo(to(server, key_file=server.key_file), "cat", b"data\n") == b"data\n"


def test_what_a_server_prints_before_is_passed_through(tmp_path: Path) -> None:
    """A banner is not output; a profile's noise is, and the conversation above skips it."""
    (tmp_path / "banner").write_text("Authorised use only\n" * 100)
    with sshd_for_tests(tmp_path, config=(f"Banner {tmp_path / 'banner'}", "PrintMotd yes")) as server:
        assert echo(to(server, key_file=server.key_file)) == b"in\n"


@pytest.mark.parametrize(
    "config",
    [
        ("Ciphers aes256-ctr", "MACs hmac-sha2-512"),
        ("Ciphers aes256-gcm@openssh.com",),
        ("KexAlgorithms ecdh-sha2-nistp256", "HostKeyAlgorithms rsa-sha2-256"),
        ("PubkeyAcceptedAlgorithms ssh-ed25519", "MaxAuthTries 1", "MaxSessions 1"),
    ],
)
def test_strict_servers_are_fine(config: tuple[str, ...], tmp_path: Path) -> None:
    """Where the server does not take our first choices, the next ones do."""
    with sshd_for_tests(tmp_path, config=config) as server:
        pins = tuple(server.pin(kind) for kind in ("rsa", "ed25519"))
        assert echo(to(server, key_file=server.key_file, host_keys=pins)) == b"in\n"


def test_a_key_exchange_in_the_middle_is_survived(tmp_path: Path) -> None:
    """Both sides renew their keys after so much data; nothing of it is lost while that happens."""
    with sshd_for_tests(tmp_path, config=("RekeyLimit 2M",)) as server:
        program = "cat | wc -c; head -c 20000000 /dev/zero"
        output = echo(to(server, key_file=server.key_file), program, bytes(20_000_000))
    assert output == b"20000000\n" + bytes(20_000_000)


def test_six_round_trips_from_nothing_to_the_first_answer(sshd: Sshd) -> None:
    """TCP, banners, key exchange, login with channel, command, program: what paramiko alone does in eight."""

    def settings(relay: Relay) -> SshSettings:
        return to(sshd, port=relay.port, key_file=sshd.key_file, host_keys=(sshd.public(),))

    most = 2 * 5 + 1  # TCP's own is not among them; the banners may cross each other or not
    assert least(lambda: turns_to(sshd, settings), enough=most) <= most


def test_nothing_of_the_library_reaches_the_terminal(sshd: Sshd, tmp_path: Path) -> None:
    """No log lines and no tracebacks of threads, whether it goes well, or the server is killed in the middle."""
    script = """
import sys
from dataclasses import replace
from pathlib import Path
from deployer.command import encode_program
from deployer.errors import DeployerError
from deployer.transports.ssh import SshSettings, open_channel
port, user, key, pin, wrong = sys.argv[1:]
settings = SshSettings(
    "127.0.0.1", int(port), user, key_file=Path(key), host_keys=(pin,), connect_timeout=60, command_timeout=90
)
try:
    open_channel(replace(settings, host_keys=(wrong,)))
except DeployerError as error:
    pass
channel = open_channel(settings)
channel.send(encode_program("ps -o ppid= -p $PPID; ps -o ppid= -p $$; kill -9 $PPID; sleep 1"))
try:
    while channel.receive():
        pass
except ConnectionError:
    print("broke")
"""
    pin, wrong = sshd.pin(), make_key(tmp_path / "wrong").with_suffix(".pub").read_text()
    command = [sys.executable, "-c", script, str(sshd.port), sshd.user, str(sshd.key_file), pin, wrong]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # less than its time-out
    assert done.stderr == ""
    assert done.returncode == 0


def test_many_connections_leave_nothing_open(sshd: Sshd) -> None:
    """No file descriptor and no thread remains of a closed channel, or of a refused login."""
    settings = to(sshd, key_file=sshd.key_file)

    def use() -> None:
        assert echo(settings) == b"in\n"
        with pytest.raises(ConnectionRefused):
            open_channel(replace(settings, user="no-such-user"))

    use()
    time.sleep(0.3)
    before = held()
    for _ in range(5):
        use()
    assert settles(lambda: held() <= before)


def test_a_killed_session_is_an_error(sshd: Sshd) -> None:
    """When sshd's process for this connection is killed, the reader is told, at once."""
    before = set(sshd.sessions())
    channel = open_channel(to(sshd, key_file=sshd.key_file))
    channel.send(encode_program("echo in; exec cat"))
    assert channel.receive() == b"in\n"
    for pid in set(sshd.sessions()) - before:
        os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(ConnectionError, match=r"the connection to .* ended"):
        channel.receive()
    channel.close()
    assert time.monotonic() - began < 20  # the time-out is a minute
