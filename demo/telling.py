"""The voice of a demo: its acts, what it says, and the commands that it runs as a person would."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from demo import children
from deployer.reporting.text import colored

__all__ = ["Telling", "Unexpected", "inherited"]

_INHERITED = ("PATH", "TERM", "COLORTERM", "COLUMNS", "LANG", "LC_ALL", "LC_CTYPE", "NO_COLOR", "CI", "TMPDIR")


class Unexpected(Exception):
    """Something in the demo went otherwise than it has to."""


def inherited(home: Path) -> dict[str, str]:
    """The environment of the commands: little of the person's own, and none of the person's configuration."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return kept | {"HOME": str(home), "PYTHONPATH": str(children.REPOSITORY)}


class Telling:
    """One telling; ``timeout`` is the seconds that each command may take."""

    def __init__(self, voice: TextIO, environment: Mapping[str, str], timeout: float = 30.0) -> None:
        self.environment = dict(environment)
        self._voice = voice
        self._timeout = timeout
        self._act = 0

    def act(self, title: str) -> None:
        """Begin the next part."""
        self._act += 1
        self._say("", colored(f"{self._act}. {title}", "bold", self._voice))

    def narrate(self, text: str) -> None:
        """Tell the newcomer something."""
        self._say(textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False))

    def show(self, text: str) -> None:
        """Show a file."""
        self._say("", textwrap.indent(text.rstrip(), "    "))

    def deployer(self, directory: Path, *arguments: str, expected: int = 0) -> None:
        """Run deployer in a directory as a person would, and hold it to its exit code."""
        self._say(colored(f"$ deployer {' '.join(arguments)}", "bold", self._voice))
        code = children.command(["-m", "deployer", *arguments], directory, self.environment, self._timeout)
        if code != expected:
            raise Unexpected(f"deployer {' '.join(arguments)} ended with code {code} instead of {expected}")

    def _say(self, *lines: str) -> None:
        print(*lines, sep="\n", file=self._voice, flush=True)
