"""The worker's children: forked, so that a job's first step runs at once, watched, and ended with all that they started."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import msgspec

from deployer.interrupts import Interrupts
from deployer.leaving import leave
from receiver.worker.isolation import become_child
from receiver.worker.verdict import Verdict

__all__ = ["Child", "fork"]

TERM_SECONDS = 30.0
"""Between the polite signal and the other."""
READ_SIZE = 1 << 16
LARGEST_TOLD = 16 << 20
_BLOCKED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


@dataclass(slots=True)
class Child:
    """A forked process. ``result`` and ``output`` are ours of the pipes on which it tells its verdict and everything else.

    After ``seconds``, at ``deadline`` (monotonic), it is told to end, and ``why`` has the reason; ``exit_code`` is None as
    long as it runs.
    """

    process: int
    result: int
    output: int
    seconds: float
    deadline: float
    why: str = ""
    exit_code: int | None = None
    _kill_at: float = float("inf")
    _told: bytearray = field(default_factory=bytearray)
    _rest: bytes = b""

    def read(self, descriptor: int, on_line: Callable[[str], None]) -> bool:
        """Take what there is of ``result`` or ``output``, without waiting. False: nothing will come any more.

        ``on_line`` gets what it printed.
        """
        while True:
            try:
                piece = os.read(descriptor, READ_SIZE)
            except BlockingIOError:
                return True
            if not piece:
                return False
            if descriptor == self.output:
                self._print(piece, on_line)
            elif len(self._told) < LARGEST_TOLD:
                self._told += piece

    def _print(self, piece: bytes, on_line: Callable[[str], None]) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > READ_SIZE:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            on_line(line.decode("utf-8", "replace"))

    @property
    def verdict(self) -> Verdict | None:
        """What it has told; None: it died without a word."""
        line, end, _ = bytes(self._told).partition(b"\n")
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(line, type=Verdict) if end else None
        return None

    def is_over(self) -> bool:
        """Whether it has ended."""
        if self.exit_code is None:
            found, status = os.waitpid(self.process, os.WNOHANG)
            if found:
                self.exit_code = os.waitstatus_to_exitcode(status)
        return self.exit_code is not None

    def stop(self, why: str) -> None:
        """Tell it to end, once; in half a minute it has to."""
        if not self.why:
            self.why = why
            self._kill_at = time.monotonic() + TERM_SECONDS
            self._send(signal.SIGTERM)

    def watch(self) -> float:
        """Do what is due by now. Returns when to look again (monotonic)."""
        now = time.monotonic()
        if now >= self.deadline:
            self.stop(f"it took longer than {self.seconds:g} s")
        if now >= self._kill_at:
            self._kill_at = float("inf")
            self.kill()
        return self._kill_at if self.why else self.deadline

    def kill(self) -> None:
        """End it at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        # Nobody else waits for it, so that its number is its own until then.
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process, number)

    def close(self) -> None:
        """Give the pipes back."""
        os.close(self.result)
        os.close(self.output)


def fork(body: Callable[[], Verdict | None], seconds: float, kept: Collection[int] = ()) -> Child:
    """Run ``body`` in a child that may take ``seconds``. What it returns is told to us; ``kept`` stay open there.

    To be called in a process of one thread. Raises OSError.
    """
    result, telling = os.pipe2(os.O_CLOEXEC)
    output, printing = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    # No signal is to meet the parent's handlers in the child.
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    try:
        process = os.fork()
        if process == 0:
            _be_child(body, parent, seconds, {*kept, telling}, telling, printing)
    except OSError:
        for descriptor in (result, telling, output, printing):
            os.close(descriptor)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
    os.close(telling)
    os.close(printing)
    os.set_blocking(result, False)
    os.set_blocking(output, False)
    return Child(process, result, output, seconds, time.monotonic() + seconds)


def _be_child(
    body: Callable[[], Verdict | None], parent: int, seconds: float, kept: set[int], telling: int, printing: int
) -> None:
    """Never returns."""
    code = 1
    try:
        gc.freeze()  # what is the parent's stays shared with it
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        become_child(parent, kept, printing)
        # Whoever would end us may be dead: then the kernel does, after the longest time that we can have.
        signal.setitimer(signal.ITIMER_REAL, seconds + 2 * TERM_SECONDS)
        tempfile.tempdir = None
        # Those of the parent may know its files' positions.
        sys.stdout, sys.stderr = (
            os.fdopen(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
            for number in (1, 2)
        )
        try:
            interrupts = Interrupts()
            interrupts.install()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
            verdict = body()
            interrupts.ignore()
        except KeyboardInterrupt:
            verdict = None
        if verdict is not None:
            _tell(telling, msgspec.json.encode(verdict) + b"\n")
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        leave(code)


def _tell(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BrokenPipeError:
            return  # the worker is dead; the next one runs the job again
