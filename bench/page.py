"""docs/benchmarks.md: the tables of several programs, each of which writes its own part behind its marker."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["PAGE", "write_part", "write_section"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
PROGRAMS = ("bench", "bench.roll", "bench.action", "bench.receiver")
"""In the order of their parts; the first one's has no marker."""


def write_part(program: str, text: str, page: Path = PAGE) -> None:
    """Replace this program's part, and leave the others'."""
    parts = _read(page) | {program: text}
    first, *others = [(name, parts[name].strip()) for name in PROGRAMS if parts.get(name, "").strip()]
    whole = [first[1] if first[0] == PROGRAMS[0] else "\n\n".join((_marker(first[0]), first[1]))]
    whole += ["\n\n".join((_marker(name), part)) for name, part in others]
    page.write_text("\n\n".join(whole) + "\n", "utf-8")


def write_section(program: str, heading: str, text: str, page: Path = PAGE) -> None:
    """Replace the end of this program's part, from ``heading`` on, and leave the rest."""
    before, _, _ = _read(page).get(program, "").partition(heading)
    write_part(program, f"{before}{text}", page)


def _marker(program: str) -> str:
    return f"<!-- python -m {program} --write writes what follows -->"


def _read(page: Path) -> dict[str, str]:
    if not page.exists():
        return {}
    pieces = re.split(
        r"^<!-- python -m (\S+) --write writes what follows -->$", page.read_text("utf-8"), flags=re.MULTILINE
    )
    return {PROGRAMS[0]: pieces[0], **dict(zip(pieces[1::2], pieces[2::2], strict=True))}
