"""Static apps: from a queued job to files that visitors get."""

from __future__ import annotations

import json
from pathlib import Path

from receiver.store import Status
from tests.receiver.worker_parts import WorkerProcess, World


def test_a_push_is_built_and_deployed(tmp_path: Path) -> None:
    """A job's commit is checked out, built and put live; log, result and what is live say so."""
    world = World(tmp_path)
    commit = world.origin.commit({"version": "one\n"})
    with WorkerProcess(world) as worker:
        job = world.succeeded(world.ask())
        assert worker.stop() == 0
    assert world.served == "one"
    assert (job.commit, job.exit_code, job.error) == (commit, 0, "")
    live = world.live()
    assert live is not None and (live.commit, live.ref, live.release) == (commit, "refs/heads/main", job.release)
    result = json.loads(job.result)
    assert result["status"] == "deployed" and result["commit"] == commit and result["files_uploaded"] == 1
    assert [change["path"] for change in result["changes"]] == ["index.html"]
    kinds = [line["kind"] for line in world.lines(job.id)]
    assert kinds[:2] == ["attempt", "step"] and kinds[-1] == "end"
    assert {"resolve", "checkout", "build", "scan"} <= {line.get("name") for line in world.lines(job.id)}


def test_the_same_commit_again_is_unchanged(tmp_path: Path) -> None:
    """A second job for what is live already deploys nothing."""
    world = World(tmp_path)
    world.origin.commit({"version": "one\n"})
    with WorkerProcess(world):
        first = world.succeeded(world.ask())
        second = world.over(world.ask())
    assert second.status is Status.UNCHANGED
    assert "checkout" not in world.log(second.id)
    live = world.live()
    assert live is not None and live.job == first.id
