"""From a connected socket to a running command: Fabric and paramiko, with their defaults made strict and their waits cut.

Round trips until the program answers: TCP 1, banners 1, key exchange 1, login and channel 1, command 1 (OpenSSH lets data
in only then), program 1. paramiko by itself takes 2 more. A jump host adds 3, of the way up to it and one server on:
banners, key exchange, login; its tunnel is opened with the login. To be imported late, while the network works: it costs
0.2 s.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import fabric
import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.common import cMSG_CHANNEL_REQUEST

from deployer.transports.hop import Hop, Jump
from deployer.transports.host_keys import Pins, PublicKey
from deployer.transports.login_keys import LoginKey
from deployer.transports.patience import PatientSocket

__all__ = ["Login", "SecureTransport", "TunnelRefused", "connect"]

RECEIVE_WINDOW = 8 << 20
"""Bytes that the host may send ahead of our reading; paramiko's 2 MiB hold a host 50 ms away to 40 MB/s."""
RECEIVE_PACKET = 128 << 10
KEEP_ALIVE_SECONDS = 5
# Authenticated encryption in one pass of the processor's own instructions, before paramiko's choice of two passes.
FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")


class _Pipelined(AuthHandler):  # type: ignore[misc]  # paramiko has no type information
    """Sends the login right behind the request for the login service, whose answer can only be yes or a hang-up."""

    def _request_auth(self) -> None:
        super()._request_auth()
        message = paramiko.Message()
        message.add_string("ssh-userauth")
        message.rewind()
        super()._parse_service_accept(message)

    def _parse_service_accept(self, message: paramiko.Message) -> None:
        """The login is on its way already."""


class TunnelRefused(Exception):
    """The server opens no connection to the next one; ``code`` is RFC 4254's, section 5.1, the text the server's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class SecureTransport(paramiko.Transport):  # type: ignore[misc]
    """paramiko's connection, not waiting where the protocol lets it go on."""

    _refusal = ""

    def offer(self, user: str, key: paramiko.PKey) -> Callable[[], None]:
        """Send a login by key; the result waits for the answer.

        That raises paramiko's AuthenticationException, or what ended the connection.
        """
        answered = threading.Event()
        self.auth_handler = handler = _Pipelined(self)
        handler.auth_publickey(user, key, answered)

        def wait() -> None:
            further = handler.wait_for_response(answered)
            if further:
                raise paramiko.ssh_exception.PartialAuthentication(further)

        return wait

    def open_command_channel(self) -> paramiko.Channel:
        """Open a session channel with windows of our size. Raises SSHException."""
        return self.open_session(RECEIVE_WINDOW, RECEIVE_PACKET, timeout=self.channel_timeout)

    def open_tunnel(self, address: str, port: int) -> paramiko.Channel:
        """Open a connection from the server to the next one (RFC 4254, section 7.2).

        Raises TunnelRefused, or paramiko's SSHException when no answer comes in time.
        """
        ends = (address, port), ("127.0.0.1", 0)
        try:
            return self.open_channel("direct-tcpip", *ends, RECEIVE_WINDOW, RECEIVE_PACKET, self.channel_timeout)
        except paramiko.ChannelException as error:
            raise TunnelRefused(error.code, self._refusal or error.text) from error

    def _parse_channel_open_failure(self, message: paramiko.Message) -> None:
        """Keep the server's own words, which paramiko only logs."""
        message.get_int()
        message.get_int()
        self._refusal = message.get_text()
        message.rewind()
        super()._parse_channel_open_failure(message)

    def start_command(self, channel: paramiko.Channel, command: str) -> None:
        """Ask for the command without waiting for the yes: a no closes the channel, which reading from it tells."""
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(channel.remote_chanid)
        message.add_string("exec")
        message.add_boolean(True)  # noqa: FBT003  # the protocol's want-reply
        message.add_string(command)
        self._send_user_message(message)


class Login:
    """The strategy by which paramiko's client logs in: our keys in turn, and nothing else."""

    def __init__(self, user: str, keys: Sequence[LoginKey], onward: Jump | None = None) -> None:
        """``onward``: the server to open a tunnel to; without it, the channel is one for a command."""
        self._user, self._keys, self._onward = user, keys, onward
        self.offered: list[LoginKey] = []
        self.accepted = False
        self.channel: paramiko.Channel | None = None

    def authenticate(self, transport: SecureTransport) -> None:
        """Log in and open the channel. Raises paramiko's AuthenticationException, or what ended the connection."""
        if len(self._keys) == 1:
            self.channel = self._at_once(transport, self._keys[0])
        else:
            self._first_accepted(transport)
            self.accepted = True
            self.channel = self._open(transport)

    def _open(self, transport: SecureTransport) -> paramiko.Channel:
        if self._onward is None:
            return transport.open_command_channel()
        return transport.open_tunnel(self._onward.address, self._onward.port)

    def _at_once(self, transport: SecureTransport, key: LoginKey) -> paramiko.Channel:
        """Open the channel in the round trip of the login.

        RFC 4252, section 5.1: what follows the request that is granted is passed on to the service that it asked for.
        """
        self.offered.append(key)
        wait = transport.offer(self._user, key.key)
        opened: list[paramiko.Channel | Exception] = []

        def open_channel() -> None:
            try:
                opened.append(self._open(transport))
            except Exception as error:  # whatever it is, it is raised below
                opened.append(error)

        opener = threading.Thread(target=open_channel, name="deployer-open", daemon=True)
        opener.start()
        wait()
        self.accepted = True
        opener.join()
        if isinstance(opened[0], Exception):
            raise opened[0]
        return opened[0]

    def _first_accepted(self, transport: SecureTransport) -> None:
        for key in self._keys:
            self.offered.append(key)
            try:
                transport.offer(self._user, key.key)()
            except paramiko.AuthenticationException:
                if key is self._keys[-1] or not transport.is_active():
                    raise
            else:
                return


class _Pinned(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """The client is given no host keys at all, so that every decision on one is made here."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins

    def missing_host_key(self, client: object, hostname: str, key: paramiko.PKey) -> None:
        """Return for a pinned key. Raises ConnectionRefused."""
        self._pins.check(PublicKey(key.get_name(), key.asbytes()))


def connect(sock: PatientSocket, hop: Hop, *, timeout: float, login: Login) -> fabric.Connection:
    """Check the server's key and log in, on a connected socket that is the connection's from here on.

    ``timeout``: seconds for each of banner, key exchange, login and channel. Raises ConnectionRefused for the host key,
    TunnelRefused, paramiko's SSHException, EOFError or OSError for everything else; the socket is closed then.
    """
    _silence()
    made: list[SecureTransport] = []

    def make_transport(sock: PatientSocket, **options: object) -> SecureTransport:
        transport = SecureTransport(sock, **options)
        made.append(transport)
        security = transport.get_security_options()
        security.ciphers = (*FAST_CIPHERS, *(name for name in security.ciphers if name not in FAST_CIPHERS))
        plain = [name for name in security.key_types if "-cert-" not in name]
        security.key_types = tuple(dict.fromkeys((*hop.pins.algorithms, *plain)))
        transport.banner_timeout = transport.handshake_timeout = timeout
        transport.auth_timeout = transport.channel_timeout = timeout
        return transport

    # No ssh_config and no fabric.yml: what a connection is must not depend on the machine that it is made from.
    config = fabric.Config(ssh_config=paramiko.SSHConfig(), lazy=True)
    options = {"sock": sock, "transport_factory": make_transport, "auth_strategy": login, "timeout": timeout}
    server = hop.server
    connection = fabric.Connection(
        server.address, user=server.user, port=server.port, config=config, connect_kwargs=options
    )
    connection.client.set_missing_host_key_policy(_Pinned(hop.pins))
    try:
        connection.open()
    except BaseException:
        for transport in made:
            # Its timer is a thread that would hold up the end of the program.
            transport.packetizer.complete_handshake()
        connection.client.close()
        sock.close()
        raise
    connection.transport.set_keepalive(KEEP_ALIVE_SECONDS)
    return connection


def _silence() -> None:
    """Keep paramiko's log off the terminal: what matters of it is in the errors."""
    logger = logging.getLogger("paramiko")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
