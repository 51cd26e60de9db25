"""A byte channel (see :class:`deployer.ports.Channel`) to a command that runs on the other side of an SSH connection."""

from __future__ import annotations

import contextlib
import threading

import paramiko

from deployer.transports.route import Route

__all__ = ["RemoteChannel"]

# What OpenSSH takes in one packet, less the 64 bytes that paramiko keeps for its frame. More would only be cut again.
_SEND = (32 << 10) - 64
_RECEIVE = 8 << 20  # all that can have come: taking a part out of the library's buffer moves the rest of it
_TAIL = 4096  # bytes of standard error that are kept
_CLOSE_SECONDS = 1.0


class RemoteChannel:
    """Standard input, output and error of a remote command; the connections to it are closed with it."""

    def __init__(self, route: Route, channel: paramiko.Channel, *, host: str, timeout: float) -> None:
        """``timeout``: seconds without any progress after which sending or receiving fails."""
        self._route, self._channel = route, channel
        self._host, self._timeout = host, timeout
        self._tail = bytearray()
        self._closing = threading.Lock()
        self._closed = False
        channel.settimeout(timeout)
        # One window serves both streams: standard error that nobody reads would stop standard output.
        self._listener = threading.Thread(target=self._listen, name="deployer-stderr", daemon=True)
        self._listener.start()

    def send(self, data: bytes) -> None:
        """Write all of ``data``. Raises ConnectionError when the host is gone or took nothing for ``timeout`` seconds."""
        view = memoryview(data)
        while view:
            try:
                sent = self._channel.send(bytes(view[:_SEND]))
            except TimeoutError:
                raise ConnectionError(f"{self._host} took no data for {self._timeout:g} s") from None
            except (OSError, EOFError, paramiko.SSHException) as error:
                raise self._broken() from error
            if not sent:
                raise self._broken()
            view = view[sent:]

    def receive(self) -> bytes:
        """At least one byte of standard output; empty at its end. Raises ConnectionError when the connection broke."""
        try:
            data: bytes = self._channel.recv(_RECEIVE)
        except TimeoutError:
            raise ConnectionError(f"{self._host} said nothing for {self._timeout:g} s") from None
        except (OSError, EOFError) as error:
            raise self._broken() from error
        if data or self._closed:
            return data
        # First, because the library answers a no by closing the channel, whose end then looks like the command's.
        if self._route.is_connected and not self._channel.event_ready:
            raise ConnectionError(f"{self._host} does not let this user run commands")
        if not self._channel.eof_received:
            raise self._broken()
        return data

    def end_input(self) -> None:
        """Close standard input. Where the connection is stuck or gone, receiving tells so."""
        # In a thread, because the message has to wait its turn behind one that may never leave.
        ender = threading.Thread(target=self._end_input, name="deployer-end-input", daemon=True)
        ender.start()
        ender.join(_CLOSE_SECONDS)

    def diagnostics(self) -> str:
        """The last 4 KiB of standard error so far."""
        if self._channel.eof_received or self._channel.closed:
            self._listener.join(_CLOSE_SECONDS)
        return bytes(self._tail).decode("utf-8", "replace")

    def close(self, *, spare: bool = False) -> None:
        """Close the connections, within a second or two whatever their state; the program ends by itself in any case."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._route.close()

    def _listen(self) -> None:
        while True:
            try:
                data = self._channel.recv_stderr(_RECEIVE)
            except TimeoutError:
                continue
            except (OSError, EOFError, paramiko.SSHException):
                return
            if not data:
                return
            self._tail += data[-_TAIL:]
            del self._tail[:-_TAIL]

    def _end_input(self) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.shutdown_write()

    def _broken(self) -> ConnectionError:
        return ConnectionError(f"the connection to {self._route.broken} ended")
