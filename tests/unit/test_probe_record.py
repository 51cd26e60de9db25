"""What the probe's threads share."""

from __future__ import annotations

import threading

import pytest

from deployer import probe
from deployer.latency import Sample


def sample(start: float, good: bool = True) -> Sample:
    return Sample(start, 0.01, good)


def test_places_are_limited() -> None:
    """The 33rd request at once is not sent, and counted as that; a place that is given back can be taken again."""
    record = probe._Record()
    assert [record.begin() for _ in range(33)] == [True] * 32 + [False]
    record.end(sample(0))
    assert record.begin()
    assert (record.report(()).unsent, record.in_flight) == (1, 32)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest samples are forgotten and stay counted, from the first good answer on."""
    monkeypatch.setattr(probe, "MOST_SAMPLES", 5)
    record = probe._Record()
    for start, good in enumerate([False, False, True, False, True, True, True, True, True, False]):
        record.end(sample(start, good))
    seen = record.report(())
    assert [each.start for each in seen.samples] == [5, 6, 7, 8, 9]
    assert (seen.requests, seen.dropped) == (8, 2)


def test_the_newest_requests_since_a_mark() -> None:
    """Only requests that began at the mark or later count as having followed it."""
    record = probe._Record()
    record.end(sample(1))
    record.end(sample(3))
    record.end(Sample(1.5, 9, good=True))
    record.end(sample(11))
    assert [each.start for each in record.ended_since(2)] == [11, 3]


def test_record_holds_up_to_many_threads() -> None:
    """No outcome is lost when many threads report at once."""
    record = probe._Record()

    def tell() -> None:
        for at in range(200):
            record.end(sample(at))

    crowd = [threading.Thread(target=tell) for _ in range(8)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    assert record.report(()).requests == 1600
