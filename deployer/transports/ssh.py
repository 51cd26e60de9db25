"""Byte channels to a host over SSH: settings in, one open channel out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deployer.clock import SystemClock
from deployer.command import REMOTE_COMMAND
from deployer.errors import ConnectionRefused
from deployer.ports import Channel, Clock
from deployer.secret import Secret
from deployer.transports import dial
from deployer.transports.host_keys import Pins, read_pins

if TYPE_CHECKING:
    from deployer.transports.login_keys import LoginKey
    from deployer.transports.ssh_session import Login

__all__ = ["SshSettings", "open_channel"]

_PAUSES = (0.25, 0.5, 1.0)
"""Seconds before the second, third and fourth try."""
_OWN_KNOWN_HOSTS = Path("~/.ssh/known_hosts")


@dataclass(frozen=True, slots=True)
class SshSettings:
    """How to reach a host and whom to trust there.

    ``host_keys`` are known_hosts lines or bare keys; with neither them nor ``known_hosts``, the user's own known_hosts
    counts. ``key_file`` beats ``key``; with neither, the agent and the keys in ``~/.ssh`` are tried.
    Time-outs are in seconds: ``connect_timeout`` for reaching the host and then for each step of logging in,
    ``command_timeout`` for sending or receiving without any progress.
    """

    address: str
    port: int
    user: str
    key_file: Path | None = None
    key: Secret | None = None
    passphrase: Secret | None = None
    host_keys: tuple[str, ...] = ()
    known_hosts: Path | None = None
    connect_timeout: float = 10.0
    command_timeout: float = 60.0

    @property
    def host(self) -> str:
        """The host as people should read it: ``deploy@example.org:22``."""
        return f"{self.user}@{self.address}:{self.port}"


class _Passing(Exception):
    """The host was not there, or hung up before it asked who we are: the next try may go better."""

    def __init__(self, reason: ConnectionRefused) -> None:
        super().__init__(str(reason))
        self.reason = reason


def open_channel(settings: SshSettings, clock: Clock | None = None) -> Channel:
    """Connect, check the host's key, log in and start the one constant command.

    Tries again, with growing pauses and within ``connect_timeout``, when the host is not there or hangs up before the
    login; never after a wrong host key or a refused login. Raises ConnectionRefused or InvalidInput.
    """
    clock = clock or SystemClock()
    pins = _pins(settings)
    deadline = clock.monotonic() + settings.connect_timeout
    # The network's round trips and the libraries' imports pass at the same time.
    dialling = _dial(settings, settings.connect_timeout)
    try:
        keys = _keys(settings)
    except BaseException:
        dialling.abandon()
        raise
    pauses = iter(_PAUSES)
    while True:
        try:
            return _log_in(settings, pins, keys, dialling)
        except _Passing as passing:
            pause = next(pauses, settings.connect_timeout)
            left = deadline - clock.monotonic() - pause
            if left <= 0:
                raise passing.reason from passing
        clock.sleep(pause)
        dialling = _dial(settings, left)


def _pins(settings: SshSettings) -> Pins:
    files = []
    if settings.known_hosts:
        files.append((settings.known_hosts, True))
    elif not settings.host_keys:
        files.append((_OWN_KNOWN_HOSTS, False))
    return read_pins(settings.address, settings.port, settings.host_keys, files)


def _dial(settings: SshSettings, timeout: float) -> dial.Dial:
    return dial.Dial(settings.address, settings.port, timeout=timeout, patience=settings.command_timeout)


def _keys(settings: SshSettings) -> tuple[LoginKey, ...]:
    from deployer.transports.login_keys import login_keys

    return login_keys(file=settings.key_file, text=settings.key, passphrase=settings.passphrase)


def _log_in(settings: SshSettings, pins: Pins, keys: tuple[LoginKey, ...], dialling: dial.Dial) -> Channel:
    import paramiko

    from deployer.transports.ssh_channel import RemoteChannel
    from deployer.transports.ssh_session import Login, connect

    try:
        sock = dialling.socket()
    except OSError as error:
        reason = dial.explain(error, settings.address, settings.port, settings.connect_timeout)
        raise (reason if dial.is_permanent(error) else _Passing(reason)) from error
    login = Login(settings.user, keys)
    try:
        connection = connect(sock, user=settings.user, pins=pins, timeout=settings.connect_timeout, login=login)
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise _explain(error, settings, login, sock.greeting) from error
    assert login.channel is not None
    connection.transport.start_command(login.channel, REMOTE_COMMAND)
    return RemoteChannel(connection, login.channel, sock, host=settings.host, timeout=settings.command_timeout)


def _explain(error: Exception, settings: SshSettings, login: Login, greeting: bytes) -> Exception:
    import paramiko

    host = settings.host
    if login.accepted:
        return ConnectionRefused(f"{host} lets us in, but opens no session: {str(error) or 'it hung up'}")
    if login.offered:
        return _explain_login(error, settings, login)
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        hint = "Its SSH server is very old or very strict; update it, or allow the usual algorithms in its sshd_config."
        return ConnectionRefused(f"{host} and deployer have no algorithm in common: {error}", hint=hint)
    said = _first_line(greeting)
    if said.startswith("SSH-"):
        return _Passing(ConnectionRefused(f"{host} hung up before the login ({str(error) or 'end of the connection'})"))
    hint = (
        f"It said: {said!r}"
        if said
        else "It may be starting, have too many visitors (MaxStartups), or be no SSH server."
    )
    return _Passing(ConnectionRefused(f"{host} hung up without the greeting of an SSH server", hint=hint))


def _explain_login(error: Exception, settings: SshSettings, login: Login) -> ConnectionRefused:
    import paramiko

    host, user = settings.host, settings.user
    offered = ", ".join(str(key) for key in login.offered)
    match error:
        case paramiko.ssh_exception.PartialAuthentication():
            needs = ", ".join(error.allowed_types)
            hint = "A deploy cannot answer questions: let this user in by key alone (AuthenticationMethods in sshd_config)."
            return ConnectionRefused(f"{host} took the key but asks for more: {needs}", hint=hint)
        case paramiko.BadAuthenticationType():
            ways = ", ".join(error.allowed_types)
            hint = "Set `PubkeyAuthentication yes` in its sshd_config."
            return ConnectionRefused(f"{host} takes no keys for this user, only: {ways}", hint=hint)
        case paramiko.AuthenticationException() if "timeout" in str(error).lower():
            text = f"{host} did not answer the login within {settings.connect_timeout:g} s"
            return ConnectionRefused(text, hint="--connect-timeout waits longer.")
    lines = "\n".join(f"  {key.public.line}" for key in login.offered[:1])
    hint = (
        f"Is {user!r} the right user? The key's public line must be in ~{user}/.ssh/authorized_keys on the server,\n"
        f"  and neither that file nor a directory above it writable by others:\n{lines}"
    )
    return ConnectionRefused(f"{host} refused the login; offered: {offered}", hint=hint)


def _first_line(greeting: bytes) -> str:
    text = greeting.partition(b"\n")[0].decode("ascii", "replace")[:100]
    return "".join(char if char.isprintable() else "?" for char in text.rstrip("\r"))
