"""How a job's process ended, as it tells its worker, and what the worker makes of that. All pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from deployer.errors import BudgetExceeded
from deployer.latency import ProbeReport, Sample
from deployer.running import Ending
from receiver.store import Status
from receiver.store.jobs import Settled

__all__ = ["Verdict", "failure", "verdict_of"]

MOST_POINTS = 300
MOST_CHANGES = 200


class Verdict(msgspec.Struct, frozen=True):
    """The end of one attempt; see :class:`receiver.store.jobs.Settled`. A failure may be tried again, by its exit code."""

    status: Status
    commit: str = ""
    release: str = ""
    exit_code: int = 0
    error: str = ""
    result: str = ""
    dropped: int = 0

    @property
    def settled(self) -> Settled:
        """For the store."""
        return Settled(**{name: getattr(self, name) for name in self.__struct_fields__})


def failure(message: str, exit_code: int = 1, *, commit: str = "") -> Verdict:
    """A job that did not come as far as a deploy."""
    return Verdict(Status.FAILED, commit=commit, exit_code=exit_code, error=message)


def verdict_of(
    ending: Ending,
    commit: str,
    hide: Callable[[str], str],
    *,
    steps: Sequence[tuple[str, float]] = (),
    notes: Sequence[str] = (),
) -> Verdict:
    """What a deploy's end means for its job, for which ``commit`` was to be deployed.

    ``hide`` takes secrets out of a text, ``steps`` are the job's own before the engine's.
    """
    result = ending.result
    error = result.error
    if error is None:
        status = Status.UNCHANGED if result.status == "unchanged" else Status.SUCCEEDED
    else:
        # What is live and healthy is a success, whatever it cost.
        status = Status.SUCCEEDED if isinstance(error, BudgetExceeded) else Status.FAILED
    answer = ending.answer | {"notes": list(notes), "changes": ending.changes[:MOST_CHANGES]} | _chart(ending.probe)
    answer["steps"] = [{"name": name, "seconds": round(seconds, 3)} for name, seconds in steps] + answer["steps"]
    exit_code = error.exit_code if error else 0
    # A failed deploy leaves what was live, or has brought it back; where nobody knows, nothing is said.
    live = answer["release"] if status is not Status.FAILED else answer["previous_release"] if exit_code != 7 else ""
    return Verdict(
        status,
        commit=result.commit or commit,
        release=live or "",
        exit_code=exit_code,
        error=hide(str(error)) if error else "",
        result=msgspec.json.encode(_hidden(answer, hide)).decode(),
        dropped=result.probe.dropped if result.probe else 0,
    )


def _hidden(value: Any, hide: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, dict):
        return {key: _hidden(entry, hide) for key, entry in value.items()}
    return [_hidden(entry, hide) for entry in value] if isinstance(value, list | tuple) else value


def _chart(seen: ProbeReport | None) -> dict[str, Any]:
    if seen is None:
        return {"probe_chart": [], "switch_at": None}
    counted = seen.samples[max(0, len(seen.samples) - seen.requests) :]
    points = [_point(held) for held in _slices(counted)]
    return {"probe_chart": points, "switch_at": next((round(mark.at, 3) for mark in seen.marks), None)}


def _slices(samples: tuple[Sample, ...]) -> list[list[Sample]]:
    """At most 300 of equal duration, without those in which nothing was sent."""
    if len(samples) <= MOST_POINTS:
        return [[sample] for sample in samples]
    first, span = samples[0].start, samples[-1].start - samples[0].start
    slices: list[list[Sample]] = [[] for _ in range(MOST_POINTS)]
    for sample in samples:
        slices[min(MOST_POINTS - 1, int((sample.start - first) / span * MOST_POINTS))].append(sample)
    return [held for held in slices if held]


def _point(held: list[Sample]) -> list[float]:
    """When, the slowest answer in milliseconds, and whether one was dropped."""
    slowest = max((sample.latency for sample in held if sample.good), default=max(sample.latency for sample in held))
    return [round(held[0].start, 3), round(slowest * 1000, 2), int(not all(sample.good for sample in held))]
