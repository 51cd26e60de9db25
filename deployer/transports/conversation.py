r"""The line protocol between deployer and its program on a host, over any channel.

Requests go out as lines (a verb, then its arguments) and bodies as frames: ``SIZE\n`` and that many bytes, ``0\n`` at the
end. Answers come back as lines that start with a mark which only the two sides know, so that a message of the day or a
noisy shell profile is skipped. The program's text itself is the first thing sent: nothing is installed on the host.
"""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from deployer.command import encode_program
from deployer.errors import ConnectionLost, DeployerError, DeployFailed, InvalidInput, LockHeld, StateUnknown
from deployer.interrupts import next_of
from deployer.plan import Reply, Request
from deployer.ports import Channel

__all__ = ["Conversation"]

BEAT_SECONDS = 5.0
"""How often an idle client renews its lease on the host (15 s)."""
GOODBYE_SECONDS = 3.0
"""How long to wait for the host to undo and unlock when we leave early."""
BUSY_SECONDS = 2.0
"""A host that ran a command so recently does so still: it notices that we leave by the end of its output, every second."""
REPEATED_LINES = 20
"""How many of the last lines that a command on the host printed are repeated when it fails."""

_RUN_AGAIN = "Run again when the line is good: the host itself undoes what was not finished."
_FAILURES: dict[str, type[DeployerError]] = {
    "failed": DeployFailed,
    "invalid": InvalidInput,
    "held": LockHeld,
    "deposed": DeployFailed,
    "unknown": StateUnknown,
}


@dataclass(frozen=True, slots=True)
class _Fact:
    name: str
    value: bytes


@dataclass(frozen=True, slots=True)
class _Done:
    verb: str


@dataclass(frozen=True, slots=True)
class _Failure:
    error: DeployerError


_Event = _Fact | _Done | _Failure


class Conversation:
    """A session (see :class:`deployer.ports.Session`) on a channel to a shell.

    ``host`` is the name to use in messages; ``notify`` gets what the host says goes on, and ``output`` the lines that
    commands there print, both in the receiving thread. Three threads meet here: the caller reads replies, one thread
    sends, one receives; a fourth renews the lease while nothing is being sent.
    """

    def __init__(
        self,
        channel: Channel,
        program: str,
        host: str,
        notify: Callable[[str], None] = lambda _text: None,
        output: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._channel = channel
        self._notify = notify
        self._output = output
        self._printed: deque[str] = deque(maxlen=REPEATED_LINES)
        self._host = host
        self._mark = secrets.token_hex(8).encode()
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._sending = threading.Lock()
        self._closing = threading.Event()
        self._failed = threading.Event()
        self._first_failure: DeployerError | None = None
        self._end: DeployerError | None = None
        self._noticed = b""
        self._ticked = -BUSY_SECONDS
        self._has_ticked = False
        self._receiver = threading.Thread(target=self._receive, name="deployer-receive", daemon=True)
        self._receiver.start()
        try:
            channel.send(encode_program(program) + self._mark + b"\n")
        except OSError as error:
            channel.close()
            message = f"the connection to {host} broke before the program was there: {error}"
            raise ConnectionLost(message, hint=self._last_words() or _RUN_AGAIN) from error
        threading.Thread(target=self._beat, name="deployer-beat", daemon=True).start()

    def perform(self, *requests: Request) -> tuple[Reply, ...]:
        """Send all requests without waiting in between, and return their replies in order."""
        return tuple(self.stream(requests))

    def stream(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Send requests as the iterable gives them, and yield each reply when it arrives.

        The iterable is consumed by the sending thread, so it may wait for something before its next request.
        """
        sent: queue.SimpleQueue[str | None | BaseException] = queue.SimpleQueue()
        sender = threading.Thread(target=self._send_all, args=(requests, sent), name="deployer-send", daemon=True)
        sender.start()
        while isinstance(verb := next_of(sent), str):
            yield self._reply(verb)
        if isinstance(verb, BaseException):
            raise verb

    def check(self) -> None:
        """Raise what the host, or its end, said without being asked."""
        if self._end is not None:
            raise self._end

    def close(self, *, wait: bool = True) -> None:
        """End the host's input, wait a bounded time until it has undone and unlocked, and close the channel."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._failed.set()
        try:
            self._channel.end_input()
            # A busy host reads nothing, the end of its input neither: there is nothing to wait for.
            if wait and time.monotonic() - self._ticked > BUSY_SECONDS:
                self._receiver.join(GOODBYE_SECONDS)
        except OSError:
            pass
        finally:
            # What has run commands of the user's may have to run some more, to undo what they did.
            self._channel.close(spare=self._has_ticked)

    # --- sending -------------------------------------------------------------------------------------------------------

    def _send_all(self, requests: Iterable[Request], sent: queue.SimpleQueue[str | None | BaseException]) -> None:
        try:
            for request in requests:
                with self._sending:
                    # Before the body: replies may come while it is being sent. And also when nothing can be sent any
                    # more: whoever waits for the reply is told why.
                    sent.put(request.verb)
                    if self._failed.is_set():
                        break
                    self._send(request)
        except ConnectionError:
            # The receiving side knows more: either the host said why it stopped, or its output ended.
            pass
        except BaseException as error:
            sent.put(error)
            # The reader may be waiting for the reply to a request that was cut short.
            self._events.put(_Failure(error if isinstance(error, DeployerError) else DeployFailed(str(error))))
        finally:
            sent.put(None)

    def _send(self, request: Request) -> None:
        for argument in request.arguments:
            if "\n" in argument or "\0" in argument:
                message = f"{request.verb}: {argument!r} holds a line break or NUL, which no request may"
                raise InvalidInput(message)
        lines = "".join(f"{line}\n" for line in (request.verb, *request.arguments))
        self._channel.send(lines.encode("utf-8", "surrogateescape"))
        if request.body is not None:
            for chunk in request.body.chunks():
                if self._failed.is_set():
                    message = "the host stopped listening"
                    raise ConnectionAbortedError(message)
                if chunk:
                    self._channel.send(b"%d\n" % len(chunk) + chunk)
            self._channel.send(b"0\n")

    def _beat(self) -> None:
        while not self._closing.wait(BEAT_SECONDS):
            with self._sending:
                try:
                    self._channel.send(b"beat\n")
                except OSError:
                    return

    # --- receiving -----------------------------------------------------------------------------------------------------

    def _reply(self, verb: str) -> Reply:
        facts: list[tuple[str, bytes]] = []
        while True:
            event = next_of(self._events)
            match event:
                case _Fact(name, value):
                    facts.append((name, value))
                case _Done(done) if done == verb:
                    return Reply(tuple(facts))
                case _Done(done):
                    message = f"{self._host} answered to {done!r} instead of {verb!r}"
                    raise DeployFailed(message)
                case _Failure(error):
                    self._first_failure = self._first_failure or error
                    self._events.put(event)
                    raise self._first_failure

    def _receive(self) -> None:
        lines = _Lines(self._channel)
        try:
            while (line := lines.line()) is not None:
                # A shell's profile may print without a line break: then the mark is not where the line begins.
                _, marked, answer = line.partition(self._mark + b" ")
                if marked:
                    self._take(answer, lines)
        except (OSError, ValueError) as error:
            self._fail(ConnectionLost(f"the connection to {self._host} broke: {error}", hint=_RUN_AGAIN))
        else:
            self._fail(ConnectionLost(f"{self._host} ended the conversation", hint=self._last_words()))

    def _take(self, line: bytes, lines: _Lines) -> None:
        kind, _, rest = line.partition(b" ")
        name, _, value = rest.partition(b" ")
        match kind:
            case b"=":
                self._events.put(_Fact(name.decode(), value))
            case b"#":
                self._events.put(_Fact(name.decode(), lines.exactly(int(value))))
            case b".":
                self._printed.clear()
                self._ticked = -BUSY_SECONDS
                self._events.put(_Done(name.decode()))
            case b"~" if rest != self._noticed:
                self._noticed = rest
                self._notify(f"{self._host}: {rest.decode('utf-8', 'replace')}")
            case b">":
                # Of a line that was written over again and again, as progress is, the last state counts.
                text = rest.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
                self._printed.append(text)
                self._output(text)
            case b"+":
                self._ticked = time.monotonic()
                self._has_ticked = True
            case b"!":
                self._fail(self._failure(name.decode(), value.decode("utf-8", "replace")))

    def _fail(self, error: DeployerError) -> None:
        # The first counts: after "it failed, because" comes "the conversation ended".
        self._end = self._end or error
        self._failed.set()
        self._events.put(_Failure(error))

    def _failure(self, code: str, text: str) -> DeployerError:
        if code == "held":
            return LockHeld(
                f"another deploy holds the lock on {self._host}: {text}",
                hint="Wait for it, give --lock-wait more seconds, or look with `deployer status`.",
            )
        return _FAILURES.get(code, DeployFailed)(f"{self._host}: {text}", hint=self._last_words())

    def _last_words(self) -> str:
        if any(map(str.strip, self._printed)):
            return "\n".join(("The last lines that it printed:", *(f"  {line}" for line in self._printed)))
        words = [line.strip() for line in self._channel.diagnostics().splitlines() if line.strip()]
        return "The host said: " + "; ".join(words[-3:]) if words else ""


class _Lines:
    """Lines and exact sizes out of a channel's pieces."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._buffer = bytearray()

    def line(self) -> bytes | None:
        while (end := self._buffer.find(b"\n")) < 0:
            if not self._more():
                return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._more():
                message = "the host's answer was cut"
                raise ValueError(message)
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _more(self) -> bool:
        data = self._channel.receive()
        self._buffer += data
        return bool(data)
