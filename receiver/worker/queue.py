"""The worker's side of the queue: jobs that it takes, keeps and gives back, whatever the database is up to."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import TypeVar

from receiver.config import ReceiverConfig
from receiver.errors import StoreUnavailable
from receiver.logs import LogWriter
from receiver.rules import retry_after
from receiver.store import Database, Head, Job, LiveApp, Status, history, jobs, upkeep
from receiver.worker.verdict import Verdict, failure

__all__ = ["Taken", "WorkQueue"]

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
_log = logging.getLogger("receiver.worker")
_Answer = TypeVar("_Answer")
_NO_JOBS: tuple[Job, ...] = ()
Taken = tuple[Job, Head | None, LiveApp | None]


class WorkQueue:
    """Everything that ``owner`` asks of the database. While it does not answer, every method says so by its result."""

    def __init__(self, config: ReceiverConfig, owner: str) -> None:
        self.config = config
        self._owner = owner
        self._started_at = time.time()
        self._database: Database | None = None
        self._not_before = 0.0
        self._pause = SHORTEST_PAUSE
        self._ended: list[tuple[Job, Verdict, float | None]] = []

    @property
    def retry_at(self) -> float:
        """When it is worth while to ask again (monotonic); 0: the database answered last time."""
        return self._not_before

    @property
    def held(self) -> list[Job]:
        """Jobs whose end is known here, and not yet in the database."""
        return [job for job, _, _ in self._ended]

    def reconfigure(self, config: ReceiverConfig) -> None:
        """Work by another configuration."""
        if config.database_url != self.config.database_url:
            self.rest()
            self._database = None
        self.config = config

    def rest(self) -> None:
        """Close every connection: none may be open in a process that forks, and an idle worker needs none."""
        if self._database is not None:
            self._database.close()

    def claim(self) -> Taken | None:
        """The next job, with what is known of its ref and its app; None: there is none, or nobody can tell."""
        owner = self._owner
        job = self._asked(lambda database: jobs.claim(database, owner, self.config.apps.keys()), None)
        if job is None:
            return None
        taken = self._asked(lambda database: _with_history(database, job), None)
        if taken is None:
            # Without that nobody can tell whether it is due.
            self.end(job, None, "the database did not answer", again=True)
        return taken

    def renew(self, held: Collection[Job]) -> frozenset[int]:
        """Keep ``held`` jobs. Returns the ids of those that are no longer ours."""
        everything = frozenset(job.id for job in held)
        kept = self._asked(lambda database: jobs.renew(database, held), everything) if held else everything
        return everything - kept

    def see(self) -> None:
        """Let others know that this worker lives."""
        self._asked(lambda database: upkeep.see_worker(database, self._owner, self._started_at), None)

    def active(self) -> tuple[Job, ...] | None:
        """All jobs that wait or run, of every worker; None: the database does not answer."""
        return self._asked(_active, None)

    @property
    def alone(self) -> bool:
        """Whether all who share the database are on this machine."""
        return self._asked(lambda database: database.is_sqlite, False)  # noqa: FBT003  # what is not known

    def recover(self, dead: Collection[str]) -> None:
        """Let the jobs of dead workers wait again."""
        for job in self._asked(lambda database: jobs.recover(database, dead), _NO_JOBS):
            _log.warning("job %d of %s was left by a killed worker; it waits again", job.id, job.app)
            self._end_of_log(job)

    def recover_late(self) -> None:
        """Let the jobs wait again that another machine's worker has not kept in time."""
        if not self.alone:
            self.recover(())

    def give_back(self, found: Collection[Job], kept: Collection[Job]) -> None:
        """Jobs that are ours by the database, but not ``kept`` by us: its answer to the claim was lost on the way."""
        numbers = {job.id for job in kept}
        for job in found:
            if job.id not in numbers:
                self.end(job, None, "the database's answer was lost", again=True)

    def forget_workers(self, gone: Collection[str]) -> None:
        """Workers that have ended."""
        if gone:
            self._asked(lambda database: upkeep.forget_workers(database, gone), None)

    def end(self, job: Job, verdict: Verdict | None, why: str = "", *, again: bool = False) -> None:
        """``job`` has ended so; None: its process died without a word, and ``why`` may say of what. Never waits.

        ``again``: it was interrupted by us, and goes on later.
        """
        if verdict is None:
            verdict = failure(why or "its process died without a word", 130)
        after = 0.0 if again else retry_after(verdict.exit_code, job.attempt)
        if verdict.status is not Status.FAILED:
            after = None
        self._ended.append((job, verdict, after))

    def settle(self) -> bool:
        """Store the ends that are not stored. Returns whether any was."""
        stored = False
        while self._ended:
            job, verdict, after = self._ended[0]
            if not self._settled(job, verdict, after):
                break
            self._ended.pop(0)
            stored = True
        return stored

    def _settled(self, job: Job, verdict: Verdict, after: float | None) -> bool:
        def store(database: Database) -> bool:
            if after is None:
                return jobs.settle(database, job, verdict.settled)
            return jobs.requeue(database, job, after=after, error=verdict.error)

        ours = self._asked(store, None)
        if ours is None:
            return False
        if not ours:
            _log.warning("job %d was no longer ours when it ended", job.id)
        elif after is None:
            _log.info("job %d of %s: %s", job.id, job.app, verdict.status.value)
        else:
            _log.info("job %d of %s waits again: %s", job.id, job.app, verdict.error)
            self._tell(job, "note", f"tries again in {after:g} s" if after else "waits again")
        self._end_of_log(job)
        return True

    def _end_of_log(self, job: Job) -> None:
        """Readers of the log stop at its end, which is where the job's is."""
        found = self._asked(lambda database: _job(database, job.id), None)
        if found is not None and found.status.over:
            self._tell(job, "end", found.status.value)

    def _tell(self, job: Job, kind: str, text: str) -> None:
        try:
            writer = LogWriter(self.config.log_folder, job.id)
        except OSError:
            return  # a full disk costs lines and nothing else
        writer.write(kind, text)
        writer.close()

    def _asked(self, question: Callable[[Database], _Answer], otherwise: _Answer) -> _Answer:
        """The database's answer, or ``otherwise``: then it is left alone for a while."""
        if time.monotonic() < self._not_before:
            return otherwise
        try:
            if self._database is None:
                self._database = Database.open(self.config.database_url)
            answer = question(self._database)
        except StoreUnavailable as error:
            _log.error("%s; trying again", error.message)
            self._not_before = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            return otherwise
        self._not_before, self._pause = 0.0, SHORTEST_PAUSE
        return answer


def _with_history(database: Database, job: Job) -> Taken:
    with database.reading() as connection:
        return job, history.head_of(connection, job.app, job.ref), history.live_app(connection, job.app)


def _active(database: Database) -> tuple[Job, ...]:
    with database.reading() as connection:
        return history.active_jobs(connection)


def _job(database: Database, number: int) -> Job | None:
    with database.reading() as connection:
        return history.job(connection, number)
