"""The cases, and what deployer has promised for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.contenders import DEPLOYER, RSYNC
from bench.measure import Reading
from bench.site import Site

__all__ = ["BARE_SSH", "BY_NAME", "CASES", "LINK_RATE", "ROUND_TRIP", "Case", "Check", "checks"]

ROUND_TRIP = 0.050  # seconds
LINK_RATE = 100  # Mbit/s in each direction
SCP_LIMIT = 0.02
BARE_SSH = "ssh host true"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that happens to a site between two deploys, and the targets as factors of the peers' times."""

    name: str
    title: str
    change: Callable[[Site], None]
    of_rsync: float
    of_ssh: float | None = None
    of_link: float | None = None
    from_nothing: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One target: the seconds that it allows and, once deployer ran, the seconds that it took."""

    text: str
    allowed: float
    seconds: float | None

    @property
    def verdict(self) -> str:
        """``met``, ``MISSED``, or that there is nothing to judge."""
        if self.seconds is None:
            return "not there yet"
        return "met" if self.seconds <= self.allowed else "MISSED"


CASES = (
    Case("new", "everything new", Site.rebuild, of_rsync=1.0, of_link=1.10, from_nothing=True),
    Case("same", "nothing changed", Site.rebuild, of_rsync=0.30, of_ssh=1.5),
    Case("ten", "10 files changed", lambda site: site.change_pages(10), of_rsync=0.35),
    Case("footers", "every page's footer changed", Site.change_footers, of_rsync=1.0),
)

BY_NAME = {case.name: case for case in CASES}


def checks(case: Case, readings: dict[str, Reading], scp: float | None) -> list[Check]:
    """The case's targets; ``scp`` is the seconds of ``scp -r`` of all files."""
    ssh = readings[BARE_SSH].seconds
    ours = readings.get(DEPLOYER)
    seconds = ours.seconds if ours else None
    found = [_factor(case.of_rsync, RSYNC, readings[RSYNC].seconds, seconds)]
    if case.of_ssh is not None:
        found.append(_factor(case.of_ssh, BARE_SSH, ssh, seconds))
    if case.of_link is not None and ours is not None:
        limit = ours.sent * 8 / (LINK_RATE * 1e6) + ssh
        found.append(_factor(case.of_link, "(bytes sent / link speed + ssh host true)", limit, seconds))
    if scp is not None:
        found.append(_factor(SCP_LIMIT, "scp -r", scp, seconds))
    return found


def _factor(factor: float, name: str, base: float, seconds: float | None) -> Check:
    measured = "" if seconds is None else f"{seconds / base:.3f} x {name}; "
    return Check(f"{measured}target <= {factor:.2f} x {name} = {factor * base:.2f} s", factor * base, seconds)
