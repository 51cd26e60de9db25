"""Texts as people read them: sizes, durations, tables, and anything from outside made safe for one line."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

__all__ = [
    "colored",
    "format_bytes",
    "format_duration",
    "format_milliseconds",
    "is_terminal",
    "table",
    "visible",
    "width",
    "write_line",
    "write_lines",
]

_SIZES = ("kB", "MB", "GB", "TB", "PB")
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_JOINERS = "\u200c\u200d"  # shape letters and emoji; they move nothing on the screen
_COLORS = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "dim": "2"}


def visible(text: str) -> str:
    r"""The text on one line that can neither steer a terminal nor forge a line of a log.

    Control, format and separator characters (Unicode categories Cc, Cf, Zl, Zp) and unassigned ones become escapes such
    as ``\n`` and ``\x1b``; a byte that was not UTF-8 (a surrogate from ``surrogateescape``) becomes ``\xff``.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if _harmless(character) else _escaped(character) for character in text)


def _harmless(character: str) -> bool:
    # isprintable() is False for categories Cc, Cf, Cs, Co, Cn, Zl, Zp, and for the wide spaces of Zs.
    return character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def format_bytes(count: float) -> str:
    """A number of bytes in decimal units, three digits at most before the unit: ``0 bytes``, ``1.2 MB``, ``45 MB``."""
    if count < 1000:
        return f"{count:.0f} byte{'' if round(count) == 1 else 's'}"
    value = float(count)
    for unit in _SIZES:
        value /= 1000
        if value < 999.5 or unit == _SIZES[-1]:
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
    raise AssertionError("the loop ends at the last unit")


def format_milliseconds(value: float) -> str:
    """Milliseconds as a latency: ``3 ms``, ``0.4 ms``, ``1.2 s``."""
    if value >= 999.5:
        return format_duration(value / 1000)
    return f"{value:.0f} ms" if value >= 0.95 or value == 0 else f"{value:.1f} ms"


def format_duration(seconds: float) -> str:
    """Seconds as a person says them: ``12 ms``, ``1.1 s``, ``42 s``, ``2 min 5 s``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds < 0.0995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for large, small, big_unit, small_unit in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large} {big_unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"


def width(text: str) -> int:
    """How many columns of a terminal the text takes: wide East Asian characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or character in _JOINERS:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def table(rows: Iterable[Sequence[str]], *, header: Sequence[str] = (), right: Sequence[int] = ()) -> list[str]:
    """Lines of aligned columns, two spaces apart; cells are made safe. ``right`` names the columns of numbers."""
    cells = [[visible(cell) for cell in row] for row in ([header] if header else []) + list(rows)]
    columns = max((len(row) for row in cells), default=0)
    widths = [max((width(row[column]) for row in cells if column < len(row)), default=0) for column in range(columns)]
    return [_aligned(row, widths, right) for row in cells]


def _aligned(row: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> str:
    padded = []
    for column, cell in enumerate(row):
        space = " " * (widths[column] - width(cell))
        padded.append(space + cell if column in right else cell + space)
    return "  ".join(padded).rstrip()


def is_terminal(stream: TextIO, environment: Mapping[str, str] | None = None) -> bool:
    """Whether a person watches this stream on a terminal that can move its cursor: no CI, no ``TERM=dumb``."""
    variables = os.environ if environment is None else environment
    if variables.get("TERM", "") in ("dumb", "") or variables.get("CI"):
        return False
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def colored(text: str, color: str, stream: TextIO) -> str:
    """The text in bold, dim, red, green or yellow where the stream is a terminal and NO_COLOR (no-color.org) is unset."""
    if os.environ.get("NO_COLOR") or not is_terminal(stream):
        return text
    return f"\x1b[{_COLORS[color]}m{text}\x1b[0m"


def write_line(stream: TextIO, line: str) -> None:
    """Write one line at once. What the stream cannot encode is escaped; a reader that went away is no error.

    A deploy must not fail because somebody closed the window that it reports to.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    safe = line.encode(encoding, "backslashreplace").decode(encoding)
    with contextlib.suppress(OSError, ValueError):
        stream.write(safe + "\n")
        stream.flush()


def write_lines(stream: TextIO, lines: Iterable[str]) -> None:
    """Write several lines at once, as ``write_line`` writes each."""
    for line in lines:
        write_line(stream, line)
