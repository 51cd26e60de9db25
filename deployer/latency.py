"""What a probe's requests add up to: counts, percentiles, the longest gap, and one line to look at. All pure."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Forgotten", "Mark", "ProbeReport", "Sample", "latency_line", "merge", "report"]

BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.-~=+*#"
DROP = "!"


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it started (seconds since the probe's start), how long it took (seconds), and how it ended."""

    start: float
    latency: float
    good: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """An event of the deploy, in seconds since the probe's start.

    ``name`` is ``switch``, or ``return`` where what was live before is live again.
    """

    name: str
    at: float


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The counted requests of the oldest samples, which a long probe no longer holds."""

    requests: int = 0
    dropped: int = 0


NOTHING_FORGOTTEN = Forgotten()


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What the probe saw. Times are of good answers, in milliseconds; zero where there were none.

    Counting starts at the first good answer. ``longest_gap_ms`` is the longest time without a good answer after it.
    ``reasons`` are the three most common ones with their counts (of all requests where none was good, so that
    ``requests == 0`` can be explained). ``unsent`` were not sent because 32 requests were waiting for their answers.
    """

    requests: int
    dropped: int
    p50_ms: float
    p99_ms: float
    longest_gap_ms: float
    samples: tuple[Sample, ...]
    marks: tuple[Mark, ...]
    reasons: tuple[tuple[str, int], ...]
    unsent: int = 0


def report(
    samples: Iterable[Sample], marks: Iterable[Mark] = (), forgotten: Forgotten = NOTHING_FORGOTTEN, unsent: int = 0
) -> ProbeReport:
    """Sum up; ``samples`` may come in any order, the report holds all of them by their start."""
    ordered = sorted(samples, key=lambda sample: sample.start)
    first = 0 if forgotten.requests else next((i for i, sample in enumerate(ordered) if sample.good), len(ordered))
    counted = ordered[first:]
    latencies = sorted(sample.latency for sample in counted if sample.good)
    dropped = [sample for sample in counted if not sample.good]
    reasons = Counter(sample.reason for sample in (dropped if counted else ordered))
    return ProbeReport(
        requests=len(counted) + forgotten.requests,
        dropped=len(dropped) + forgotten.dropped,
        p50_ms=_percentile(latencies, 0.50),
        p99_ms=_percentile(latencies, 0.99),
        longest_gap_ms=_longest_gap(counted),
        samples=tuple(ordered),
        marks=tuple(marks),
        reasons=tuple(reasons.most_common(3)),
        unsent=unsent,
    )


def merge(reports: Sequence[ProbeReport]) -> ProbeReport:
    """What several probes saw that were started together and marked alike, as if it were one's; at least one report.

    Counts are added, percentiles are over all good answers, and the longest gap is that of any one probe.
    """
    if len(reports) == 1:
        return reports[0]
    counted = [sample for seen in reports for sample in seen.samples[max(0, len(seen.samples) - seen.requests) :]]
    latencies = sorted(sample.latency for sample in counted if sample.good)
    reasons: Counter[str] = Counter()
    for seen in reports:
        reasons.update(dict(seen.reasons))
    return ProbeReport(
        requests=sum(seen.requests for seen in reports),
        dropped=sum(seen.dropped for seen in reports),
        p50_ms=_percentile(latencies, 0.50),
        p99_ms=_percentile(latencies, 0.99),
        longest_gap_ms=max(seen.longest_gap_ms for seen in reports),
        samples=tuple(sorted(counted, key=lambda sample: sample.start)),
        marks=reports[0].marks,
        reasons=tuple(reasons.most_common(3)),
        unsent=sum(seen.unsent for seen in reports),
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    """By nearest rank, in milliseconds."""
    return round(ordered[math.ceil(share * len(ordered)) - 1] * 1000, 3) if ordered else 0.0


def _longest_gap(counted: Sequence[Sample]) -> float:
    """Between good answers, and from the last one to the end of the drops behind it, in milliseconds."""
    ends = sorted(sample.start + sample.latency for sample in counted if sample.good)
    if ends:
        ends.append(max(sample.start + sample.latency for sample in counted))
    return round(max((later - earlier for earlier, later in itertools.pairwise(ends)), default=0.0) * 1000, 3)


def latency_line(seen: ProbeReport, width: int = 60, *, ascii_only: bool = False) -> str:
    """The deploy from left to right in at most ``width`` characters: the slowest answer of each slice of time.

    Heights are logarithmic, from the fastest answer to the slowest (or to eight times the fastest, so that mere noise
    stays low). A slice with a dropped request shows ``!``, one
    without any request a space; marks stand as ``│`` between slices.
    """
    counted = seen.samples[max(0, len(seen.samples) - seen.requests) :]
    if not counted:
        return ""
    levels, bar = (ASCII, "|") if ascii_only else (BLOCKS, "│")
    first, span = counted[0].start, counted[-1].start - counted[0].start
    columns = max(1, min(width - len(seen.marks), len(counted)))

    def column(at: float) -> int:
        return max(0, min(columns - 1, int((at - first) / span * columns))) if span > 0 else 0

    slices: list[list[Sample]] = [[] for _ in range(columns)]
    for sample in counted:
        slices[column(sample.start)].append(sample)
    good = [max(sample.latency, 1e-6) for sample in counted if sample.good]
    fastest = min(good, default=1.0)
    cells = [_cell(held, fastest, max([*good, 8 * fastest]), levels) for held in slices]
    for mark in sorted(seen.marks, key=lambda mark: -mark.at):
        cells.insert(column(mark.at), bar)
    return "".join(cells)


def _cell(held: Sequence[Sample], fastest: float, slowest: float, levels: str) -> str:
    if not held:
        return " "
    if not all(sample.good for sample in held):
        return DROP
    latency = max(fastest, *(sample.latency for sample in held))
    share = math.log(latency / fastest) / math.log(slowest / fastest)
    return levels[min(len(levels) - 1, int(share * len(levels)))]
