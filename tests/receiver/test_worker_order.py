"""What is deployed is what the ref points at, however often, and in whatever order, GitHub tells of it."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest

from receiver.store import Status
from tests.end_to_end.repository import git
from tests.receiver.worker_parts import MAIN, WorkerProcess, World


@pytest.mark.parametrize("order", list(itertools.permutations("ABC")), ids="".join)
def test_the_newest_commit_is_deployed_in_any_order(tmp_path: Path, order: tuple[str, ...]) -> None:
    """Three pushes whose deliveries arrive in any order end with the third one live."""
    world = World(tmp_path)
    commits = {name: world.origin.commit({"version": name}) for name in "ABC"}
    with WorkerProcess(world):
        for name in order:
            world.ask(hint=commits[name])
        world.quiet()
    assert world.served == "C"
    live = world.live()
    assert live is not None and live.commit == commits["C"]


def test_a_hundred_equal_deliveries_are_one_deploy(tmp_path: Path) -> None:
    """Requests that come at once for one commit deploy it once."""
    world = World(tmp_path, build="mkdir -p public && cp version public/index.html && echo built >>../../../builds")
    world.origin.commit({"version": "one"})
    with WorkerProcess(world):
        threads = [threading.Thread(target=world.ask) for _ in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        world.quiet()
    assert (tmp_path / "builds").read_text().splitlines() == ["built"]
    assert [job.status for job in world.all_jobs()].count(Status.SUCCEEDED) == 1
    assert world.served == "one"


def test_a_force_push_goes_back(tmp_path: Path) -> None:
    """A branch that was forced back to an older commit is deployed as it is now, whatever the delivery said."""
    world = World(tmp_path)
    first = world.origin.commit({"version": "one"})
    second = world.origin.commit({"version": "two"})
    with WorkerProcess(world):
        world.succeeded(world.ask(hint=second))
        world.origin.push(first)
        job = world.succeeded(world.ask(hint=second))
    assert (world.served, job.commit) == ("one", first)


def test_an_older_tag_does_not_replace_a_newer_branch(tmp_path: Path) -> None:
    """A tag (an annotated one, by its commit) that is in the live commit's history is superseded."""
    world = World(tmp_path)
    first = world.origin.commit({"version": "one"})
    world.origin.commit({"version": "two"})
    git(world.origin.work, "tag", "--annotate", "--message", "release", "v1", first)
    world.origin.push("v1", "refs/tags/v1")
    with WorkerProcess(world):
        world.succeeded(world.ask())
        job = world.over(world.ask("refs/tags/v1"))
    assert (job.status, job.commit, world.served) == (Status.SUPERSEDED, first, "two")


def test_a_ref_that_is_gone_is_superseded(tmp_path: Path) -> None:
    """A branch that was deleted before its job began is nobody's failure."""
    world = World(tmp_path)
    world.origin.commit({"version": "one"})
    with WorkerProcess(world):
        job = world.over(world.ask("refs/heads/gone"))
    assert job.status is Status.SUPERSEDED
    assert job.error == "refs/heads/gone is not in octo/blog any more"


@pytest.mark.parametrize(
    "name", ["$(touch${IFS}hacked)", "-u", "--upload-pack=touch${IFS}hacked", ";reboot", "a'b\"c", "`id`", "ü", "x.y"]
)
def test_names_of_branches_are_nothing_but_names(tmp_path: Path, name: str) -> None:
    """A branch whose name is shell text or an option is deployed, and nothing of it is carried out."""
    world = World(tmp_path)
    ref = f"refs/heads/{name}"
    commit = world.origin.commit({"version": "one"}, ref)
    with WorkerProcess(world):
        job = world.succeeded(world.ask(ref))
    assert (job.commit, world.served) == (commit, "one")
    assert ref != MAIN and not list(tmp_path.rglob("hacked"))
