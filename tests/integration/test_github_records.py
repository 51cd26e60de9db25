"""A Deployment from begin to end, each request and answer held to GitHub's published description."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError

import pytest

from deployer.reporting.github import DeploymentRecord, Outcome, Subject, record
from deployer.secret import Secret
from tests.attempts import until
from tests.github import GitHub, description, examples, prism

COMMIT = "7f247f9b8a3d5c2e1f0a9b8c7d6e5f4a3b2c1d0e"
PLACE = "/repos/octocat/example/deployments"
WRONG = "/repos/octocat/wrong/deployments"
JSON = {"Content-Type": "application/json"}
RUN = "https://github.example/octocat/example/actions/runs/42"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take seconds to load PyGithub alone."""
    monkeypatch.setattr(record, "END_SECONDS", 60.0)


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return description()


@pytest.fixture(scope="module")
def published(described: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GitHub, str]]:
    """The memory, and the URL of Prism before it. Whatever Prism has refused is what a test meant to be wrong."""
    with (
        GitHub(examples=examples(described)) as memory,
        prism(described, tmp_path_factory.mktemp("prism"), memory.url) as (url, log),
    ):
        memory.root = url
        yield memory, url
    refused = [line for line in log.read_text(encoding="utf-8").splitlines() if "terminated with error" in line]
    assert [line for line in refused if WRONG not in line] == []


@pytest.fixture
def github(published: tuple[GitHub, str]) -> GitHub:
    """The memory, empty again."""
    memory, _ = published
    memory.deployments.clear()
    memory.statuses.clear()
    memory.asked.clear()
    return memory


@pytest.fixture
def subject(published: tuple[GitHub, str]) -> Subject:
    return Subject(
        api_url=published[1],
        repository="octocat/example",
        token=Secret("ghs_0123456789"),
        ref=COMMIT,
        environment="production",
        log_url=RUN,
        description="static site example",
    )


@pytest.mark.parametrize(
    ("place", "body"),
    [(WRONG, {"ref": 1}), (WRONG, {"task": "deploy"}), (f"{WRONG}/1/statuses", {"state": "done"})],
)
def test_wrong_requests_are_refused(published: tuple[GitHub, str], place: str, body: dict[str, Any]) -> None:
    """What the description does not allow never arrives: or all the other tests here would say nothing."""
    memory, url = published
    asked = len(memory.asked)
    assert status(urllib.request.Request(url + place, json.dumps(body).encode(), JSON)) == 422
    assert len(memory.asked) == asked


def test_wrong_answers_are_refused(published: tuple[GitHub, str]) -> None:
    """The memory cannot make up what GitHub would not answer."""
    memory, url = published
    whole, memory.examples = memory.examples, {}
    assert status(urllib.request.Request(url + WRONG, b'{"ref": "main"}', JSON)) == 500
    memory.examples = whole


def status(request: urllib.request.Request) -> int:
    """The status of the refusal."""
    with pytest.raises(HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    return refused.value.code


def test_a_deploy_is_in_progress_and_then_a_success(github: GitHub, subject: Subject) -> None:
    """With its environment, its address and its log; nothing is merged, and no status of the commit is waited for."""
    record = DeploymentRecord(subject)
    record.begin()
    assert record.end(Outcome.SUCCESS, "https://example.org/", "20261122T190300Z-7f247f9 is live") == ""
    made = github.asked[0]
    assert (made.method, made.path) == ("POST", PLACE)
    assert made.body == {
        "ref": COMMIT,
        "task": "deploy",
        "auto_merge": False,
        "required_contexts": [],
        "environment": "production",
        "description": "static site example",
    }
    number = github.deployments[0]["id"]
    assert github.states(number) == ["in_progress", "success"]
    ended = github.statuses[number][0]
    assert (ended["environment_url"], ended["target_url"]) == ("https://example.org/", RUN)
    assert ended["description"] == "20261122T190300Z-7f247f9 is live"
    assert ended["auto_inactive"] is False
    assert {asked.headers["authorization"] for asked in github.asked} == {"token ghs_0123456789"}


@pytest.mark.parametrize(("outcome", "state"), [(Outcome.FAILURE, "failure"), (Outcome.INTERRUPTED, "error")])
def test_a_deploy_that_did_not_hold_replaces_nothing(
    github: GitHub, subject: Subject, outcome: Outcome, state: str
) -> None:
    """What was live before stays active."""
    old = github.add("production", "in_progress", "success")
    record = DeploymentRecord(subject)
    record.begin()
    wait_for_state(github, 3)
    assert record.end(outcome, "", "the health gate failed") == ""
    assert github.states(old) == ["in_progress", "success"]
    assert github.states(github.deployments[0]["id"]) == ["in_progress", state]


def test_what_is_replaced_becomes_inactive(github: GitHub, subject: Subject) -> None:
    """In production too, where the API does not do it by itself; other environments, apps and failures are left alone."""
    replaced = github.add("production", "in_progress", "success")
    untouched = [
        github.add("production", "in_progress", "failure"),
        github.add("production", "success", "inactive"),
        github.add("production"),
        github.add("staging", "success"),
        github.add("production", "success", task="deploy:blog"),
    ]
    before = [github.states(number) for number in untouched]
    assert DeploymentRecord(subject).end(Outcome.SUCCESS, "https://example.org/") == ""
    assert github.states(replaced) == ["in_progress", "success", "inactive"]
    assert [github.states(number) for number in untouched] == before


def test_a_younger_deployment_is_not_replaced(github: GitHub, subject: Subject) -> None:
    """Of two deploys that end at the same time, one stays active."""
    record = DeploymentRecord(subject)
    record.begin()
    wait_for_state(github, 1)
    younger = github.add("production", "success")
    assert record.end(Outcome.SUCCESS) == ""
    assert github.states(younger) == ["success"]


def test_long_descriptions_are_cut(github: GitHub, subject: Subject) -> None:
    """GitHub takes 140 characters, and refuses the whole status otherwise."""
    assert DeploymentRecord(subject).end(Outcome.FAILURE, description="é" * 200) == ""
    said = github.statuses[github.deployments[0]["id"]][0]["description"]
    assert (len(said), said[-1]) == (140, "…")


def test_only_a_few_earlier_deployments_are_looked_at(github: GitHub, subject: Subject) -> None:
    """A repository may have thousands of them."""
    for _ in range(30):
        github.add("production", "failure")
    assert DeploymentRecord(subject).end(Outcome.SUCCESS) == ""
    assert len(github.asked) < 20


def wait_for_state(github: GitHub, statuses: int) -> None:
    """Until GitHub has that many statuses in all. Raises AssertionError."""
    until(lambda: sum(map(len, github.statuses.values())) >= statuses)
