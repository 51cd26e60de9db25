"""What a job's ``result`` says, part by part: one that is missing or malformed is empty and spoils no other. All pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from receiver.store import Job

__all__ = ["Change", "Outcome", "Probe", "Step", "outcome_of"]

_Part = TypeVar("_Part")


class Step(msgspec.Struct, frozen=True):
    """One step. ``seconds`` is None while it runs."""

    name: str
    seconds: float | None = None


class Probe(msgspec.Struct, frozen=True):
    """What the probe counted."""

    requests: int = 0
    dropped: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    longest_gap_ms: float | None = None


class Change(msgspec.Struct, frozen=True):
    """One file that a deploy adds, changes, removes or moves."""

    action: str = ""
    path: str = ""
    bytes: int | None = None
    origin: str = msgspec.field(default="", name="from")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The parts. ``points`` are the probe's requests: seconds, milliseconds, whether it was dropped."""

    steps: tuple[Step, ...] = ()
    probe: Probe | None = None
    points: tuple[tuple[float, float, bool], ...] = ()
    switch_at: float | None = None
    notes: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    previous_release: str = ""
    url: str = ""
    seconds: float | None = None
    files_total: int | None = None
    files_uploaded: int | None = None
    files_deleted: int | None = None
    bytes_uploaded: int | None = None


def outcome_of(job: Job) -> Outcome:
    """The result of ``job``; all of it is empty where there is none."""
    return _read(job.result) if job.result else Outcome()


@lru_cache(128)
def _read(text: str) -> Outcome:
    try:
        found = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        return Outcome()
    drawn = found.get("probe_chart")
    chart: dict[str, Any] = drawn if isinstance(drawn, dict) else found | {"points": drawn}
    none: tuple[Any, ...] = ()
    return Outcome(
        steps=_part(found.get("steps"), tuple[Step, ...], none),
        probe=_part(found.get("probe"), Probe, None),
        points=_part(chart.get("points"), tuple[tuple[float, float, bool], ...], none),
        switch_at=_part(chart.get("switch_at"), float, None),
        notes=_part(found.get("notes"), tuple[str, ...], none),
        changes=_part(found.get("changes"), tuple[Change, ...], none),
        previous_release=_part(found.get("previous_release"), str, ""),
        url=_part(found.get("url"), str, ""),
        seconds=_part(found.get("duration_seconds"), float, None),
        files_total=_part(found.get("files_total"), int, None),
        files_uploaded=_part(found.get("files_uploaded"), int, None),
        files_deleted=_part(found.get("files_deleted"), int, None),
        bytes_uploaded=_part(found.get("bytes_uploaded"), int, None),
    )


def _part(value: object, kind: type[_Part], otherwise: Any) -> Any:
    try:
        return otherwise if value is None else msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        return otherwise
