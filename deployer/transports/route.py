"""The connections on the way to a host, each but the first inside the one before."""

from __future__ import annotations

import contextlib

import fabric
import paramiko

from deployer.transports.patience import PatientSocket

__all__ = ["Route", "Tunnel"]

_EVERYTHING = 8 << 20  # all that can have come: taking a part out of the library's buffer moves the rest of it
_CLOSE_SECONDS = 1.0


class Tunnel:
    """A channel through a jump host, as the stream of the connection to the server behind it."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._rest = memoryview(b"")
        self.settimeout = channel.settimeout
        self.shutdown = channel.shutdown

    @property
    def is_cut(self) -> bool:
        """Whether it ended because the connection around it did: no word came that the other end had closed it."""
        return bool(self._channel.closed and not self._channel.eof_received)

    def send(self, data: bytes) -> int:
        """Send some of the data. Raises TimeoutError, or OSError when the channel is closed."""
        sent: int = self._channel.send(data)
        if not sent:
            raise BrokenPipeError("the tunnel is closed")
        return sent

    def recv(self, size: int) -> bytes:
        """Some bytes, at most ``size``; empty at the end. Raises TimeoutError."""
        if not self._rest:
            self._rest = memoryview(self._channel.recv(_EVERYTHING))
        data, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return data

    def close(self) -> None:
        """Close the channel, whatever became of the connection around it."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.close()


class Route:
    """Connections that are closed together, and that know which of them broke."""

    def __init__(self, first: PatientSocket) -> None:
        """``first`` is the TCP socket on which everything runs."""
        self._first = first
        self._connections: list[tuple[str, fabric.Connection]] = []
        self._tunnels: list[Tunnel] = []

    def add(self, name: str, connection: fabric.Connection) -> None:
        """Take the next connection; ``name`` is what messages call its server."""
        self._connections.append((name, connection))

    def tunnel(self, channel: paramiko.Channel, patience: float) -> PatientSocket:
        """The channel, through the last connection, as the next connection's socket."""
        self._tunnels.append(Tunnel(channel))
        return PatientSocket(self._tunnels[-1], patience)

    @property
    def is_connected(self) -> bool:
        """Whether the last connection stands."""
        return bool(self._connections[-1][1].is_connected)

    @property
    def broken(self) -> str:
        """The name of the server whose connection broke: of the first, because it took all behind it along."""
        cut = (name for (name, _), tunnel in zip(self._connections, self._tunnels, strict=False) if tunnel.is_cut)
        return next(cut, self._connections[-1][0])

    def close(self) -> None:
        """Close them all, within a second or two whatever their state. Never raises."""
        # First, because it wakes every thread that waits for the network, and lets what was sent still arrive.
        with contextlib.suppress(OSError):
            self._first.shutdown(2)
        for _, connection in reversed(self._connections):
            with contextlib.suppress(Exception):
                transport = connection.transport
                connection.close()
                transport.join(_CLOSE_SECONDS)
        self._first.close()
