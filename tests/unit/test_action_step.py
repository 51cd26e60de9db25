"""What a step leaves behind: outputs, GitHub's record, and nothing of a secret for its children."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from action.main import pip_variables, why
from deployer.action.audience import outputs
from deployer.action.inputs import INPUTS, variable_of
from deployer.action.records import description_of, outcome_of, subject_of
from deployer.action.step import perform
from deployer.config import Config, Secrets, load
from deployer.deploy import ProbeFigures, Result
from deployer.errors import BudgetExceeded, DeployFailed, GateFailed, Interrupted
from deployer.reporting.github import Outcome
from deployer.secret import Secret

RUNNER = {"GITHUB_REPOSITORY": "o/r", "GITHUB_SHA": "a" * 40, "GITHUB_RUN_ID": "7"}
RUNNER |= {"GITHUB_SERVER_URL": "https://g.example"}


def config(tmp_path: Path) -> Config:
    given = {"app": "blog", "host": ["local"], "static.source": ".", "static.target": "/www/blog"}
    return load(None, flags=given, variables={}, environment="", directory=tmp_path)


def test_the_record_is_of_the_commit_that_was_pushed(tmp_path: Path) -> None:
    """With the run as its log; of a pull request the head, which a branch has."""
    secrets = Secrets(github_token=Secret("token"))
    subject = subject_of(config(tmp_path), secrets, RUNNER)
    assert subject
    assert (subject.ref, subject.environment, subject.task) == ("a" * 40, "production", "deploy:blog")
    assert subject.log_url == "https://g.example/o/r/actions/runs/7"
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"head": {"sha": "b" * 40}}}))
    pulled = subject_of(config(tmp_path), secrets, RUNNER | {"GITHUB_EVENT_PATH": str(event)})
    assert pulled
    assert pulled.ref == "b" * 40


def test_there_is_no_record_without_a_token_or_a_repository(tmp_path: Path) -> None:
    """Nothing is asked of GitHub then."""
    assert subject_of(config(tmp_path), Secrets(), RUNNER) is None
    assert subject_of(config(tmp_path), Secrets(github_token=Secret("t")), {}) is None


def test_every_end_is_one_of_githubs() -> None:
    """What is live is a success, whatever it cost; a cancelled job is an error."""
    assert outcome_of(None) is Outcome.SUCCESS
    assert outcome_of(BudgetExceeded("x")) is Outcome.SUCCESS
    assert outcome_of(GateFailed("x")) is outcome_of(DeployFailed("x")) is Outcome.FAILURE
    assert outcome_of(Interrupted("x")) is Outcome.INTERRUPTED
    result = Result("a", "static", "", (), "", status="deployed", duration_seconds=1.04)
    assert description_of(result) == "deployed in 1.0 s"
    result.probe = ProbeFigures(18, 1, 1.0, 2.0, 3.0)
    assert description_of(result).endswith(", 1 of 18 requests dropped")
    result.error = DeployFailed("the disk is full", hint="Free some.")
    assert description_of(result) == "the disk is full"


def test_outputs_are_there_whatever_is_known() -> None:
    """Unknown ones are empty, and the object is one line."""
    told = outputs(Result("", "", "", (), "", error=DeployFailed("a\nb")).as_json())
    assert (told["status"], told["url"], told["dropped-requests"]) == ("failed", "", "")
    assert "\n" not in told["json"]


def test_a_step_that_cannot_begin_says_so_and_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2, one annotation, outputs; and no secret is left in the variables that children would get."""
    monkeypatch.chdir(tmp_path)
    environment = dict.fromkeys(map(variable_of, INPUTS), "")
    environment |= {"GITHUB_OUTPUT": str(tmp_path / "output"), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    environment |= {variable_of("key"): "-----BEGIN\nc2VjcmV0LXNlY3JldA==\n", variable_of("app"): "blog", "HOME": "/x"}
    stream = io.StringIO()
    assert perform(environment, stream) == 2
    said = stream.getvalue().splitlines()
    assert said[0] == "::add-mask::c2VjcmV0LXNlY3JldA=="
    assert sum(line.startswith("::error title=Deploy") for line in said) == 1
    assert "input `host`" in stream.getvalue()
    assert "status<<" in (tmp_path / "output").read_text()
    assert "❌" in (tmp_path / "summary").read_text()
    assert not any("c2VjcmV0" in text for text in environment.values())
    assert environment["HOME"] == "/x"


def test_pip_gets_places_and_no_other_settings() -> None:
    """Where packages come from is the caller's to say; how they are installed, and the step's inputs, are not."""
    given = {"PIP_INDEX_URL": "u", "PIP_TARGET": "t", "PIP_REQUIRE_VIRTUALENV": "1", "PYTHONPATH": ".", "HOME": "/x"}
    variables = pip_variables({**given, "DEPLOYER_INPUT_KEY": "secret"})
    assert (variables["PIP_INDEX_URL"], variables["HOME"]) == ("u", "/x")
    assert variables["PIP_REQUIRE_VIRTUALENV"] == variables["PIP_USER"] == "0"
    assert not {"PIP_TARGET", "PYTHONPATH", "DEPLOYER_INPUT_KEY"} & set(variables)
    assert "PIP_INDEX_URL" in why(given)
    assert "PIP_" not in why({})
