"""The runner's own language in a step's log and files. All pure.

GitHub's documentation, "Workflow commands for GitHub Actions": a line ``::NAME KEY=VALUE,…::TEXT`` is a command, and so is
``##[NAME]TEXT`` of the older form, wherever it stands in its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

__all__ = ["annotation", "group", "harmless", "masks", "output_text"]

_SHORTEST_MASK = 8
"""Characters: a shorter text would be masked wherever it stands in the log by chance."""


def group(title: str) -> str:
    """The line that opens a group, which ``::endgroup::`` closes; groups do not nest."""
    return f"::group::{_data(title)}"


def annotation(level: str, text: str, properties: Mapping[str, object] | None = None) -> str:
    """The line that shows ``text`` as an error or a warning, with ``title``, ``file`` and ``line`` as far as given."""
    told = ",".join(f"{key}={_property(str(value))}" for key, value in (properties or {}).items() if value)
    return f"::{level}{f' {told}' if told else ''}::{_data(text)}"


def masks(secrets: Iterable[str]) -> Iterator[str]:
    """Lines that hide secrets which the runner may not know: it masks line by line, so each long line is one.

    A PEM file's first and last line are in every key, and are no secret.
    """
    lines = (line.strip() for secret in secrets for line in re.split(r"\r?\n|\\n", secret))
    for line in dict.fromkeys(lines):
        if len(line) >= _SHORTEST_MASK and not line.startswith("-----"):
            yield f"::add-mask::{_data(line)}"


def harmless(line: str) -> str:
    """The line as one that the runner reads no command out of; other lines as they are."""
    line = line.replace("##[", "## [")
    begin = line.lstrip()
    return f"{line[: len(line) - len(begin)]}: :{begin[2:]}" if begin.startswith("::") else line


def output_text(values: Mapping[str, str], delimiter: str) -> str:
    """What is appended to the file ``GITHUB_OUTPUT``; ``delimiter`` is a random text that no value holds."""
    return "".join(f"{name}<<{delimiter}\n{value}\n{delimiter}\n" for name, value in values.items())


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
