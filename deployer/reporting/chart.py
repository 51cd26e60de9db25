"""The probe's latencies over a deploy as a Mermaid chart, which GitHub renders in Markdown. All pure.

https://mermaid.js.org/syntax/xyChart.html. All three series are bars, the latencies last: Mermaid gives a bar of zero some
pixels, so the series in front decides what colour the ground has, and it must not be that of dropped requests.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from deployer.latency import ProbeReport, Sample

__all__ = ["POINTS", "Chart", "latency_chart"]

POINTS = 60
_PALETTE = "#8b949e, #d1242f, #0969da"  # switch, dropped, latency: readable on light and on dark ground
# Heights over the slowest answer: what was dropped stands out behind it, and the switch behind both.
_DROPPED, _SWITCH = 1.15, 1.3
_MARKS = {"switch": "the switch", "return": "the way back"}


@dataclass(frozen=True, slots=True)
class Chart:
    """``text`` is Mermaid's, ``caption`` one line that says what its colours are."""

    text: str
    caption: str


def latency_chart(seen: ProbeReport) -> Chart | None:
    """The chart, of at most 60 points; None where fewer than two requests were counted.

    Each point is the slowest good answer of its slice of time, in milliseconds. A switch outside the counted time, such as
    that of a first deploy, before which nothing answered, is left out.
    """
    counted = seen.samples[max(0, len(seen.samples) - seen.requests) :]
    if len(counted) < 2:
        return None
    begin, span = counted[0].start, max(counted[-1].start - counted[0].start, 0.01)
    points = min(POINTS, len(counted))
    slices: list[list[Sample]] = [[] for _ in range(points)]
    for sample in counted:
        slices[_slice(sample.start - begin, span, points)].append(sample)
    latencies = [max((sample.latency * 1000 for sample in held if sample.good), default=0.0) for held in slices]
    lost = [any(not sample.good for sample in held) for held in slices]
    marks = [mark for mark in seen.marks if 0 <= mark.at - begin <= span]
    switches = {_slice(mark.at - begin, span, points) for mark in marks}
    top = max(*latencies, 1.0)
    text = "\n".join(
        (
            f'%%{{init: {{"themeVariables": {{"xyChart": {{"plotColorPalette": "{_PALETTE}"}}}}}}}}%%',
            "xychart-beta",
            f'    x-axis "seconds" 0 --> {span:.2f}',
            f'    y-axis "ms" 0 --> {top * _SWITCH:.1f}',
            f"    bar {_row(top * _SWITCH if number in switches else 0.0 for number in range(points))}",
            f"    bar {_row(top * _DROPPED if each else 0.0 for each in lost)}",
            f"    bar {_row(latencies)}",
        )
    )
    return Chart(text, _caption({mark.name for mark in marks}, lost=any(lost)))


def _caption(marked: Collection[str], *, lost: bool) -> str:
    told = ["blue: the slowest answer at each moment, in milliseconds"]
    switches = [words for name, words in _MARKS.items() if name in marked]
    told += [f"grey: {' and '.join(switches)}"] * bool(switches) + ["red: dropped requests"] * lost
    return "; ".join(told)


def _slice(at: float, span: float, points: int) -> int:
    return max(0, min(points - 1, int(at / span * points)))


def _row(values: Iterable[float]) -> str:
    return f"[{', '.join(f'{value:.1f}' for value in values)}]"
