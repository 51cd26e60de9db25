"""What `deployer check` says, as values: one finding for each thing that it looked at."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from deployer.errors import DeployerError

__all__ = ["Finding", "State", "error", "exit_code", "failure", "fine", "warning"]


class State(enum.Enum):
    """Whether a deploy can work with what was found."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    ``name`` says what (a documented word), ``host`` where (empty: here), ``found`` what is so, in one line; ``mend`` is
    the command, or what to do, when that is not fine. ``code`` is the exit code that a run would end with.
    """

    name: str
    state: State
    found: str
    mend: str = ""
    host: str = ""
    code: int = 0

    def as_json(self) -> dict[str, Any]:
        """The documented object."""
        return {
            "name": self.name,
            "host": self.host,
            "state": self.state.value,
            "found": self.found,
            "mend": self.mend,
        }


def fine(name: str, found: str) -> Finding:
    """Nothing has to be done."""
    return Finding(name, State.OK, found)


def warning(name: str, found: str, mend: str) -> Finding:
    """A deploy works, but somebody should look at this."""
    return Finding(name, State.WARNING, found, mend)


def error(name: str, found: str, mend: str, code: int = 1) -> Finding:
    """A deploy would fail, or its visitors would not see it."""
    return Finding(name, State.ERROR, found, mend, code=code)


def failure(name: str, reason: DeployerError, mend: str) -> Finding:
    """What stopped us would stop a run, with the same code; ``mend`` is for when the error itself has no hint."""
    return error(name, " ".join(reason.message.split()), reason.hint or mend, reason.exit_code)


def exit_code(findings: Iterable[Finding]) -> int:
    """The code that a run would end with: its configuration is looked at first, then the connection, then the rest."""
    codes = {finding.code for finding in findings if finding.state is State.ERROR}
    return next((code for code in (2, 4) if code in codes), min(codes, default=0))
