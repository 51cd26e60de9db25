"""What ``init`` is told: by flags and variables, by a person at a terminal, or by what was found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from deployer.config import OPTIONS, Config, Option, load
from deployer.config.checks import holds_private_key
from deployer.errors import InvalidInput

__all__ = ["Answers"]

NONE = "-"
"""What a person answers to a question whose proposal is not wanted."""
_ENVIRONMENT = "DEPLOYER_ENVIRONMENT"  # chooses among what a file says, and there is no file yet
_OPTIONS = {option.key: option for option in OPTIONS}
# Stand in for what is not known yet while the rest is checked.
_ANY: Mapping[str, object] = {
    "app": "x",
    "host": ("local",),
    "static.source": "x",
    "static.target": "/x/x",
    "rebuild.path": "x",
}


class Answers:
    """The values known so far, by the options' keys and in the form of flags: lists as tuples, paths as they were given."""

    def __init__(
        self, flags: Mapping[str, object], variables: Mapping[str, str], directory: Path, *, interactive: bool
    ) -> None:
        """Take what flags and variables say; relative paths start from ``directory``. Raises InvalidInput."""
        self.interactive = interactive
        self._directory = directory
        self.missing: list[str] = []
        given = {key: value for key, value in flags.items() if value not in (None, (), [])}
        named = {name: text for name, text in variables.items() if name != _ENVIRONMENT}
        self.values = {option.key: _of_variable(option, named.get(option.variable, "")) for option in OPTIONS} | given
        self.values = {key: value for key, value in self.values.items() if value not in ("", ())}
        self._empty = {key for key, value in given.items() if value == ""}
        unknown = {key: value for key, value in _ANY.items() if key not in self.values}
        load(None, flags=unknown | given, variables=named, directory=directory)

    @property
    def strategy(self) -> str:
        """The chosen one."""
        return self.text("strategy") or "static"

    def text(self, key: str) -> str:
        """The value of an option that holds one text; empty when there is none."""
        return str(self.values.get(key, ""))

    def settle(
        self, key: str, question: str, proposal: str = "", *, unattended: bool = True, optional: bool = False
    ) -> None:
        """Make sure that there is a value: the given one, a person's, or the proposal.

        A flag that was given as the empty text means none, where that is ``optional``.
        Without a person, a proposal counts only if it may be taken ``unattended``; what is lacking then and not
        ``optional`` is noted as missing.
        """
        if key in self.values or (optional and key in self._empty):
            return
        option = _OPTIONS[key]
        if self.interactive:
            answer = self._ask(option, question, proposal, optional=optional)
        else:
            answer = proposal if unattended else ""
            if not answer and not optional:
                self.missing.append(option.flag)
        if answer:
            self.values[key] = (answer,) if option.repeat else answer

    def config(self) -> Config:
        """The values as a configuration. Raises InvalidInput."""
        return load(None, flags=self.values, variables={}, directory=self._directory)

    def draft(self) -> Config:
        """As ``config``, with anything in place of what is not known yet. Raises InvalidInput."""
        return load(None, flags={**_ANY, **self.values}, variables={}, directory=self._directory)

    def require(self) -> None:
        """Raise InvalidInput that names every flag that is missing."""
        if self.missing:
            hint = "Give them as flags, or run `deployer init` in a terminal, where it asks."
            raise InvalidInput(f"not known, and nobody to ask: {', '.join(self.missing)}", hint=hint)

    def _ask(self, option: Option, question: str, proposal: str, *, optional: bool) -> str:
        def check(text: str) -> str:
            text = text.strip()
            if optional and text in {"", NONE}:
                return ""
            given = {option.key: (text,) if option.repeat else text, "strategy": self.strategy}
            try:
                load(None, flags={**_ANY, **given}, variables={}, directory=self._directory)
            except InvalidInput as error:
                raise click.UsageError(str(error)) from None
            return text

        choice = f" ({NONE} for none)" if optional and proposal else " (empty for none)" if optional else ""
        default = proposal or ("" if optional else None)
        answer: str = click.prompt(
            question + choice, default=default, value_proc=check, show_default=bool(proposal), err=True
        )
        return answer


def _of_variable(option: Option, text: str) -> object:
    text = text.strip("\r\n")
    if not text.strip() or (option.key == "host.key" and holds_private_key(text)):
        return ""
    if option.repeat:
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    return text
