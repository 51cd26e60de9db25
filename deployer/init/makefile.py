"""Makefiles, and other small texts, as far as ``init`` reads them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["find_makefile", "has_target", "read_text"]

_LARGEST = 1 << 20  # bytes of a file that are looked at
_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")  # in make's own order


def find_makefile(folder: Path) -> tuple[str, str]:
    """The name and the text of the Makefile that make would take; empty texts where there is none."""
    for name in _MAKEFILES:
        text = read_text(folder / name)
        if text is not None:
            return name, text
    return "", ""


def has_target(makefile: str, target: str) -> bool:
    """Whether a rule in the text makes ``target``."""
    for line in makefile.splitlines():
        targets, colon, rest = line.partition(":")
        is_rule = colon and not line.startswith(("\t", "#")) and not rest.lstrip(":").startswith("=")
        if is_rule and target in targets.split():
            return True
    return False


def read_text(file: Path) -> str | None:
    """The beginning of a file as text; None where it cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(_LARGEST).decode("utf-8-sig", "replace")
    except OSError:
        return None
