"""What is found out about a site before anybody is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Site", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a GitHub workflow: ``uses`` (an action, with its ``inputs``), ``run`` (lines of shell), or only a remark."""

    name: str = ""
    uses: str = ""
    run: str = ""
    inputs: Mapping[str, str | int | bool] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Site:
    """How a site is made. Empty texts: not known, or none.

    ``evidence`` is the file that told; ``source`` is relative to the site's folder; ``setup`` are the steps that install
    what ``build`` needs; with ``history`` it needs all commits.
    """

    generator: str
    evidence: str
    source: str = ""
    build: str = ""
    url: str = ""
    setup: tuple[Step, ...] = ()
    history: bool = False
