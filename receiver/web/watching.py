"""One pair of eyes for all who follow logs: a thread that looks at each followed job's file and state, and wakes them.

Five hundred readers of one log cost one ``stat`` every 0.3 s and one query every two, not five hundred of each.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select

from receiver.errors import StoreUnavailable
from receiver.logs import log_file
from receiver.store import Database, Status
from receiver.store.schema import jobs

__all__ = ["Follower", "Watch"]

LOOK_SECONDS = 0.3
STATE_SECONDS = 2.0
_ACTIVE = frozenset({Status.WAITING.value, Status.RUNNING.value})


class Follower:
    """One reader of one job's log."""

    def __init__(self, watch: Watch, job: int) -> None:
        self._watch = watch
        self._job = job

    def wait(self, size: int, timeout: float) -> None:
        """Return when the file is no longer ``size`` bytes long, the job is over, all must end, or time is up."""
        self._watch.wait(self._job, size, timeout)

    @property
    def size(self) -> int:
        """How long the file was when it was looked at last."""
        return self._watch.size(self._job)

    @property
    def over(self) -> bool:
        """Whether the job was over before the file was looked at last: then nothing more comes."""
        return self._watch.is_over(self._job)

    @property
    def ended(self) -> bool:
        """Whether this process is about to end."""
        return self._watch.closed


class _Seen:
    def __init__(self) -> None:
        self.readers = 0
        self.size = 0
        self.over = False


class Watch:
    """The eyes of one process; they open with the first reader and close behind the last."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._changed = threading.Condition()
        self._jobs: dict[int, _Seen] = {}
        self._thread: threading.Thread | None = None
        self.closed = False

    @contextlib.contextmanager
    def following(self, job: int, *, over: bool) -> Iterator[Follower]:
        """Follow ``job``, of which is known whether it is over, until the block ends."""
        with self._changed:
            seen = self._jobs.setdefault(job, _Seen())
            seen.readers += 1
            seen.size = max(seen.size, self._look(job))
            seen.over = seen.over or over
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="log watch", daemon=True)
                self._thread.start()
        try:
            yield Follower(self, job)
        finally:
            with self._changed:
                seen.readers -= 1
                if not seen.readers:
                    del self._jobs[job]

    def close(self) -> None:
        """Let all readers end at once: the process is about to."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def wait(self, job: int, size: int, timeout: float) -> None:
        """See :meth:`Follower.wait`."""
        seen = self._jobs[job]
        with self._changed:
            self._changed.wait_for(lambda: seen.size != size or seen.over or self.closed, timeout)

    def size(self, job: int) -> int:
        """See :attr:`Follower.size`."""
        return self._jobs[job].size

    def is_over(self, job: int) -> bool:
        """See :attr:`Follower.over`."""
        return self._jobs[job].over

    def _watch(self) -> None:
        states_at = 0.0
        while True:
            with self._changed:
                followed = tuple(self._jobs)
                if not followed or self.closed:
                    self._thread = None
                    return
            over: frozenset[int] = frozenset()
            if time.monotonic() >= states_at:
                over, states_at = self._over(followed), time.monotonic() + STATE_SECONDS
            # In this order: what a job wrote before it was over is in the file by now.
            sizes = {job: self._look(job) for job in followed}
            with self._changed:
                if self._take(sizes, over):
                    self._changed.notify_all()
                self._changed.wait_for(lambda: self.closed, LOOK_SECONDS)

    def _take(self, sizes: dict[int, int], over: frozenset[int]) -> bool:
        news = False
        for job, size in sizes.items():
            seen = self._jobs.get(job)
            if seen is not None and (seen.size, seen.over) != (size, seen.over or job in over):
                seen.size, seen.over, news = size, seen.over or job in over, True
        return news

    def _look(self, job: int) -> int:
        try:
            return log_file(self._folder, job).stat().st_size
        except OSError:
            return 0

    def _over(self, followed: tuple[int, ...]) -> frozenset[int]:
        """Those that are over; all that are not known any more are, too. A database that does not answer says nothing."""
        try:
            with self._database.reading() as connection:
                rows = connection.execute(select(jobs.c.id, jobs.c.status).where(jobs.c.id.in_(followed)))
                active = {number for number, status in rows if status in _ACTIVE}
        except StoreUnavailable:
            return frozenset()
        return frozenset(followed) - active
