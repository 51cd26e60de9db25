"""File patterns, as ``exclude`` and ``retain_assets`` take them."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

__all__ = ["matcher"]


def matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """What tells whether a path (relative, with ``/``) matches one of the patterns.

    A pattern without ``/`` matches the last component, one with ``/`` the whole path; ``*`` matches any characters.
    """
    names = tuple(pattern.rstrip("/") for pattern in patterns if "/" not in pattern.rstrip("/"))
    paths = tuple(pattern.strip("/") for pattern in patterns if "/" in pattern.rstrip("/"))
    if not patterns:
        return lambda _path: False

    def matches(path: str) -> bool:
        name = path.rpartition("/")[2]
        return any(fnmatchcase(name, pattern) for pattern in names) or any(
            fnmatchcase(path, pattern) for pattern in paths
        )

    return matches
