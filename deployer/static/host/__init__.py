"""The host's side of a static deploy."""

from __future__ import annotations

from functools import cache

from deployer.host import assemble

__all__ = ["program"]

PARTS = (
    "site.sh",
    "heal.sh",
    "facts.sh",
    "receive.sh",
    "arrived.sh",
    "patch.sh",
    "share.sh",
    "switch.sh",
    "look.sh",
    "check.sh",
    "main.sh",
)


@cache
def program() -> str:
    """The program as POSIX shell text."""
    return assemble(__name__, PARTS)
