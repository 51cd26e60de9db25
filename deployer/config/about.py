"""What the model says about each of its keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from deployer.config.checks import Check

__all__ = ["about"]


def about(
    description: str,
    flag: str = "",
    metavar: str = "",
    *,
    check: Check | None = None,
    example: object = None,
    path: bool = False,
    lines: bool = False,
    required: bool = False,
    together: Callable[[tuple[str, ...]], None] | None = None,
    parse: Callable[[str], object] | None = None,
    **constraints: Any,
) -> msgspec.Meta:
    """What is known of a key.

    An empty ``flag`` means that the key has none; ``path`` marks a path on this machine, ``lines`` a list that may also
    be given as one text of several lines; ``required`` a key that its table's strategy cannot do without; ``together``
    checks a whole list; ``parse`` makes the model's value out of the one text that it is given as; ``example`` is shown
    in the reference where the default says too little.
    """
    extra = {"flag": flag, "metavar": metavar, "check": check, "example": example, "path": path, "lines": lines}
    extra |= {"together": together, "parse": parse, "required": required}
    return msgspec.Meta(description=description, extra=extra, **constraints)
