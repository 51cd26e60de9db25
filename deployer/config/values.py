"""One value of one key: from TOML or from text to what the model holds, or an error that says what was expected."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from deployer.config.checks import Refused, check_key_file, holds_private_key
from deployer.config.keys import Key
from deployer.errors import InvalidInput

__all__ = ["accept", "expectation", "refusal"]

_INTEGER = r"[+-]?[0-9]{1,18}"
_NUMBER = r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?"
_LONGEST_SHOWN = 80
_TRUE, _FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})


def accept(key: Key, value: object, *, subject: str, folder: Path, typed: bool) -> object:
    """Check ``value`` for ``key`` and return it as the model holds it: lists as tuples, files absolute.

    ``subject`` is where the value came from and begins every message; relative files start from ``folder``. ``typed``
    values (TOML's) must have the type already, others may be the text of one. Raises InvalidInput.
    """
    try:
        if key.repeat:
            items = tuple(_accept_one(key, item, folder, typed) for item in _items(key, value, typed))
            if key.together:
                key.together(tuple(map(str, items)))
            return items
        return _accept_one(key, value, folder, typed)
    except Refused as reason:
        raise refusal(subject, reason, value) from None


def refusal(subject: str, reason: Refused, value: object) -> InvalidInput:
    """The error for a value that broke a rule; a value that may be secret is not shown."""
    shown = f", but is {_describe(value)}" if reason.echo else ""
    return InvalidInput(f"{subject} must be {reason.expected}{shown}", hint=reason.hint)


def expectation(key: Key) -> str:
    """What a key takes, as words behind "must be"."""
    if key.choices:
        return f"one of {', '.join(key.choices)}"
    if key.kind == "boolean":
        return "true or false"
    noun = {"text": "text", "integer": "whole number", "number": "number"}[key.kind]
    if key.repeat:
        least = " with at least one entry" if key.least else ""
        return f"a list of {noun}s{_bounds(key)}{least}" + (" or a text of lines" if key.lines else "")
    return f"a {noun}{_bounds(key)}"


def _bounds(key: Key) -> str:
    if key.low is not None and key.high is not None:
        return f" from {key.low:g} to {key.high:.0f}"
    if key.above is not None and key.high is not None:
        return f" above {key.above:g} and at most {key.high:.0f}"
    return ""


def _items(key: Key, value: object, typed: bool) -> Sequence[object]:
    values: Sequence[object] = value if isinstance(value, list | tuple) else (value,)
    if typed and not isinstance(value, list) and not (key.lines and isinstance(value, str)):
        raise Refused(expectation(key))
    if len(values) < key.least:
        raise Refused(expectation(key))
    if not key.lines:
        return values
    if not all(isinstance(item, str) for item in values):
        raise Refused(expectation(key))
    lines = [line.strip() for item in values for line in str(item).splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _accept_one(key: Key, value: object, folder: Path, typed: bool) -> object:
    if key.kind == "text":
        return _accept_text(key, value, folder)
    if key.kind == "boolean":
        return _accept_boolean(key, value, typed)
    number = value if typed or not isinstance(value, str) else _parse_number(key, value)
    wanted: tuple[type, ...] = (int,) if key.kind == "integer" else (int, float)
    if isinstance(number, bool) or not isinstance(number, wanted) or not _within(key, number):
        raise Refused(expectation(key))
    return number


def _accept_boolean(key: Key, value: object, typed: bool) -> bool:
    word = value.strip().lower() if isinstance(value, str) and not typed else ""
    if word in _TRUE | _FALSE:
        return word in _TRUE
    if not isinstance(value, bool):
        raise Refused(expectation(key) if typed else f"{expectation(key)} (or 1, 0, yes, no)")
    return value


def _accept_text(key: Key, value: object, folder: Path) -> object:
    if not isinstance(value, str):
        raise Refused(expectation(key))
    if "\0" in value:
        raise Refused("a text without NUL characters", echo=False)
    if holds_private_key(value) and key.check is not check_key_file:
        hint = "put a private key, unchanged, into the variable DEPLOYER_KEY"
        raise Refused("a text without a private key in it", hint=hint, echo=False)
    if key.choices and value not in key.choices:
        raise Refused(expectation(key))
    if key.parse:
        return key.parse(value) if value else ()
    # An optional text that is empty says "none" or "the default".
    if key.check and (value or key.required or key.repeat):
        value = key.check(value)
    return _absolute(folder, value) if key.local_path and value else value


def _absolute(folder: Path, text: str) -> str:
    try:
        return str(folder / Path(text).expanduser())
    except RuntimeError:
        raise Refused("a path, with ~ for a home directory that exists") from None


def _parse_number(key: Key, text: str) -> object:
    text = text.strip()
    if key.kind == "integer":
        return int(text) if re.fullmatch(_INTEGER, text) else text
    return float(text) if re.fullmatch(_NUMBER, text) else text


def _within(key: Key, number: object) -> bool:
    assert isinstance(number, int | float)
    if not math.isfinite(number):
        return False
    too_low = (key.low is not None and number < key.low) or (key.above is not None and number <= key.above)
    return not too_low and (key.high is None or number <= key.high)


def _describe(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | str):
        shown = repr(value)
        return shown if len(shown) <= _LONGEST_SHOWN else shown[:_LONGEST_SHOWN] + "…"
    if isinstance(value, list | tuple):
        return _describe(value[0]) if len(value) == 1 else f"[{', '.join(_describe(item) for item in value[:5])}]"
    return "a table" if isinstance(value, dict) else "a date or time"
