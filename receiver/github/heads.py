"""Which commit a ref points at, by the API."""

from __future__ import annotations

from typing import Annotated

import msgspec

from receiver.github.calls import Caller, Errand, Nothing
from receiver.github.paths import repository_path, segment

__all__ = ["head"]

DEEPEST = 5
"""A tag may point at a tag."""
_Commit = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{40}|[0-9a-f]{64})$")]


class _Object(msgspec.Struct):
    sha: _Commit
    type: str


class _Pointer(msgspec.Struct):
    object: _Object


def head(caller: Caller, repository: str, ref: str) -> str:
    """The commit at ``ref`` (a full name); empty: there is no such ref. Raises GitHubTrouble."""
    errand = Errand(
        f"the head of {ref} in {repository} is not known",
        f"{repository} may not be read, or does not exist",
        "it needs the permission Contents: read",
    )
    place = repository_path(repository)
    found = caller.find(errand, f"{place}/git/ref/{segment(ref.removeprefix('refs/'))}", _Pointer)
    if found is None:
        # A repository that may not be seen has no refs either.
        caller.ask(errand, "GET", place, Nothing)
        return ""
    target = found.object
    for _ in range(DEEPEST):
        if target.type != "tag":
            break
        target = caller.ask(errand, "GET", f"{place}/git/tags/{target.sha}", _Pointer).object
    return target.sha if target.type == "commit" else ""
