"""What `deployer check` found, one line each, and beneath it how to mend it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from deployer.reporting.text import colored, visible, write_line

__all__ = ["print_finding", "print_sum"]

Finding = Mapping[str, Any]

_WORDS = {"ok": ("fine", "green"), "warning": ("warning", "yellow"), "error": ("error", "red")}
_NAME_WIDTH = len("interrupted")
_MARGIN = " " * 9


def print_finding(finding: Finding, stream: TextIO, *, headed: bool) -> None:
    """``finding``: ``name, host, state, found, mend``. ``headed``: first the host, because it is another one's."""
    if headed:
        write_line(stream, "")
        write_line(stream, colored(visible(str(finding.get("host") or "here")), "bold", stream))
    word, color = _WORDS[str(finding["state"])]
    name = visible(str(finding["name"])).ljust(_NAME_WIDTH)
    write_line(stream, f"{colored(word.ljust(len(_MARGIN)), color, stream)}{name}  {visible(str(finding['found']))}")
    for line in str(finding.get("mend") or "").splitlines():
        write_line(stream, f"{_MARGIN}{' ' * _NAME_WIDTH}  > {visible(line.strip())}")


def print_sum(findings: Iterable[Finding], stream: TextIO) -> None:
    """How many of each, in one line."""
    states = [finding["state"] for finding in findings]
    errors, warnings = states.count("error"), states.count("warning")
    told = [_counted(errors, "error")] * bool(errors) + [_counted(warnings, "warning")] * bool(warnings)
    color = "red" if errors else "yellow" if warnings else "green"
    write_line(stream, colored(", ".join(told) if told else "all is fine", color, stream))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
