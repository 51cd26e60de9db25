"""The jobs that a worker has taken: their processes, until nothing of them is left."""

from __future__ import annotations

import contextlib
import logging
import selectors
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from receiver.config import ReceiverConfig, Secrets
from receiver.store import Job
from receiver.worker.children import TERM_SECONDS, Child, fork
from receiver.worker.display import JobLog, hider
from receiver.worker.isolation import marked, signal_all
from receiver.worker.job import Work, carry_out
from receiver.worker.owner import Owner
from receiver.worker.queue import Taken, WorkQueue
from receiver.worker.verdict import Verdict, failure

__all__ = ["Running", "RunningJobs", "Sweep", "by_owner", "mark_of"]

SWEEP_SECONDS = 0.1
INTERRUPTED = 130
_log = logging.getLogger("receiver.worker")


class Sweep:
    """Ends what a job has left running after its own process was killed: politely, and after half a minute at once."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._kill_at = time.monotonic() + TERM_SECONDS
        signal_all(mark, signal.SIGTERM)

    def done(self) -> bool:
        """Whether nothing is left."""
        late = time.monotonic() >= self._kill_at
        return not (signal_all(self._mark, signal.SIGKILL) if late else any(marked(self._mark)))


@dataclass(slots=True)
class Running:
    """One job with its process, and with the sweep behind it if that died."""

    job: Job
    child: Child
    log: JobLog
    mark: str
    stopped_by_us: bool = False
    lost: bool = False
    sweep: Sweep | None = None


class RunningJobs:
    """Starts jobs in children and hands their ends to the queue."""

    def __init__(self, owner: Owner, queue: WorkQueue, selector: selectors.BaseSelector) -> None:
        self._owner = owner
        self._queue = queue
        self._selector = selector
        self._running: list[Running] = []

    @property
    def jobs(self) -> list[Job]:
        """Those that are not over."""
        return [each.job for each in self._running]

    @property
    def processes(self) -> set[int]:
        """Theirs."""
        return {each.child.process for each in self._running}

    def start(self, taken: Taken, config: ReceiverConfig, secrets: Secrets) -> None:
        """Begin a job that was just claimed."""
        job, head, live = taken
        mark = mark_of(job)
        work = Work(job, config, secrets, head, live, mark)
        hide = hider(work.hidden())
        self._queue.rest()
        try:
            child = fork(partial(_be_job, work, hide), work.app.timeout, {self._owner.descriptor})
        except OSError as error:
            _log.error("job %d cannot be started: %s", job.id, error.strerror)
            self._queue.end(job, None, f"no process could be started: {error.strerror}")
            return
        running = Running(job, child, JobLog(config.log_folder, job.id, hide), mark)
        for descriptor in (child.result, child.output):
            self._selector.register(descriptor, selectors.EVENT_READ, partial(self._heard, running, descriptor))
        self._running.append(running)
        _log.info("job %d of %s begins, attempt %d", job.id, job.app, job.attempt)

    def _heard(self, running: Running, descriptor: int) -> None:
        if not running.child.read(descriptor, running.log.output):
            self._selector.unregister(descriptor)

    def lose(self, numbers: frozenset[int]) -> None:
        """These are somebody else's by now: whatever they do is not to go on."""
        for each in self._running:
            if each.job.id in numbers:
                each.lost = True
                each.child.stop("the job was given to another worker")

    def stop(self) -> None:
        """Interrupt all of them; they go on later."""
        for each in self._running:
            each.stopped_by_us = True
            each.child.stop("the worker stops")

    def watch(self) -> float:
        """Look after all of them. Returns when to look again (monotonic)."""
        again = float("inf")
        for each in list(self._running):
            if not each.child.is_over():
                again = min(again, each.child.watch())
            elif self._is_over(each):
                self._running.remove(each)
            else:
                again = min(again, time.monotonic() + SWEEP_SECONDS)
        return again

    def _is_over(self, each: Running) -> bool:
        """Whether nothing of an ended job is left; then its end is handed over."""
        child = each.child
        if each.sweep is None:
            for descriptor in (child.result, child.output):
                child.read(descriptor, each.log.output)
            if child.verdict is None:
                each.sweep = Sweep(each.mark)
        if each.sweep is not None and not each.sweep.done():
            return False
        for descriptor in (child.result, child.output):
            with contextlib.suppress(KeyError):
                self._selector.unregister(descriptor)
        child.close()
        if not each.lost:
            self._hand_over(each, child.verdict)
        each.log.finish()
        return True

    def _hand_over(self, each: Running, verdict: Verdict | None) -> None:
        interrupted = verdict is None or verdict.exit_code == INTERRUPTED
        if interrupted and each.stopped_by_us:
            self._queue.end(each.job, verdict, each.child.why, again=True)
        elif interrupted and each.child.why:
            each.log.error(each.child.why)
            commit = verdict.commit if verdict else each.job.hint
            self._queue.end(each.job, failure(each.child.why, commit=commit))
        else:
            self._queue.end(each.job, verdict)


def by_owner(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    """The jobs of each worker."""
    found: dict[str, list[Job]] = {}
    for job in jobs:
        found.setdefault(job.owner, []).append(job)
    return found


def mark_of(job: Job) -> str:
    """What tells the processes of this attempt from those of others."""
    return f"{job.owner}:{job.id}:{job.fence}"


def _be_job(work: Work, hide: Callable[[str], str]) -> Verdict:
    log = JobLog(work.config.log_folder, work.job.id, hide)
    log.write("attempt", f"attempt {work.job.attempt} by {work.job.owner}")
    verdict = carry_out(work, log)
    log.finish()
    return verdict
