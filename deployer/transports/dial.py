"""TCP to a host: every address of a name in turn, in a thread so that slow imports cost nothing, and stalls noticed."""

from __future__ import annotations

import socket
import threading
import time

from deployer.errors import ConnectionRefused

__all__ = ["Dial", "PatientSocket", "explain", "is_permanent"]

_GREETING = 512  # bytes: what a server says before its SSH banner, enough for an error message
_GONE = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class PatientSocket(socket.socket):
    """A TCP socket that notices when the other side stops taking data.

    The SSH library repeats a send that timed out for ever; after ``patience`` seconds without a byte sent, ours fails.
    """

    patience = 60.0
    greeting = b""
    _blocked_since = 0.0

    def send(self, data: bytes, flags: int = 0) -> int:  # type: ignore[override]  # buffers are not needed
        """Send some of the data. Raises OSError after ``patience`` seconds without progress."""
        try:
            sent = super().send(data, flags)
        except TimeoutError:
            now = time.monotonic()
            self._blocked_since = self._blocked_since or now
            if now - self._blocked_since >= self.patience:
                raise ConnectionAbortedError(f"no data was taken for {self.patience:g} s") from None
            raise
        self._blocked_since = 0.0
        return sent

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive, and keep the first bytes for error messages."""
        data = super().recv(size, flags)
        if len(self.greeting) < _GREETING:
            self.greeting += data
        return data


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
            if share <= 0 or self._connect(PatientSocket(family, kind, protocol), address, share):
                break
        if self._socket is None and self._error is None:
            self._error = TimeoutError()
        if self._abandoned and self._socket:
            self._socket.close()

    def _connect(self, sock: PatientSocket, address: object, timeout: float) -> bool:
        try:
            sock.settimeout(timeout)
            sock.connect(address)  # type: ignore[arg-type]  # from getaddrinfo: right for its family
            _tune(sock, self._patience)
        except OSError as error:
            self._error = error
            sock.close()
            return False
        self._socket = sock
        return True


def _tune(sock: PatientSocket, patience: float) -> None:
    sock.patience = patience
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Linux ends a connection whose data nobody acknowledges for so long; else it would try for 15 minutes.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(patience * 1000))


def explain(error: OSError, address: str, port: int, timeout: float) -> ConnectionRefused:
    """The error that a person should read for a connection that could not be made."""
    host = f"{address}:{port}"
    match error:
        case socket.gaierror() if error.errno in _GONE:
            return ConnectionRefused(f"there is no host named {address}", hint="Check host.address (--host).")
        case socket.gaierror():
            hint = "Is this machine connected, and its name server?"
            return ConnectionRefused(f"the name {address} cannot be looked up now: {error.strerror}", hint=hint)
        case TimeoutError():
            hint = "Check address and port, and that no firewall drops the connection; --connect-timeout waits longer."
            return ConnectionRefused(f"{host} did not answer within {timeout:g} s", hint=hint)
        case ConnectionRefusedError():
            hint = "Check host.port, and that sshd runs on the server."
            return ConnectionRefused(f"nothing listens at {host}: connection refused", hint=hint)
        case _:
            return ConnectionRefused(f"cannot connect to {host}: {error.strerror or error}")


def is_permanent(error: OSError) -> bool:
    """Whether another try can only fail the same way: the name does not exist."""
    return isinstance(error, socket.gaierror) and error.errno in _GONE
