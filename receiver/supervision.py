"""``receiver run``: two programs that live and end together."""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import FrameType

from receiver.reaping import reap_strangers

__all__ = ["supervise"]

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
HEALTHY_SECONDS = 60
"""A program that lived this long has not failed at its start."""
_log = logging.getLogger("receiver.run")
_STOP, _PASS_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT), (signal.SIGHUP,)


class _Program:
    """One program, started again whenever it ends, at longer and longer intervals while it fails at once."""

    def __init__(self, name: str, arguments: Sequence[str]) -> None:
        self.name, self._arguments = name, arguments
        self.process: subprocess.Popen[bytes] | None = None
        self._started = self._due = time.monotonic()
        self._pause = SHORTEST_PAUSE

    def start_when_due(self) -> None:
        if self.process is None and time.monotonic() >= self._due:
            self._started = time.monotonic()
            self.process = subprocess.Popen(self._arguments, stdin=subprocess.DEVNULL, process_group=0)

    def notice_end(self, *, stopping: bool) -> None:
        if self.process is None or self.process.poll() is None:
            return
        if not stopping:
            lived = time.monotonic() - self._started
            self._pause = SHORTEST_PAUSE if lived > HEALTHY_SECONDS else min(self._pause * 2, LONGEST_PAUSE)
            self._due = time.monotonic() + self._pause
            _log.error("%s has ended with %s; it starts again", self.name, self.process.returncode)
        self.process = None

    def send(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)


def supervise(programs: Mapping[str, Sequence[str]]) -> int:
    """Run ``programs`` until SIGTERM or SIGINT, which they get as SIGTERM; SIGHUP is passed on. Returns the exit code.

    Children of children that lost their parent become ours (as a container's first process), and are not left as zombies.
    """
    children = [_Program(name, arguments) for name, arguments in programs.items()]
    pending: list[int] = []
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def arrived(number: int, _frame: FrameType | None) -> None:
        pending.append(number)

    for expected in (*_STOP, *_PASS_ON, signal.SIGCHLD):
        signal.signal(expected, arrived)
    stopping = False
    while not stopping or any(child.process for child in children):
        for child in children:
            child.notice_end(stopping=stopping)
            if not stopping:
                child.start_when_due()
        _sleep(read, 0.5 if any(child.process is None for child in children) else 60.0)
        while pending:
            number = pending.pop(0)
            stopping = stopping or number in _STOP
            if number in (*_STOP, *_PASS_ON):
                for child in children:
                    child.send(signal.SIGHUP if number in _PASS_ON else signal.SIGTERM)
        if os.getpid() == 1:
            reap_strangers({child.process.pid for child in children if child.process})
    return 0


def _sleep(descriptor: int, seconds: float) -> None:
    """Until a signal arrives; the pipe makes sure that none is missed between looking and sleeping."""
    if select.select([descriptor], [], [], seconds)[0]:
        os.read(descriptor, 4096)
