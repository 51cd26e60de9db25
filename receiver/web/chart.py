"""The probe's chart as inline SVG: latencies over time, each dropped request, and the switch. All pure.

Positions are per cent, so that text and marks keep their shape at any width; only the curve is stretched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

__all__ = ["probe_chart"]

HEIGHT = 88.0
"""Per cent of the drawing that latencies take; the rest holds the marks above them."""
LARGEST = 1e9
"""Of seconds and of milliseconds: what is more was not measured, and neither was what is no number."""
_SWITCH = Markup(
    '<line class="chart-switch" x1="{x}%" x2="{x}%" y1="0" y2="100%"/>'
    '<text class="chart-word" x="{x}%" y="0" dy="9" dx="{dx}" text-anchor="{anchor}">switch</text>'
)
_DROP = Markup(
    '<line class="chart-drop" x1="{x}%" x2="{x}%" y1="15%" y2="100%"/>'
    '<text class="chart-cross" x="{x}%" y="12%" dy="5" text-anchor="middle">×</text>'  # noqa: RUF001  # a cross
)

Point = tuple[float, float, bool]


def probe_chart(points: Sequence[Point], switch_at: float | None, told: str) -> Markup:
    """The drawing; empty where there are fewer than two points. ``told`` says in words what it shows."""
    ordered = sorted(point for point in points if abs(point[0]) < LARGEST and 0 <= point[1] < LARGEST)
    if len(ordered) < 2:
        return Markup("")
    first, last = ordered[0][0], ordered[-1][0]
    span = max(last - first, 0.01)
    top = _round_up(max((ms for _, ms, dropped in ordered if not dropped), default=1.0))
    placed = [((at - first) / span * 100, 100 - min(ms / top, 1.0) * HEIGHT, lost) for at, ms, lost in ordered]
    parts = [
        *_grid(top),
        _curve(placed),
        *(_DROP.format(x=f"{x:.2f}") for x, _, lost in placed if lost),
        *_switch(switch_at, first, span),
    ]
    label = Markup("<title>{told}</title>").format(told=told)
    drawing = Markup("").join(parts)
    return Markup('<div class="chart"><svg role="img">{}{}</svg>{}</div>').format(label, drawing, _seconds(span))


def _round_up(milliseconds: float) -> float:
    """The next of 1, 2, 4, 5, 10, 20 …, which divides well in two."""
    power = 10.0 ** math.floor(math.log10(max(milliseconds, 0.1)))
    return next(step * power for step in (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0) if step * power >= milliseconds)


def _grid(top: float) -> Iterator[Markup]:
    for share in (1.0, 0.5):
        y = 100 - share * HEIGHT
        yield Markup(
            '<line class="chart-grid" x1="0" x2="100%" y1="{y}%" y2="{y}%"/>'
            '<text class="chart-word" x="0" y="{y}%" dy="-4">{label} ms</text>'
        ).format(y=f"{y:.2f}", label=f"{top * share:g}")
    yield Markup('<line class="chart-base" x1="0" x2="100%" y1="100%" y2="100%"/>')


def _curve(placed: Sequence[Point]) -> Markup:
    """A line through the good answers, broken where one was dropped, over a soft ground; a lone answer is a dot."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y, lost in placed:
        if lost:
            runs.append([])
        else:
            runs[-1].append((x, y))
    line, ground = "", ""
    for run in filter(None, runs):
        through = " ".join(f"{x:.2f},{y:.2f}" for x, y in run)
        line += f"M{through}" + ("h0" if len(run) == 1 else "")
        ground += f"M{run[0][0]:.2f},100L{through}L{run[-1][0]:.2f},100Z"
    return Markup(
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height="100%">'
        '<path class="chart-ground" d="{ground}"/><path class="chart-line" d="{line}"/></svg>'
    ).format(ground=ground, line=line)


def _switch(at: float | None, first: float, span: float) -> Iterator[Markup]:
    if at is None or not 0 <= at - first <= span:
        return
    x = (at - first) / span * 100
    yield _SWITCH.format(x=f"{x:.2f}", dx="-6" if x > 80 else "6", anchor="end" if x > 80 else "start")


def _seconds(span: float) -> Markup:
    marks = (f"{span * share:.{0 if span >= 10 else 1}f} s" for share in (0.0, 0.5, 1.0))
    return Markup('<p class="chart-time" aria-hidden="true"><span>{}</span><span>{}</span><span>{}</span></p>').format(
        *marks
    )
