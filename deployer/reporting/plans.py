"""What a run would do, printed from the facts that ``plan --json`` gives. Every text is made safe for its line."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from deployer.reporting.results import print_host
from deployer.reporting.text import colored, format_bytes, table, visible, write_line, write_lines

__all__ = ["print_plan"]

Facts = Mapping[str, Any]

_SIGNS = {"add": "+", "change": "~", "remove": "-", "move": ">"}
_ACTIONS = {"add": "to add", "change": "to change", "remove": "to remove", "move": "to move"}


def print_plan(plan: Facts, stream: TextIO) -> None:
    """What a run would do: each file and the sums, or the commit of a rebuild; the steps, the warnings.

    Keys: ``strategy, release, previous_release, commit, changes [{action: add|change|remove|move, path, bytes, from}],
    steps [{name, summary, effect}], warnings``; ``from`` is where a moved file is now, ``host`` (of several) where it
    changes.
    """
    changes: Sequence[Facts] = plan.get("changes") or []
    for host, those in itertools.groupby(changes, key=lambda change: change.get("host")):
        if host:
            print_host(str(host), stream)
        write_lines(stream, (_change(change) for change in those))
    steps: Sequence[Facts] = plan.get("steps") or []
    write_line(stream, _commit(plan, steps) if plan.get("strategy") == "rebuild" else _tally(changes))
    if steps:
        write_line(stream, "")
        rows = [[str(step.get(key) or "") for key in ("name", "effect", "summary")] for step in steps]
        write_lines(stream, table(rows, header=("step", "effect", "what")))
    for warning in plan.get("warnings") or []:
        write_line(stream, colored("warning:", "yellow", stream) + f" {visible(str(warning))}")


def _commit(plan: Facts, steps: Sequence[Facts]) -> str:
    """Which commit takes the place of what; images are known once they are built."""
    if not steps:
        return f"nothing to do: {visible(str(plan.get('release') or 'what is wanted'))} is live"
    commit, previous = (visible(str(plan.get(key) or "")) for key in ("commit", "previous_release"))
    return f"commit {commit}" + (f" in place of {previous}" if previous else ", the first release")


def _tally(changes: Sequence[Facts]) -> str:
    counts = [(sum(change.get("action") == action for change in changes), text) for action, text in _ACTIONS.items()]
    tally = ", ".join(f"{count:,} {text}" for count, text in counts if count)
    sent = sum(change.get("bytes") or 0 for change in changes if change.get("action") in ("add", "change"))
    return f"{tally} ({format_bytes(sent)} of new contents)" if tally else "no file changes"


def _change(change: Facts) -> str:
    action = str(change.get("action"))
    path = visible(str(change.get("path", "")))
    source = f" (from {visible(str(change['from']))})" if change.get("from") else ""
    size = f"  {format_bytes(change['bytes'])}" if change.get("bytes") is not None and action != "remove" else ""
    return f"{_SIGNS.get(action, '?')} {path}{source}{size}"
