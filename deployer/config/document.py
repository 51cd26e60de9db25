"""deploy.toml as data, with the line of every key, so that a message can say where it is wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from deployer.errors import InvalidInput

__all__ = ["Document", "Location", "find_lines", "read_document"]

Location = tuple[str | int, ...]
"""The names on the way to a key; a number, from 1, is the place of a table in a list of tables."""

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = rf"\s*\[\[?\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?"
_ASSIGNMENT = rf"\s*({_DOTTED})\s*="
_MULTILINE = "\"{3}|'{3}"


class Document(msgspec.Struct, frozen=True):
    """A parsed file: ``name`` as people should read it, ``folder`` that its relative paths start from."""

    name: str
    folder: Path
    data: dict[str, Any]
    lines: dict[Location, int]

    def where(self, path: Location) -> str:
        """``deploy.toml:12: static.keep``; the line is that of the nearest table when the key's own was not found."""
        lengths = range(len(path), 0, -1)
        line = next((f":{self.lines[path[:length]]}" for length in lengths if path[:length] in self.lines), "")
        names = ".".join(name for name in path if isinstance(name, str))
        places = "".join(f" ({path[place - 1]} {name})" for place, name in enumerate(path) if isinstance(name, int))
        return f"{self.name}{line}: {names}{places}"


def read_document(file: Path, directory: Path) -> Document:
    """Read and parse ``file``; its name is shown relative to ``directory`` where it lies below. Raises InvalidInput."""
    absolute = directory / file
    name = str(absolute.relative_to(directory)) if absolute.is_relative_to(directory) else str(file)
    text = _decode(_read(absolute, name), name)
    return Document(name, absolute.parent, _parse(text, name), find_lines(text))


def _read(file: Path, name: str) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise InvalidInput(f"{name} does not exist", hint="give the configuration by --config FILE") from None
    except OSError as error:
        raise InvalidInput(f"{name} cannot be read: {error.strerror or error}") from error


def _decode(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"{name}:{line}: is not UTF-8 text, which TOML has to be") from None


def _parse(text: str, name: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a number with more digits than int() takes
        # The line stands in the message only, until Python 3.14 gave the error attributes.
        line = re.search(r"at line (\d+)", str(error))
        number = line[1] if line else str(text.rstrip("\n").count("\n") + 1)
        raise InvalidInput(f"{name}:{number}: is not valid TOML: {error}") from None
    except RecursionError:
        raise InvalidInput(f"{name}: lists or tables are nested too deeply") from None


def find_lines(text: str) -> dict[Location, int]:
    """The first line, from 1, of each table header and each key that starts a line.

    Tables of a list are there by their place, and the first one of them without it, too. Keys inside inline tables are
    not looked for: their table's line is near enough.
    """
    lines: dict[Location, int] = {}
    tables: list[Location] = [()]
    listed: Counter[Location] = Counter()
    for number, line in _outside_strings(text):
        header = re.fullmatch(_HEADER, line)
        assignment = re.match(_ASSIGNMENT, line)
        if header:
            tables = [_split(header[1])]
            if line.lstrip().startswith("[["):
                listed[tables[0]] += 1
                tables.append((*tables[0], listed[tables[0]]))
            _note(lines, tables, number)
        elif assignment:
            names = _split(assignment[1])
            for length in range(len(names)):
                _note(lines, [(*table, *names[: length + 1]) for table in tables], number)
    return lines


def _note(lines: dict[Location, int], paths: Iterable[Location], number: int) -> None:
    for path in paths:
        lines.setdefault(path, number)


def _outside_strings(text: str) -> Iterator[tuple[int, str]]:
    """The lines that do not begin inside a string of several lines."""
    closing = ""
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not closing:
            yield number, line
        for mark in re.findall(_MULTILINE, line):
            closing = mark if not closing else "" if mark == closing else closing


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in re.findall(_PART, dotted))
