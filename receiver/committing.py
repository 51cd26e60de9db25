"""Storing deliveries durably at the disk's pace: those that arrive while one commit is being synced share the next."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

from receiver.errors import ReceiverError, StoreUnavailable
from receiver.store import Database
from receiver.store.counters import add
from receiver.store.intake import Arrival, Recorded, record

__all__ = ["Committer"]

LARGEST_BATCH = 64
LONGEST_QUEUE = 2_000
"""More than can be stored within GitHub's ten seconds: whoever comes later is told at once to come again."""
_STOP = None


class Committer:
    """One thread that writes for all others of its process. ``notify`` is called after a commit that queued a job."""

    def __init__(self, database: Database, notify: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._notify = notify
        self._waiting: queue.Queue[tuple[Arrival, Future[Recorded]] | None] = queue.Queue(LONGEST_QUEUE)
        self._thread = threading.Thread(target=self._work, name="committer", daemon=True)
        self._thread.start()

    def store(self, arrival: Arrival, timeout: float) -> Recorded:
        """Return when the delivery is durable. Raises StoreUnavailable: then it may not be."""
        answer: Future[Recorded] = Future()
        try:
            self._waiting.put_nowait((arrival, answer))
            return answer.result(timeout)
        except queue.Full:
            raise StoreUnavailable("too many deliveries wait to be stored") from None
        except TimeoutError:
            raise StoreUnavailable(f"the database took longer than {timeout:g} s") from None

    def close(self) -> None:
        """Store what waits, and end."""
        self._waiting.put(_STOP)
        self._thread.join()

    def _work(self) -> None:
        while (batch := self._next_batch()) is not None:
            try:
                self._commit(batch)
            except ReceiverError as error:
                # One that cannot be stored must not take the others with it.
                for entry in batch:
                    self._commit_alone(entry, error, len(batch))

    def _next_batch(self) -> list[tuple[Arrival, Future[Recorded]]] | None:
        first = self._waiting.get()
        if first is _STOP:
            return None
        batch = [first]
        while len(batch) < LARGEST_BATCH:
            try:
                following = self._waiting.get_nowait()
            except queue.Empty:
                break
            if following is _STOP:
                self._waiting.put(_STOP)
                break
            batch.append(following)
        return batch

    def _commit_alone(self, entry: tuple[Arrival, Future[Recorded]], error: ReceiverError, size: int) -> None:
        try:
            if size == 1:
                raise error
            self._commit([entry])
        except ReceiverError as reason:
            entry[1].set_exception(reason)

    def _commit(self, batch: list[tuple[Arrival, Future[Recorded]]]) -> None:
        with self._database.writing() as connection:
            stored = record(connection, [arrival for arrival, _ in batch])
            add(connection, Counter(_counted(batch, stored)))
        if any(fate.verdict == "queued" for each in stored for fate in each.fates):
            self._notify()
        for (_, answer), each in zip(batch, stored, strict=True):
            answer.set_result(each)


def _counted(
    batch: Sequence[tuple[Arrival, Future[Recorded]]], stored: Sequence[Recorded]
) -> Iterator[tuple[str, str, str]]:
    for (arrival, _), each in zip(batch, stored, strict=True):
        verdicts = [fate.verdict for fate in each.fates] or ["ignored"]
        yield from (("deliveries", arrival.event.name, verdict) for verdict in verdicts)
