"""Running a user's own command on this machine: its lines as they come, and its end together with all that it started."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployer.interrupts import LOOK_SECONDS, postponed

__all__ = ["Ended", "run_child", "without_secrets"]

LAST_LINES = 10
GRACE_SECONDS = 1.0
"""How long a command that is ended may clean up. A deploy that is interrupted has five seconds in all."""
LONGEST_LINE = 1 << 16
READ_SIZE = 1 << 16
_SECRET_VARIABLES = frozenset(
    f"DEPLOYER_{name}" for name in ("KEY", "KEY_PASSPHRASE", "GITHUB_TOKEN", "REPOSITORY_KEY")
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code (negative: a signal's number; None: its time was over) and its last lines."""

    status: int | None
    last: tuple[str, ...]

    @property
    def how(self) -> str:
        """The end in words."""
        if self.status is None:
            return "did not end in time"
        return f"was killed by signal {-self.status}" if self.status < 0 else f"ended with exit code {self.status}"


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that a user's command may see: all but deployer's secrets."""
    return {name: value for name, value in environment.items() if name not in _SECRET_VARIABLES}


def run_child(
    arguments: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
    *,
    timeout: float | None = None,
    stop: Callable[[], None] = lambda: None,
) -> Ended:
    """Run a program with these variables in ``directory``, without input; ``on_line`` gets what it says on both streams.

    It is over when nothing holds its output any more, or after ``timeout`` seconds. Then, and after any exception, its
    whole process group is ended; ``stop`` is called when it had its chance to end by itself, for what is elsewhere.
    Raises OSError when it cannot be started.
    """
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    last: deque[str] = deque(maxlen=LAST_LINES)
    process: subprocess.Popen[bytes] | None = None
    try:
        with postponed():
            process = _start(arguments, directory, environment)
        assert process.stdout is not None
        for line in _lines(process.stdout.fileno(), deadline):
            last.append(line)
            on_line(line)
        status = process.wait(None if timeout is None else max(0, deadline - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired):
        assert process is not None
        _end(process, stop)
        return Ended(None, tuple(last))
    except BaseException:
        if process is not None:
            _end(process, stop)
        raise
    finally:
        if process is not None:
            _close(process)
    return Ended(status, tuple(last))


def _start(arguments: Sequence[str], directory: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        arguments,
        cwd=directory,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _close(process: subprocess.Popen[bytes]) -> None:
    """Give its pipe back, and do not leave a zombie."""
    assert process.stdout is not None
    process.stdout.close()
    process.wait()


def _lines(descriptor: int, deadline: float) -> Iterator[str]:
    """Lines without their ends; one that does not end is cut. Raises TimeoutError."""
    waiting = b""
    while piece := _read(descriptor, deadline):
        *whole, waiting = (waiting + piece).split(b"\n")
        yield from map(_text, whole)
        if len(waiting) > LONGEST_LINE:
            yield _text(waiting)
            waiting = b""
    if waiting:
        yield _text(waiting)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r")


def _read(descriptor: int, deadline: float) -> bytes:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while not poll.poll(1000 * min(LOOK_SECONDS, max(0, deadline - time.monotonic()))):
        if time.monotonic() >= deadline:
            raise TimeoutError
    return os.read(descriptor, READ_SIZE)


def _end(process: subprocess.Popen[bytes], stop: Callable[[], None]) -> None:
    """End the whole group: make's children would go on building otherwise, and some do not listen to SIGTERM."""
    deadline = time.monotonic() + GRACE_SECONDS
    try:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            while time.monotonic() < deadline:
                process.poll()  # or it would stay in its group for ever
                os.killpg(process.pid, 0)
                time.sleep(0.02)
    finally:
        stop()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
