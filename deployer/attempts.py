"""Going on where a connection broke: when another attempt is worth it, and what all of them did together. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deployer.errors import ConnectionLost
from deployer.plan import HEAVY_BYTES, Plan

__all__ = ["Attempts", "figures_of"]

MOST = 100


@dataclass(frozen=True, slots=True)
class Attempts:
    """So many attempts at one deploy were broken off: the error of the last, its plans, and what was sent in all."""

    count: int = 0
    lost: ConnectionLost | None = None
    previous: tuple[str, ...] = ()
    missing: int = 0
    figures: Mapping[str, int] = field(default_factory=dict)

    def broken(self, error: ConnectionLost, plans: Sequence[Plan]) -> Attempts:
        """One more. Raises its error where another attempt would be of no use."""
        made = figures_of(plans)
        lost = ConnectionLost(error.message, hint=error.hint)
        if made.get("bytes_uploaded", 0) < HEAVY_BYTES or self.count == MOST:
            raise lost from error
        previous = tuple(plan.previous for plan in plans)
        return Attempts(self.count + 1, lost, previous, made.get("files_uploaded", 0), self.in_all(made))

    def check(self, plans: Sequence[Plan]) -> None:
        """Raise the last one's error unless less is missing now, on hosts to which nobody else has deployed meanwhile."""
        if self.lost is None:
            return
        missing = figures_of(plans).get("files_uploaded", 0)
        if missing >= self.missing or tuple(plan.previous for plan in plans) != self.previous:
            raise self.lost

    def in_all(self, made: Mapping[str, int]) -> dict[str, int]:
        """The figures of this attempt (empty: it came to no plan) and of those before."""
        if not made or not self.figures:
            return dict(made or self.figures)
        sent = made["bytes_uploaded"] + self.figures["bytes_uploaded"]
        return dict(made) | {"bytes_uploaded": sent, "files_uploaded": self.figures["files_uploaded"]}


def figures_of(plans: Sequence[Plan]) -> dict[str, int]:
    """How big the release is, and what was done for it on all hosts together."""
    figures: dict[str, int] = {}
    for plan in plans:
        for name, count in plan.figures.items():
            figures[name] = count if name == "files_total" else figures.get(name, 0) + count
    return figures
