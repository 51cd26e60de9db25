"""The part of the host's program that every strategy shares, and the assembling of whole programs.

A program is POSIX shell text, put together from files that are read and linted on their own, without their comments: the
host's shell reads it byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from importlib.resources.abc import Traversable

__all__ = ["FOR_LINTERS", "assemble"]

FOR_LINTERS = (
    # They ask for if-then-else where `a && b || fail` is meant, and trip over the words done and mv as arguments.
    "# shellcheck shell=sh disable=SC2015,SC1010,SC2209"
    # The shared part has what only some programs use.
    ",SC2034,SC2329"
    # Words that are split on purpose; single quotes that hold other languages' programs.
    ",SC2086,SC2046,SC2089,SC2090,SC2016\n"
)
"""What to put before an assembled program, which has lost its comments."""

SHARED = ("protocol.sh", "lock.sh", "state.sh", "look.sh")


def assemble(room: str, names: Iterable[str]) -> str:
    """The shared files, then ``names`` out of the package ``room``, as one program without comments and indentation.

    The files must not hold texts in which a line starts with ``#`` or where leading blanks matter.
    """
    own, shared = resources.files(room), resources.files(__name__)
    texts = [_read(shared, name) for name in SHARED] + [_read(own, name) for name in names]
    lines = (line.strip() for text in texts for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("#"))


def _read(folder: Traversable, name: str) -> str:
    return folder.joinpath(name).read_text("utf-8")
