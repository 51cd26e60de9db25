"""A Deployment on GitHub, recorded by a process of its own, so that GitHub can neither delay nor fail a deploy."""

from __future__ import annotations

import contextlib
import enum
import json
import os
import select
import subprocess
import sys
import time

from deployer.reporting.github.calls import NOTHING_IS_RECORDED
from deployer.reporting.github.subject import Ending, Subject, to_line

__all__ = ["DeploymentRecord", "Outcome"]

END_SECONDS = 10.0
INTERRUPTED_SECONDS = 1.0
"""A cancelled job has five seconds in all, and they belong to the server."""
_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from deployer.reporting.github.keeper import main; main()"


class Outcome(enum.Enum):
    """How a deploy ended, in the words of GitHub's API."""

    SUCCESS = "success"
    FAILURE = "failure"
    INTERRUPTED = "error"


class DeploymentRecord:
    """The record of one deploy: :meth:`begin` it at any time, :meth:`end` it once.

    Importing PyGithub alone takes the processor for as long as a small deploy, and a thread would take that from ours; a
    thread would also keep the static strategy from forking. The process is killed when its time is over, ends when this
    one does, and gets no signals of a terminal.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._process: subprocess.Popen[bytes] | None = None
        self._trouble = ""

    def begin(self) -> None:
        """Have the Deployment made, in progress. Returns at once and never raises; a second call changes nothing."""
        if self._process is not None or self._trouble or not self._subject.token:
            return
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-X", "utf8", "-c", _PROGRAM, *filter(None, sys.path)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            self._trouble = f"{NOTHING_IS_RECORDED}: a process for it cannot be started ({error.strerror})"
            return
        _send(self._process, self._subject)

    def end(self, outcome: Outcome, url: str = "", description: str = "") -> str:
        """Record how the deploy ended, with ``url`` as where the environment is; begins, if nobody has.

        Returns the one warning, which says what GitHub now lacks and why; empty: nothing, or there is no token. Takes at
        most ten seconds, one if the deploy was interrupted, and no more after KeyboardInterrupt, which is not passed on.
        """
        if outcome is not Outcome.INTERRUPTED:
            # What was interrupted before anything was recorded needs no record.
            self.begin()
        if self._process is None:
            return self._trouble
        seconds = INTERRUPTED_SECONDS if outcome is Outcome.INTERRUPTED else END_SECONDS
        said = _Said()
        try:
            _send(self._process, Ending(outcome.value, url, description))
            said.listen(self._process, time.monotonic() + seconds)
        except TimeoutError:
            said.why = f"GitHub's API did not answer within {seconds:g} s"
        except KeyboardInterrupt:
            said.why = "interrupted"
        finally:
            _close(self._process)
        return said.trouble


class _Said:
    """What the process has told so far."""

    def __init__(self) -> None:
        self.missing = NOTHING_IS_RECORDED
        self.why = ""
        self._rest = b""

    @property
    def trouble(self) -> str:
        """The warning; empty when nothing is missing."""
        return f"{self.missing}: {self.why or 'the process for it has died'}" if self.missing else ""

    def listen(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        """Listen until the process ends. Raises TimeoutError."""
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        while True:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError
            piece = os.read(process.stdout.fileno(), 4096)
            if not piece:
                return
            *lines, self._rest = (self._rest + piece).split(b"\n")
            for line in lines:
                self.missing, self.why = json.loads(line)


def _send(process: subprocess.Popen[bytes], order: Subject | Ending) -> None:
    # A line is far smaller than a pipe holds, so that this never waits; a process that has died says so by its silence.
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.write(to_line(order))


def _close(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
