"""GitHub is told of every deploy, and neither its silence nor its faults are anything to the deploy."""

from __future__ import annotations

import http.server
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from receiver.store import Job, Status
from tests.github import Asked, GitHub, answer
from tests.receiver.hub import TOKEN, Hub, Storage
from tests.receiver.worker_parts import WorkerProcess, World, wait_for

_BUILD = """set -e
test "$(cat version)" != broken || { echo it is broken; exit 3; }
while test -e ../../../wait; do sleep 0.05; done
mkdir -p public
cp version public/index.html"""


@dataclass(frozen=True, slots=True)
class Stage:
    """A worker with its world, and what its GitHub remembers."""

    world: World
    worker: WorkerProcess
    hub: Hub
    records: GitHub

    def states(self, commit: str) -> list[str]:
        """The states that the commit got, oldest first."""
        return [status["state"] for status in reversed(self.hub.statuses) if status["sha"] == commit]

    def told(self, commit: str, *states: str) -> None:
        """Wait until GitHub knows these."""
        wait_for(lambda: self.states(commit) == list(states), f"{states}, not {self.states(commit)}")

    def recorded(self, commit: str) -> list[list[str]]:
        """The states of each of the commit's Deployments, oldest first."""
        found = [each["id"] for each in reversed(self.records.deployments) if each["ref"] == commit]
        return [self.records.states(number) for number in found]

    def deployed(self, version: str) -> tuple[str, Job]:
        """Push a version. Returns its commit and its job, which is over."""
        commit = self.world.origin.commit({"version": version})
        return commit, self.world.over(self.world.ask())


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One worker for all tests here."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "token").write_text(TOKEN)
    with Storage() as storage, Hub(storage) as hub:
        records = GitHub(root=hub.url)
        github = f'[github]\napi_url = "{hub.url}"\ntoken = {{ file = "token" }}'
        world = World(folder, build=_BUILD, rest=github, top="stop_timeout = 1")
        with WorkerProcess(world) as worker:
            yield Stage(world, worker, hub, records)
        world.database.close()


@pytest.fixture(autouse=True)
def _good_github(stage: Stage) -> None:
    stage.hub.rule = stage.records.take


def test_a_deploy_is_told_from_its_beginning_to_its_end(stage: Stage) -> None:
    """The commit's status is pending and then success; a Deployment record says the same."""
    commit, job = stage.deployed("one")
    assert job.status is Status.SUCCEEDED
    stage.told(commit, "pending", "success")
    wait_for(lambda: stage.recorded(commit) == [["in_progress", "success"]], "the record")
    newest = stage.hub.statuses[0]
    assert newest["context"] == "deployer/blog" and newest["description"].startswith("deployed in ")
    assert {asked.headers["authorization"] for asked in stage.hub.asked} == {f"token {TOKEN}"}
    assert TOKEN not in stage.world.log(job.id) + stage.worker.log


def test_a_failure_is_told_with_its_reason(stage: Stage) -> None:
    """The commit's status is failure, with the first line of what went wrong."""
    commit, job = stage.deployed("broken")
    assert job.status is Status.FAILED
    stage.told(commit, "pending", "failure")
    wait_for(lambda: stage.recorded(commit) == [["in_progress", "failure"]], "the record")
    assert job.error.startswith(stage.hub.statuses[0]["description"][:-1])


def test_a_job_whose_process_was_killed_is_told_in_order(stage: Stage) -> None:
    """However slowly GitHub hears of the first attempt, what it knows in the end is how the second one has ended."""
    (stage.world.folder / "wait").touch()
    commit = stage.world.origin.commit({"version": "killed"})
    slow_once = iter([2.0])

    def slowly(asked: Asked, handler: http.server.BaseHTTPRequestHandler) -> bool:
        time.sleep(next(slow_once, 0))
        return stage.records.take(asked, handler)

    stage.hub.rule = slowly
    number = stage.world.ask()
    wait_for(lambda: "step build" in stage.world.log(number), "the build")
    for child in stage.worker.children():
        os.kill(child, signal.SIGKILL)
    (stage.world.folder / "wait").unlink()
    assert stage.world.succeeded(number).attempt == 2
    stage.told(commit, "pending", "error", "pending", "success")
    wait_for(lambda: stage.recorded(commit)[-1:] == [["in_progress", "success"]], "the record")


def test_a_github_that_fails_is_nothing_to_the_deploy(stage: Stage) -> None:
    """500 to everything: the commit goes live, and the log has warnings without the token."""
    stage.hub.rule = lambda _asked, handler: answer(handler, 500, {"message": "Server Error"})
    _, job = stage.deployed("while GitHub fails")
    assert (job.status, job.error, stage.world.served) == (Status.SUCCEEDED, "", "while GitHub fails")
    wait_for(lambda: "warning  GitHub: the status of" in stage.world.log(job.id), "the warning")
    assert TOKEN not in stage.world.log(job.id) + stage.worker.log


def test_a_github_that_is_silent_is_nothing_to_the_deploy(stage: Stage) -> None:
    """It takes every request and answers none: nobody waits for it, not even the worker's end."""
    silent, asked_it = threading.Event(), threading.Event()

    def wait(_asked: Asked, handler: http.server.BaseHTTPRequestHandler) -> bool:
        asked_it.set()
        silent.wait(110)
        handler.close_connection = True
        return True

    stage.hub.rule = wait
    try:
        _, job = stage.deployed("while GitHub is silent")
        assert (job.status, stage.world.served) == (Status.SUCCEEDED, "while GitHub is silent")
        assert asked_it.wait(60) and not silent.is_set()
        assert stage.worker.stop() == 0
    finally:
        silent.set()
