"""Secrets that never show themselves, and errors that are one exit code each."""

from __future__ import annotations

import json
import logging
import re
import traceback
from pathlib import Path

import pytest

from deployer import errors
from deployer.errors import DeployerError
from deployer.secret import Secret

TEXT = "correct horse battery staple"
DOCS = Path(__file__).resolve().parents[2] / "docs"
CODES = {
    "DeployFailed": 1,
    "ConnectionLost": 1,
    "PreparationLost": 1,
    "InvalidInput": 2,
    "NoLoginKey": 2,
    "LockHeld": 3,
    "ConnectionRefused": 4,
    "GateFailed": 5,
    "BudgetExceeded": 6,
    "StateUnknown": 7,
    "Interrupted": 130,
}


@pytest.mark.parametrize(
    "show",
    [str, repr, "{}".format, "{!r}".format, lambda secret: f"{secret}", lambda secret: str([secret, {1: secret}])],
)
def test_a_secret_does_not_show_in_texts(show: object) -> None:
    """However it is made a text, alone or inside something else, three stars are seen."""
    shown = show(Secret(TEXT))  # type: ignore[operator]
    assert TEXT not in shown
    assert "***" in shown


def test_a_secret_does_not_show_in_json() -> None:
    """An encoder refuses it, or shows the stars."""
    with pytest.raises(TypeError) as caught:
        json.dumps({"key": Secret(TEXT)})
    assert TEXT not in str(caught.value)
    assert TEXT not in json.dumps({"key": Secret(TEXT)}, default=str)


def test_a_secret_does_not_show_in_logs_and_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    """Neither a log call nor an exception that carries it tells the text."""
    logging.getLogger("deployer").warning("key %s", Secret(TEXT))
    try:
        raise ValueError(Secret(TEXT))
    except ValueError as error:
        lines = traceback.TracebackException.from_exception(error, capture_locals=True).format()
        assert TEXT not in "".join(lines)
    assert TEXT not in caplog.text


def test_a_secret_reveals_itself_only_by_name() -> None:
    """``reveal`` gives the text, there is nothing else to look into, and an empty one is false."""
    assert Secret(TEXT).reveal() == TEXT
    assert not hasattr(Secret(TEXT), "__dict__")
    assert (bool(Secret(TEXT)), bool(Secret(""))) == (True, False)


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_each_class_is_its_documented_exit_code(name: str, code: int) -> None:
    """The class decides the exit code, and the page of exit codes has it."""
    assert getattr(errors, name)("x").exit_code == code
    pages = "".join(page.read_text("utf-8") for page in DOCS.glob("*.md"))
    assert re.search(rf"^\|\s*`?{code}`?\s*\|", pages, re.MULTILINE), f"no page in docs has a table row for {code}"


def test_every_class_is_listed_here() -> None:
    """A new class needs a code that people can read about."""
    assert set(errors.__all__) == {*CODES, "DeployerError"}
    assert all(issubclass(getattr(errors, name), DeployerError) for name in CODES)


def test_an_error_is_its_message_and_what_to_do() -> None:
    """The hint stands on its own line below; without one there is no empty line."""
    assert str(DeployerError("the disk is full", hint="Free some space.")) == "the disk is full\n  Free some space."
    assert str(DeployerError("the disk is full")) == "the disk is full"
