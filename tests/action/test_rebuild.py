"""A service that is built on its server: the example's blog, rolled by the real action.yml, with Docker and Traefik."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.action.example import Example, example_on
from tests.action.workspace import SECONDS, Workspace, cancel, revealed, secrets
from tests.contract.visitors import Visitors
from tests.end_to_end.site import wait_until
from tests.engine import Engine
from tests.github import GitHub

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TOKEN = "ghs_0123456789abcdefghij"


@pytest.fixture(scope="module")
def server(started_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    """One server for all; each test leaves it in the steady state."""
    with example_on(started_engine, tmp_path_factory.mktemp("example")) as example:
        yield example


@pytest.fixture
def example(server: Example, workspace: Workspace) -> Example:
    server.configure(workspace)
    return server


def test_a_service_is_rolled(example: Example, workspace: Workspace) -> None:
    """Outputs, log, summary and GitHub's record say what went live; no visitor notices, and no secret is shown."""
    old, commit = example.image, example.publish(f"Write the token {TOKEN}", second="A second post.")
    workspace.git("remote", "add", "origin", "https://github.com/octocat/example.git")
    with GitHub() as github, Visitors(example.url) as asking:
        workspace.runner = {"GITHUB_API_URL": github.url}
        ran = workspace.run(example.inputs(**{"github-token": TOKEN}), secrets=secrets(example.stage.sshd)).succeeded()
    assert asking.failures == []
    assert asking.answers
    assert (ran.outputs["status"], ran.outputs["commit"], ran.outputs["url"]) == ("deployed", commit, example.url)
    assert ran.outputs["release"].endswith(commit[:7])
    assert ran.outputs["previous-release"] != ran.outputs["release"]
    assert (ran.outputs["files-uploaded"], ran.outputs["dropped-requests"]) == ("0", "0")
    assert json.loads(ran.outputs["json"])["probe"]["requests"] > 0
    assert "A second post." in example.stage.read("blog/second")
    example.steady(commit[:7])
    assert example.image != old
    for told in ("### ✅ blog is live in ", ", no request dropped\n", f"{commit[:7]} Write", "grey: the switch"):
        assert told in ran.summary
    assert f"image of blog: {old} → {example.image} (main:latest)" in ran.summary
    # The author's own commit says it: the runner knows that it is none of the log's business.
    assert f"{commit[:7]} Write the token ***" in ran.log
    assert TOKEN not in ran.log
    assert not [line for line in secrets(example.stage.sshd)["SERVER_KEY"].splitlines()[1:-1] if line in ran.log]
    (deployment,) = github.deployments
    assert (deployment["task"], deployment["environment"]) == ("deploy:blog", "production")
    assert github.states(deployment["id"]) == ["in_progress", "success"]
    assert github.statuses[deployment["id"]][0]["environment_url"] == example.url


def test_a_version_that_fails_its_gate_is_rolled_back(example: Example, workspace: Workspace) -> None:
    """Exit code 5 of the step; the old container serves as before, and the summary says so."""
    before, commit = example.containers(), example.publish("Be out of tune")
    workspace.environment["DEPLOYER_HEALTH_CONTAINS"] = "in tune"
    with Visitors(example.url) as asking:
        ran = workspace.run(example.inputs(), secrets=secrets(example.stage.sshd))
    ran.failed("failed its health gate", "in tune", "exit status 5")
    assert asking.failures == []
    assert commit[:7] in "".join(asking.answers)
    assert (ran.outputs["status"], ran.outputs["commit"]) == ("rolled_back", commit)
    for told in (
        "### ↩️ blog was rolled back",
        "in tune",
        f"{commit[:7]} Be out of tune",
        "the switch and the way back",
    ):
        assert told in ran.summary
    example.undo()
    example.steady("version")
    assert example.containers() == before


def test_a_job_that_is_cancelled_in_the_roll(example: Example, workspace: Workspace) -> None:
    """Each step is over soon: before the gate the old version stays, after it the new; the next run is well."""
    before, commit = example.containers(), example.publish("Be cancelled")
    inputs = revealed(example.inputs(), example.stage.sshd)

    def cancelled_when(stage: str, **variables: str) -> int:
        with workspace.shell(inputs, **variables) as process:
            assert wait_until(
                lambda: (
                    process.poll() is not None or (example.stage_of_roll == stage and len(example.containers()) > 1)
                ),
                SECONDS,
            )
            seconds, said = cancel(process)
        assert seconds < 12, said  # five, where nothing else runs; less than what each would have to wait for
        assert ("::error" in said) == (process.returncode != 0), said
        return process.returncode

    with Visitors(example.url) as asking:
        assert cancelled_when("begun", DEPLOYER_SETTLE="60") == 130
        assert wait_until(example.is_unlocked, 40)
        assert example.containers() == before
        # The next run goes all the way; what it has left to do when it is cancelled, the server does.
        assert cancelled_when("retiring", DEPLOYER_DRAIN="15") == 0
        assert wait_until(example.is_unlocked, 60)
        assert example.deploy()["status"] == "unchanged"
    assert asking.failures == []
    example.steady(commit[:7])
