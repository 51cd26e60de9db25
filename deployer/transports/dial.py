"""TCP to a host: every address of a name in turn, in a thread so that slow imports cost nothing."""

from __future__ import annotations

import socket
import threading
import time

from deployer.errors import ConnectionRefused
from deployer.transports.hop import Hop, place
from deployer.transports.patience import PatientSocket

__all__ = ["Dial", "Passing", "explain"]

_Socket = socket.socket
_GONE = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class Passing(Exception):
    """The host was not there, or hung up before it asked who we are: the next try may go better.

    ``longest_pause`` is how many seconds to wait for that at most, each time: longer where the host is there but busy.
    """

    def __init__(self, reason: ConnectionRefused, longest_pause: float = 1.0) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.longest_pause = longest_pause


class Dial:
    """A connection being made in the background, from construction on."""

    def __init__(self, address: str, port: int, *, timeout: float, patience: float) -> None:
        """``timeout``: seconds for all addresses together; ``patience``: see :class:`PatientSocket`."""
        self._address, self._port = address, port
        self._deadline = time.monotonic() + timeout
        self._patience = patience
        self._socket: PatientSocket | None = None
        self._error: OSError | None = None
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name="deployer-dial", daemon=True)
        self._thread.start()

    def socket(self) -> PatientSocket:
        """The connected socket, waiting for it. Raises OSError."""
        self._thread.join()
        if self._socket is None:
            raise self._error or OSError("no address")
        return self._socket

    def abandon(self) -> None:
        """Give the connection up, made or not, without waiting for it."""
        self._abandoned = True
        if self._socket:
            self._socket.close()

    def _run(self) -> None:
        try:
            found = socket.getaddrinfo(self._address, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            self._error = error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, str(error))
            return
        for index, (family, kind, protocol, _, address) in enumerate(found):
            # A dead address, IPv6 say, may use its share of the time only.
            share = (self._deadline - time.monotonic()) / (len(found) - index)
            if share <= 0 or self._connect(socket.socket(family, kind, protocol), address, share):
                break
        if self._socket is None and self._error is None:
            self._error = TimeoutError()
        if self._abandoned and self._socket:
            self._socket.close()

    def _connect(self, sock: _Socket, address: object, timeout: float) -> bool:
        try:
            sock.settimeout(timeout)
            sock.connect(address)  # type: ignore[arg-type]  # from getaddrinfo: right for its family
            _tune(sock, self._patience)
        except OSError as error:
            self._error = error
            sock.close()
            return False
        self._socket = PatientSocket(sock, self._patience)
        return True


def _tune(sock: _Socket, patience: float) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Linux ends a connection whose data nobody acknowledges for so long; else it would try for 15 minutes.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(patience * 1000))


def explain(error: OSError, hop: Hop, timeout: float) -> Exception:
    """What a person should read when ``hop`` cannot be reached from here; Passing, where another try may go better."""
    address, name = hop.server.address, place(hop.server.address, hop.server.port)
    setting = "host.jump (--jump)" if hop.onward else "host.address and host.port (--host)"
    match error:
        case socket.gaierror() if error.errno in _GONE:
            return ConnectionRefused(f"there is no host named {address}", hint=f"Check {setting}.")
        case socket.gaierror():
            text = f"the name {address} cannot be looked up now: {error.strerror}"
            hint = "Is this machine connected, and its name server?"
        case TimeoutError():
            text = f"{name} did not answer within {timeout:g} s"
            hint = f"Check {setting}, and that no firewall drops the connection; --connect-timeout waits longer."
        case ConnectionRefusedError():
            text, hint = f"nothing listens at {name}: connection refused", f"Check {setting}, and that sshd runs there."
        case _:
            text, hint = f"cannot connect to {name}: {error.strerror or error}", ""
    return Passing(ConnectionRefused(text, hint=hint))
