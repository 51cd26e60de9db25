"""The probe's latencies over a deploy as a Mermaid chart, which GitHub renders in Markdown. All pure.

https://mermaid.js.org/syntax/xyChart.html: a line of latencies, and bars where the switch was and where requests were lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deployer.latency import ProbeReport, Sample

__all__ = ["latency_chart"]

POINTS = 60
_PALETTE = "#8b949e55, #d1242f, #0969da"  # switch, dropped, latency: readable on light and on dark ground


def latency_chart(seen: ProbeReport) -> str:
    """The chart as Mermaid's text, of at most 60 points; empty where nothing was counted.

    Each point is the slowest good answer of its slice of time, in milliseconds; a slice without one repeats the one before.
    """
    counted = seen.samples[max(0, len(seen.samples) - seen.requests) :]
    if not counted:
        return ""
    begin, span = counted[0].start, max(counted[-1].start - counted[0].start, 0.001)
    points = min(POINTS, len(counted))
    slices: list[list[Sample]] = [[] for _ in range(points)]
    for sample in counted:
        slices[_slice(sample.start - begin, span, points)].append(sample)
    latencies = _latencies(slices)
    top = max(*latencies, 1.0)
    switches = {_slice(mark.at - begin, span, points) for mark in seen.marks}
    lost = [any(not sample.good for sample in held) for held in slices]
    return "\n".join(
        (
            f'%%{{init: {{"themeVariables": {{"xyChart": {{"plotColorPalette": "{_PALETTE}"}}}}}}}}%%',
            "xychart-beta",
            f'    x-axis "seconds" 0 --> {span:.1f}',
            f'    y-axis "ms" 0 --> {top * 1.1:.0f}',
            f"    bar {_row(top if number in switches else 0.0 for number in range(points))}",
            f"    bar {_row(top if each else 0.0 for each in lost)}",
            f"    line {_row(latencies)}",
        )
    )


def _slice(at: float, span: float, points: int) -> int:
    return max(0, min(points - 1, int(at / span * points)))


def _latencies(slices: Sequence[Sequence[Sample]]) -> list[float]:
    found: list[float] = []
    for held in slices:
        good = [sample.latency * 1000 for sample in held if sample.good]
        found.append(max(good) if good else found[-1] if found else 0.0)
    return found


def _row(values: Iterable[float]) -> str:
    return f"[{', '.join(f'{value:.1f}' for value in values)}]"
