"""Paths of GitHub's API: every variable part is one encoded segment."""

from __future__ import annotations

from urllib.parse import quote

__all__ = ["repository_path", "segment"]


def segment(text: str) -> str:
    """One segment of a path. Raises ValueError for one that would lead elsewhere."""
    if text in {"", ".", ".."}:
        raise ValueError(f"{text!r} is no segment of a path")
    return quote(text, safe="")


def repository_path(repository: str) -> str:
    """Where the API keeps ``OWNER/NAME``."""
    owner, _, name = repository.partition("/")
    return f"/repos/{segment(owner)}/{segment(name)}"
