"""Paths that belong to the server: each release has a link there, and nothing of the source is put over it. Pure."""

from __future__ import annotations

import hashlib
import os

from deployer.errors import InvalidInput
from deployer.static.manifest import Entry, Kind, Manifest

__all__ = ["below", "with_shared"]


def below(path: str, shared: tuple[str, ...]) -> bool:
    """Whether a path is one of the shared ones, or in one of them."""
    return any(path == each or path.startswith(f"{each}/") for each in shared)


def with_shared(source: Manifest, shared: tuple[str, ...]) -> tuple[Manifest, tuple[str, ...]]:
    """The source with a link for every shared path, and warnings of what is left out because it lies in one.

    Raises InvalidInput when a file or link of the source stands at such a path or above it.
    """
    if not shared:
        return source, ()
    for entry in source.entries:
        above = any(each.startswith(f"{entry.path}/") for each in shared)
        if entry.kind != Kind.DIRECTORY and (entry.path in shared or above):
            raise InvalidInput(
                f"{entry.path!r} is a {'link' if entry.kind == Kind.LINK else 'file'} in static.source, "
                f"but static.shared gives that place to the server",
                hint="Remove it from the source (or exclude it), or from static.shared.",
            )
    kept = [entry for entry in source.entries if not below(entry.path, shared) and not _only_holds(entry, shared)]
    left_out = sum(1 for entry in source.entries if entry.kind != Kind.DIRECTORY and below(entry.path, shared))
    warnings = (f"{left_out} files of the source are not uploaded: they lie in static.shared",) if left_out else ()
    entries = sorted([*kept, *map(_link, shared)], key=lambda entry: entry.path)
    return Manifest(tuple(entries)), warnings


def _only_holds(entry: Entry, shared: tuple[str, ...]) -> bool:
    """An empty directory that is not empty any more, with a shared path in it."""
    return entry.kind == Kind.DIRECTORY and any(each.startswith(f"{entry.path}/") for each in shared)


def _link(path: str) -> Entry:
    # From releases/NAME/PATH to shared/PATH, relative, so that it resolves inside a container as well.
    target = "../" * (path.count("/") + 2) + f"shared/{path}"
    raw = os.fsencode(target)
    return Entry(path, Kind.LINK, "777", len(raw), hashlib.sha256(raw).hexdigest(), target)
