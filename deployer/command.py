"""Everything that becomes shell text, and nothing else: the only place that quotes.

One constant command line is what a host is ever asked to run. The program itself, its arguments and all data travel on
standard input, so that a forced command (``command="…"`` in authorized_keys) can hold a key to this one line.
"""

from __future__ import annotations

import shlex

__all__ = ["REMOTE_COMMAND", "build_argv", "encode_program", "local_argv", "quote"]

# Reads the first line of standard input, byte by byte as POSIX demands of `read`, so that what follows stays for the
# program; `printf %b` undoes the encoding. Single quotes and no "!" or backslash: sh, bash, zsh, csh and fish agree on it.
_BOOTSTRAP = 'IFS= read -r s && eval "$(printf %b "$s")"'
REMOTE_COMMAND = f"sh -c '{_BOOTSTRAP}'"


def local_argv() -> tuple[str, ...]:
    """The same command as :data:`REMOTE_COMMAND`, as arguments for this machine."""
    return ("sh", "-c", _BOOTSTRAP)


def encode_program(text: str) -> bytes:
    r"""The program as the one line, newline included, that :data:`REMOTE_COMMAND` reads before anything else.

    The line is printable ASCII whatever the text: a backslash doubled, a newline as ``\n``, any other byte in octal as
    ``\0ddd``. (POSIX, utility printf, conversion ``%b``; three digits always, because a digit may follow.)

    Raises ValueError when the text has a NUL, which no shell can hold.
    """
    if "\0" in text:
        raise ValueError("a shell program cannot hold a NUL character")
    return b"".join(map(_ENCODED.__getitem__, text.encode("utf-8", "surrogateescape"))) + b"\n"


def _encoded_byte(byte: int) -> bytes:
    if byte == ord("\\"):
        return b"\\\\"
    if byte == ord("\n"):
        return b"\\n"
    return bytes([byte]) if 0x20 <= byte < 0x7F else b"\\0%03o" % byte


_ENCODED = [_encoded_byte(byte) for byte in range(256)]


def quote(argument: str) -> str:
    """One argument as a word of POSIX shell text that means exactly the argument. Raises ValueError for a NUL."""
    if "\0" in argument:
        raise ValueError("a shell word cannot hold a NUL character")
    return shlex.quote(argument)


def build_argv(command: str) -> tuple[str, ...]:
    """The arguments that run a user's own command line, as written, in this machine's ``sh``."""
    return ("sh", "-c", command)
