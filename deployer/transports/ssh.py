"""Byte channels to a host over SSH: settings in, one open channel out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deployer.clock import SystemClock
from deployer.command import REMOTE_COMMAND
from deployer.errors import ConnectionRefused
from deployer.ports import Channel, Clock
from deployer.secret import Secret
from deployer.transports.dial import Dial, Passing
from deployer.transports.dial import explain as explain_dial
from deployer.transports.hop import Hop, Jump, hops, place

if TYPE_CHECKING:
    import paramiko

    from deployer.transports.login_keys import LoginKey
    from deployer.transports.patience import PatientSocket
    from deployer.transports.route import Route
    from deployer.transports.ssh_session import SecureTransport

__all__ = ["Jump", "LoginRefused", "SshSettings", "open_channel"]

_PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Seconds before the second, third and each further try."""
_OWN_KNOWN_HOSTS = Path("~/.ssh/known_hosts")


class LoginRefused(ConnectionRefused):
    """The host is the right one and does not let us in. `deployer check` tells it from the rest."""


@dataclass(frozen=True, slots=True)
class SshSettings:
    """How to reach a host and whom to trust there.

    ``host_keys`` are known_hosts lines or bare keys; with neither them nor ``known_hosts``, the user's own known_hosts
    counts. ``key_file`` beats ``key``; with neither, the agent and the keys in ``~/.ssh`` are tried.
    Time-outs are in seconds: ``connect_timeout`` for reaching the host and then for each step of logging in,
    ``command_timeout`` for sending or receiving without any progress. ``jumps`` are the servers to go through, the
    nearest first; the same keys log in to each, and each one's host key must be known just as the host's.
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
    jumps: tuple[Jump, ...] = ()

    @property
    def host(self) -> str:
        """The host as people should read it: ``deploy@example.org:22``."""
        return f"{self.user}@{place(self.address, self.port)}"


def open_channel(settings: SshSettings, clock: Clock | None = None) -> Channel:
    """Connect, check the host's key, log in and start the one constant command; so for each jump host on the way.

    Tries again, with growing pauses and within ``connect_timeout``, when a server is not there or hangs up before the
    login; never after a wrong host key or a refused login. Raises ConnectionRefused or InvalidInput.
    """
    clock = clock or SystemClock()
    way = _way(settings)
    deadline = clock.monotonic() + settings.connect_timeout
    # The network's round trips and the libraries' imports pass at the same time.
    dialling = _dial(way[0], settings, settings.connect_timeout)
    try:
        keys = _keys(settings)
    except BaseException:
        dialling.abandon()
        raise
    for pause in (*_PAUSES, math.inf):
        try:
            return _log_in(settings, way, keys, dialling)
        except Passing as passing:
            left = deadline - clock.monotonic() - pause
            if left <= 0 or pause > passing.longest_pause:
                raise passing.reason from passing
        clock.sleep(pause)
        dialling = _dial(way[0], settings, left)
    raise AssertionError("the last try either succeeds or raises")


def _way(settings: SshSettings) -> tuple[Hop, ...]:
    files = []
    if settings.known_hosts:
        files.append((settings.known_hosts, True))
    elif not settings.host_keys:
        files.append((_OWN_KNOWN_HOSTS, False))
    host = Jump(settings.address, settings.port, settings.user)
    return hops((*settings.jumps, host), settings.host_keys, files)


def _dial(hop: Hop, settings: SshSettings, timeout: float) -> Dial:
    return Dial(hop.server.address, hop.server.port, timeout=timeout, patience=settings.command_timeout)


def _keys(settings: SshSettings) -> tuple[LoginKey, ...]:
    from deployer.transports.login_keys import login_keys

    return login_keys(file=settings.key_file, text=settings.key, passphrase=settings.passphrase)


def _log_in(settings: SshSettings, way: tuple[Hop, ...], keys: tuple[LoginKey, ...], dialling: Dial) -> Channel:
    from deployer.transports.route import Route
    from deployer.transports.ssh_channel import RemoteChannel

    try:
        sock = dialling.socket()
    except OSError as error:
        raise explain_dial(error, way[0], settings.connect_timeout) from error
    route = Route(sock)
    try:
        for hop in way:
            transport, channel = _pass(hop, settings, keys, route, sock)
            if hop.onward:
                sock = route.tunnel(channel, settings.command_timeout)
        transport.start_command(channel, REMOTE_COMMAND)
        return RemoteChannel(route, channel, host=settings.host, timeout=settings.command_timeout)
    except BaseException:
        route.close()
        raise


def _pass(
    hop: Hop, settings: SshSettings, keys: tuple[LoginKey, ...], route: Route, sock: PatientSocket
) -> tuple[SecureTransport, paramiko.Channel]:
    """Log in to one server, and open the channel that leads on."""
    import paramiko

    from deployer.transports.ssh_session import Login, TunnelRefused, connect

    login = Login(hop.server.user, keys, hop.onward)
    try:
        connection = connect(sock, hop, timeout=settings.connect_timeout, login=login)
    except (TunnelRefused, paramiko.SSHException, EOFError, OSError) as error:
        from deployer.transports.refusals import explain

        raise explain(error, hop, login, sock.greeting, settings.connect_timeout) from error
    route.add(hop.name, connection)
    assert login.channel is not None
    return connection.transport, login.channel
