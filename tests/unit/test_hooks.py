"""The hook behind a deploy: when it runs, what it is told, and that its end changes nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployer.deploy import ProbeFigures, Result
from deployer.errors import BudgetExceeded, DeployerError, DeployFailed, GateFailed, Interrupted, StateUnknown
from deployer.hooks import facts, is_due, run_after
from deployer.interrupts import Interrupts
from tests.fakes import FakeClock, RecordedReports

RELEASE, PREVIOUS = "20261122T190300Z-7f247f9.c0ffee", "20261121T190300Z-0a1b2c3.facade"


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield Interrupts()
    for number, handler in before.items():
        signal.signal(number, handler)


def answer(**changes: Any) -> dict[str, Any]:
    result = Result("blog", "static", "staging", ("deploy@a:22", "deploy@b:22"), "https://example.org/")
    result.release, result.previous_release, result.status = RELEASE, PREVIOUS, "deployed"
    result.figures = {"files_uploaded": 3}
    for name, value in changes.items():
        setattr(result, name, value)
    return result.as_json()


class Hook:
    """Runs one in a directory of its own, and keeps what was reported."""

    def __init__(self, directory: Path, interrupts: Interrupts) -> None:
        self.directory, self.interrupts = directory, interrupts
        self.reports = RecordedReports()

    def run(self, command: str, variables: dict[str, str] | None = None, *, seconds: float = 20) -> None:
        environment = dict(os.environ) | (variables or {})
        clock = FakeClock()
        run_after(command, answer(), self.directory, environment, self.reports, clock, self.interrupts, seconds=seconds)

    @property
    def warning(self) -> str:
        (text,) = self.reports.said("warning")
        return text


@pytest.fixture
def hook(tmp_path: Path, interrupts: Interrupts) -> Hook:
    return Hook(tmp_path, interrupts)


@pytest.mark.parametrize("status", ["deployed", "rolled_back"])
def test_it_is_due_when_something_has_changed(status: str) -> None:
    """After a deploy and after a rollback that was asked for; too many drops on the way leave the new release live."""
    assert is_due(status, None)
    assert is_due(status, BudgetExceeded("three requests were dropped"))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("planned", None),
        ("unchanged", None),
        ("failed", DeployFailed("x")),
        ("failed", StateUnknown("x")),
        ("failed", Interrupted("x")),
        ("rolled_back", GateFailed("x")),
    ],
)
def test_it_is_not_due_otherwise(status: str, error: DeployerError | None) -> None:
    """Not after a dry run, nothing to do, a failure, an interruption or a rollback that the gate made."""
    assert not is_due(status, error)


def test_the_facts_of_a_deploy() -> None:
    """Texts and numbers of the documented object, and the probe's sums."""
    told = facts(answer(commit="c0ffee", probe=ProbeFigures(200, 1, 1.0, 2.0, 3.0), duration_seconds=1.5))
    assert told == {
        "DEPLOYER_APP": "blog",
        "DEPLOYER_STRATEGY": "static",
        "DEPLOYER_ENVIRONMENT": "staging",
        "DEPLOYER_STATUS": "deployed",
        "DEPLOYER_RELEASE": "20261122T190300Z-7f247f9",
        "DEPLOYER_PREVIOUS_RELEASE": "20261121T190300Z-0a1b2c3",
        "DEPLOYER_COMMIT": "c0ffee",
        "DEPLOYER_URL": "https://example.org/",
        "DEPLOYER_HOSTS": "deploy@a:22 deploy@b:22",
        "DEPLOYER_FILES_TOTAL": "0",
        "DEPLOYER_FILES_UPLOADED": "3",
        "DEPLOYER_FILES_DELETED": "0",
        "DEPLOYER_BYTES_UPLOADED": "0",
        "DEPLOYER_DURATION_SECONDS": "1.5",
        "DEPLOYER_REQUESTS": "200",
        "DEPLOYER_DROPPED": "1",
    }


def test_what_is_not_known_is_empty() -> None:
    """Every variable is always set, so that `set -u` scripts run."""
    told = facts(answer(environment="", url="", previous_release=""))
    assert {name for name, value in told.items() if not value} == {
        "DEPLOYER_ENVIRONMENT",
        "DEPLOYER_PREVIOUS_RELEASE",
        "DEPLOYER_COMMIT",
        "DEPLOYER_URL",
        "DEPLOYER_REQUESTS",
        "DEPLOYER_DROPPED",
    }


def test_it_runs_like_a_build(hook: Hook) -> None:
    """In the project's folder, as a step, with its lines shown, the caller's variables, and no secrets."""
    secrets = {"DEPLOYER_KEY": "x", "DEPLOYER_KEY_PASSPHRASE": "x", "DEPLOYER_GITHUB_TOKEN": "x"}
    command = "pwd; echo $DEPLOYER_RELEASE $CDN_TOKEN; env | grep -c 'DEPLOYER_[KG]' >&2; true"
    hook.run(command, secrets | {"CDN_TOKEN": "t"})
    assert hook.reports.calls == [
        ("started", "after", command),
        ("output", str(hook.directory)),
        ("output", "20261122T190300Z-7f247f9 t"),
        ("output", "0"),
        ("finished", "after"),
    ]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("echo no; exit 3", "ended with exit code 3 (no)"),
        ("kill -9 $$", "killed by signal 9"),
        ("no-such-program-anywhere", "127"),
    ],
)
def test_its_failure_is_a_warning(hook: Hook, command: str, words: str) -> None:
    """With its last line, which may say why, and what is live."""
    hook.run(command)
    assert words in hook.warning
    assert "20261122T190300Z-7f247f9 is live" in hook.warning


def test_it_may_not_take_for_ever(hook: Hook) -> None:
    """It is ended, and that is a warning as well."""
    hook.run("sleep 301", seconds=0.2)
    assert "did not end within 0.2 s" in hook.warning


def test_a_signal_ends_the_hook_alone(hook: Hook) -> None:
    """The deploy is done: it is not reported as interrupted, and signals are ignored from there."""
    hook.run(f"kill -TERM {os.getpid()}; sleep 301")
    assert "was interrupted" in hook.warning
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_one_that_cannot_be_run(hook: Hook) -> None:
    """As when the build removed the folder that it was started in."""
    hook.directory = hook.directory / "gone"
    hook.run("true")
    assert "cannot be run" in hook.warning
