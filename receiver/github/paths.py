"""Paths of GitHub's API: every variable part is one encoded segment."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

__all__ = ["is_at", "repository_path", "segment"]


def segment(text: str) -> str:
    """One segment of a path. Raises ValueError for one that would lead elsewhere."""
    if text in {"", ".", ".."}:
        raise ValueError(f"{text!r} is no segment of a path")
    return quote(text, safe="")


def repository_path(repository: str) -> str:
    """Where the API keeps ``OWNER/NAME``."""
    owner, _, name = repository.partition("/")
    return f"/repos/{segment(owner)}/{segment(name)}"


def is_at(clone_url: str, api_url: str, repository: str) -> bool:
    """Whether ``clone_url`` is the address by which the GitHub of that API itself serves ``OWNER/NAME`` over HTTPS."""
    place, api = urlsplit(clone_url), urlsplit(api_url)
    same_site = (place.hostname or "") == (api.hostname or "").removeprefix("api.")
    path = place.path.strip("/").removesuffix(".git")
    return place.scheme == api.scheme and same_site and path.lower() == repository.lower()
