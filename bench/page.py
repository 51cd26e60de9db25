"""docs/benchmarks.md: the tables of ``bench`` and, below a marker, those of ``bench.roll``; each writes its own part."""

from __future__ import annotations

from pathlib import Path

__all__ = ["PAGE", "write_rolls", "write_static"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
MARKER = "<!-- python -m bench.roll --write writes what follows -->\n"


def write_static(text: str, page: Path = PAGE) -> None:
    """Replace the part above the marker."""
    _, marker, below = _read(page).partition(MARKER)
    page.write_text(f"{text.rstrip()}\n" + (f"\n{marker}{below}" if marker else ""), "utf-8")


def write_rolls(text: str, page: Path = PAGE) -> None:
    """Replace the part below the marker."""
    above = _read(page).partition(MARKER)[0]
    page.write_text(f"{above.rstrip()}\n\n{MARKER}\n{text.rstrip()}\n", "utf-8")


def _read(page: Path) -> str:
    return page.read_text("utf-8") if page.exists() else ""
