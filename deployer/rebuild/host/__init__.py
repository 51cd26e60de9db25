"""The host's side of a rebuild."""

from __future__ import annotations

from functools import cache

from deployer.host import assemble

__all__ = ["program"]

PARTS = (
    "site.sh",
    "ahead.sh",
    "command.sh",
    "checkout.sh",
    "remote.sh",
    "update.sh",
    "move.sh",
    "restore.sh",
    "compose.sh",
    "project.sh",
    "images.sh",
    "watched.sh",
    "proxy.sh",
    "adopt.sh",
    "containers.sh",
    "ready.sh",
    "names.sh",
    "roll.sh",
    "retire.sh",
    "recover.sh",
    "releases.sh",
    "check.sh",
    "main.sh",
)


@cache
def program() -> str:
    """The program as POSIX shell text."""
    return assemble(__name__, PARTS)
