"""Everything that becomes shell text, and nothing else: the only place that quotes.

One constant command line is what a host is ever asked to run. The program itself, its arguments and all data travel on
standard input, so that a forced command (``command="…"`` in authorized_keys) can hold a key to this one line.
"""

from __future__ import annotations

import shlex
import zlib
from functools import cache

__all__ = ["REMOTE_COMMAND", "build_argv", "encode_program", "first_word", "local_argv", "quote"]

# Reads the first line of standard input, byte by byte as POSIX demands of `read`, so that what follows stays for the
# program; `printf %b` undoes the encoding. Single quotes and no "!" or backslash: sh, bash, zsh, csh and fish agree on it.
_BOOTSTRAP = 'IFS= read -r s && eval "$(printf %b "$s")"'
REMOTE_COMMAND = f"sh -c '{_BOOTSTRAP}'"


def local_argv() -> tuple[str, ...]:
    """The same command as :data:`REMOTE_COMMAND`, as arguments for this machine."""
    return ("sh", "-c", _BOOTSTRAP)


@cache
def encode_program(text: str) -> bytes:
    r"""The program as :data:`REMOTE_COMMAND` reads it: one line, which reads the rest, and the rest.

    The rest is compressed by gzip, so that it fits into the first packets that a new connection may send. ``dd`` takes
    exactly its bytes from standard input, where ``read`` would take them one by one, and BusyBox's ``head`` too many.

    Raises ValueError when the text has a NUL, which no shell can hold.
    """
    if "\0" in text:
        raise ValueError("a shell program cannot hold a NUL character")
    packer = zlib.compressobj(level=9, wbits=31)
    packed = packer.compress(text.encode("utf-8", "surrogateescape")) + packer.flush()
    loader = f'eval "$(dd bs={len(packed)} count=1 iflag=fullblock 2>/dev/null | gzip -dc)"'
    return loader.encode() + b"\n" + packed


def quote(argument: str) -> str:
    """One argument as a word of POSIX shell text that means exactly the argument. Raises ValueError for a NUL."""
    if "\0" in argument:
        raise ValueError("a shell word cannot hold a NUL character")
    return shlex.quote(argument)


def build_argv(command: str) -> tuple[str, ...]:
    """The arguments that run a user's own command line, as written, in this machine's ``sh``."""
    return ("sh", "-c", command)


def first_word(command: str) -> str:
    """The program that a command line starts, past assignments; empty where only a shell can tell."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        return ""
    word = next((word for word in words if "=" not in word), "")
    return "" if any(character in word for character in "$`;&|<>()*?{") else word
