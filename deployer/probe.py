"""The probe: requests that deployer itself sends during a deploy, to count how many the deploy dropped.

Requests leave at a fixed rate whether or not earlier ones were answered (an open loop), so that an outage costs as
many as visitors would have lost. What they add up to is in :mod:`deployer.latency`.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from deployer.latency import NOTHING_FORGOTTEN, Forgotten, Mark, ProbeReport, Sample, report
from deployer.ports import Clock
from deployer.web import Answer, Client, Kept, WebError

__all__ = ["Probe", "ProbeSettings"]

REQUEST_SECONDS = 5.0  # an answer that takes longer is a dropped one
MOST_IN_FLIGHT = 32
MOST_SAMPLES = 100_000  # about 20 MB; 83 minutes at 20 a second
LONGEST = 2 * 3600.0  # seconds after which a probe that nobody stopped ends by itself
ANSWERS_AFTER_MARK = 5
SETTLE_SECONDS = 10.0
POLL, NAP = 0.01, 0.05  # seconds


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """Where and how often: ``rate`` in requests a second; ``status`` are the good ones besides every redirect."""

    url: str
    rate: float = 20.0
    status: frozenset[int] = frozenset({200})
    connect_to: str = ""


class _Record:
    """What the threads share: which requests are on their way, and how the others ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: deque[Sample] = deque()
        self._forgotten = NOTHING_FORGOTTEN
        self._unsent = 0
        self.in_flight = 0

    def begin(self) -> bool:
        """Take a place for one request; False when all are taken."""
        with self._lock:
            free = self.in_flight < MOST_IN_FLIGHT
            self.in_flight += free
            self._unsent += not free
            return free

    def end(self, sample: Sample) -> None:
        """Give the place back and remember the outcome."""
        with self._lock:
            self.in_flight -= 1
            if len(self._samples) >= MOST_SAMPLES:
                self._forgotten = _forget(self._forgotten, self._samples.popleft())
            self._samples.append(sample)

    def ended_since(self, at: float) -> list[Sample]:
        """The newest requests that began at ``at`` or later and ended, up to five."""
        with self._lock:
            after = itertools.takewhile(lambda sample: sample.start + sample.latency >= at, reversed(self._samples))
            return list(itertools.islice((sample for sample in after if sample.start >= at), ANSWERS_AFTER_MARK))

    def report(self, marks: Iterable[Mark]) -> ProbeReport:
        """Everything up to now, summed up."""
        with self._lock:
            return report(self._samples, marks, self._forgotten, self._unsent)


def _forget(forgotten: Forgotten, sample: Sample) -> Forgotten:
    if not (sample.good or forgotten.requests):
        return forgotten  # counting has not started
    return Forgotten(forgotten.requests + 1, forgotten.dropped + (not sample.good))


class Probe:
    """Sends requests from ``start`` to ``stop``, in turn on fresh connections and on kept ones, in daemon threads.

    A kept connection that the server closed while it was idle is retried on a fresh one, as browsers do. The newest
    100,000 samples are held; older ones are counted only. A probe that nobody stops ends after ``longest`` seconds.
    Raises WebError where ``connect_to`` is not an address.
    """

    def __init__(self, settings: ProbeSettings, clock: Clock, longest: float = LONGEST) -> None:
        self._settings = settings
        self._clock = clock
        self._longest = longest
        self._client = Client(settings.connect_to)
        self._idle: deque[Kept] = deque()
        self._record = _Record()
        self._marks: list[Mark] = []
        self._began = clock.monotonic()
        self._ending = threading.Event()
        self._pacer = threading.Thread(target=self._pace, name="probe", daemon=True)

    def start(self) -> None:
        """Begin to send. Once only."""
        self._began = self._clock.monotonic()
        self._pacer.start()

    def ready(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until a first request has ended; whether it was answered well."""
        self._wait(lambda: bool(self._record.ended_since(0.0)), timeout)
        return any(sample.good for sample in self._record.ended_since(0.0))

    def mark(self, name: str) -> None:
        """Remember that ``name`` (the switch, say) happened now."""
        self._marks.append(Mark(name, self._now()))

    def stop(self, after: float = 0.5) -> ProbeReport:
        """Go on until ``after`` seconds and five ended requests past the last mark, then stop, and sum up.

        Takes at most ``after`` + 10 s for that, and 6 s for the answers that are still on their way.
        """
        last = self._marks[-1].at if self._marks else 0.0

        def settled() -> bool:
            enough = len(self._record.ended_since(last)) >= ANSWERS_AFTER_MARK
            return not self._pacer.is_alive() or (enough and self._now() >= last + after)

        self._wait(settled, after + SETTLE_SECONDS)
        self.abandon()
        self._wait(lambda: not (self._pacer.is_alive() or self._record.in_flight), REQUEST_SECONDS + 1)
        self._hang_up()
        return self._record.report(self._marks)

    def abandon(self) -> None:
        """Send nothing more, and wait for nothing: the deploy was interrupted."""
        self._ending.set()
        self._hang_up()

    def _hang_up(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _now(self) -> float:
        return self._clock.monotonic() - self._began

    def _wait(self, condition: Callable[[], bool], seconds: float) -> None:
        limit = self._clock.monotonic() + seconds
        while not condition() and self._clock.monotonic() < limit:
            self._clock.sleep(POLL)

    def _pace(self) -> None:
        due, turns = self._now(), itertools.count()
        while not self._ending.is_set() and self._now() < self._longest:
            early = due - self._now()
            if early > 0:
                self._ending.wait(min(early, NAP))
                continue
            if self._record.begin():
                threading.Thread(target=self._send, args=(next(turns),), name="probe request", daemon=True).start()
            due = max(due + 1 / self._settings.rate, self._now())  # a machine that slept does not make up with a burst

    def _send(self, turn: int) -> None:
        start = self._now()
        try:
            answer = self._over_fresh() if turn % 2 == 0 else self._over_kept()
            good = answer.status in self._settings.status or 300 <= answer.status < 400
            reason = "" if good else f"status {answer.status}"
        except WebError as error:
            good, reason = False, str(error)
        self._record.end(Sample(start, self._now() - start, good, reason))

    def _over_fresh(self) -> Answer:
        return self._client.fetch(self._settings.url, timeout=REQUEST_SECONDS, follow=False, most_bytes=0)

    def _over_kept(self) -> Answer:
        try:
            kept = self._idle.pop()
        except IndexError:
            kept = Kept(self._client, self._settings.url)
        try:
            return kept.fetch(timeout=REQUEST_SECONDS)
        finally:
            if self._ending.is_set():
                kept.close()
            else:
                self._idle.append(kept)
