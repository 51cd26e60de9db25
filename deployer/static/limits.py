"""What a host must have room for, found out before anything is sent. Pure."""

from __future__ import annotations

import os
import posixpath

from deployer.errors import DeployFailed, InvalidInput
from deployer.static.changes import Changes
from deployer.static.facts import Facts
from deployer.static.manifest import Manifest

__all__ = ["check_limits"]

SPARE_BYTES = 1 << 20
BYTES_PER_NAME = 96
"""What a name costs on the host beside its contents: a directory entry and its share of metadata."""
LONGEST_PATH = 4095
"""Linux's PATH_MAX without the NUL at its end: no server can open a longer one."""


def check_limits(facts: Facts, changes: Changes, wanted: Manifest, target: str, release: str) -> None:
    """Raise DeployFailed when the disk has too little room, InvalidInput when no server could open one of the paths."""
    _check_space(facts, changes, wanted, f"{facts.host}:{target}" if facts.host else target)
    parent, name = posixpath.split(target)
    room = LONGEST_PATH - len(os.fsencode(f"{parent}/.deployer/{name}/releases/{release}/"))
    # Of those that might be too long: a character has four bytes at most.
    sizes = {path: len(os.fsencode(path)) for entry in wanted.entries if len(path := entry.path) * 4 > room}
    if sizes and (longest := max(sizes, key=sizes.__getitem__)) and sizes[longest] > room:
        message = f"the path {longest[:60]!r}… has {sizes[longest]} bytes; below {target} there is room for {room}"
        raise InvalidInput(
            message, hint="Linux opens only paths of less than 4096 bytes: shorten this one, or the target."
        )


def _check_space(facts: Facts, changes: Changes, wanted: Manifest, target: str) -> None:
    needed = changes.bytes_needed + len(wanted.entries) * BYTES_PER_NAME + SPARE_BYTES
    if needed > facts.free_bytes:
        message = (
            f"the release needs about {needed // 1_000_000 + 1} MB on the host, "
            f"and the disk of {target} has {facts.free_bytes // 1_000_000} MB free"
        )
        raise DeployFailed(message, hint="Free some space, or keep fewer releases (static.keep).")
