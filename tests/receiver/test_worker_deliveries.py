"""From GitHub's signed deliveries to visitors, through ``receiver run``: order, repetition, and a web that dies."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.store import Job, Status
from tests.receiver.program import Receiver, free_port, push
from tests.receiver.worker_parts import World, wait_for

_BUILD = """set -e
echo $GITHUB_SHA >>../../../builds
while test -e ../../../wait; do sleep 0.05; done
mkdir -p public
cp version public/index.html"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One app for all tests here."""
    found = World(tmp_path_factory.mktemp("receiver"), build=_BUILD, top=f'bind = "127.0.0.1:{free_port()}"')
    yield found
    found.database.close()


@pytest.fixture(scope="module")
def receiver(world: World) -> Iterator[Receiver]:
    """Both programs of a receiver."""
    port = int(world.file.read_text().partition("127.0.0.1:")[2].partition('"')[0])
    with Receiver(world.folder, "run", port=port) as server:
        yield server


def builds(world: World) -> list[str]:
    """The commits that were built, one entry for each build."""
    file = world.folder / "builds"
    return file.read_text().split() if file.exists() else []


def deploys(world: World, commit: str) -> list[Job]:
    """The jobs that have put that commit live."""
    return [job for job in world.all_jobs() if job.commit == commit and job.status is Status.SUCCEEDED]


def test_a_hundred_identical_deliveries_at_once_are_one_deploy(world: World, receiver: Receiver) -> None:
    """All are answered with 202, and the commit is built and put live exactly once."""
    commit = world.origin.commit({"version": "one"})
    answers: Counter[tuple[int, str]] = Counter()

    def send() -> None:
        answer = receiver.deliver(push(after=commit), guid="identical")
        answers[answer.status, answer.json["apps"][0]["verdict"]] += 1

    senders = [threading.Thread(target=send) for _ in range(100)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    world.quiet()
    assert answers == {(202, "queued"): 1, (202, "repeated"): 99}
    assert builds(world).count(commit) == len(deploys(world, commit)) == 1
    assert world.served == "one"


@pytest.mark.parametrize("order", list(itertools.permutations("ABC")), ids="".join)
def test_the_newest_commit_is_live_in_any_order(world: World, receiver: Receiver, order: tuple[str, ...]) -> None:
    """Three pushes whose deliveries arrive in any order end with the third one live, built once."""
    commits = {name: world.origin.commit({"version": f"{name} of {''.join(order)}"}) for name in "ABC"}
    for name in order:
        assert receiver.deliver(push(after=commits[name])).status == 202
    world.quiet()
    live = world.live()
    assert live is not None and (world.served, live.commit) == (f"C of {''.join(order)}", commits["C"])
    assert builds(world).count(commits["C"]) == len(deploys(world, commits["C"])) == 1


@pytest.mark.parametrize("order", ["ABC", "CAB"], ids="".join)
def test_pushes_while_a_deploy_runs_end_with_the_newest(world: World, receiver: Receiver, order: str) -> None:
    """The same while an older commit is still being built: that one ends first, then the newest is deployed."""
    (world.folder / "wait").touch()
    running = world.origin.commit({"version": "running"})
    assert receiver.deliver(push(after=running)).status == 202
    wait_for(lambda: running in builds(world), "the build")
    commits = {name: world.origin.commit({"version": f"{name} after {order}"}) for name in "ABC"}
    for name in order:
        assert receiver.deliver(push(after=commits[name])).status == 202
    (world.folder / "wait").unlink()
    world.quiet()
    assert world.served == f"C after {order}"
    built = builds(world)
    assert [built.count(commits[name]) for name in "ABC"] == [0, 0, 1] and built.count(running) == 1


def test_a_web_that_is_killed_is_nothing_to_a_job(world: World, receiver: Receiver) -> None:
    """The web starts again by itself, with all that it has answered; the deploy goes on meanwhile."""
    (world.folder / "wait").touch()
    commit = world.origin.commit({"version": "while the web dies"})
    number = receiver.deliver(push(after=commit)).json["apps"][0]["job"]
    wait_for(lambda: commit in builds(world), "the build")
    other = receiver.deliver(push(after=commit, ref="refs/heads/other")).json["apps"][0]["job"]
    assert receiver.process is not None
    for process in web_processes(receiver.process.pid):
        os.kill(process, signal.SIGKILL)
    wait_for(lambda: not receiver.answers() or "starts again" in receiver.log, "the web's end")
    (world.folder / "wait").unlink()
    job = world.succeeded(number)
    wait_for(receiver.answers, "the web's return")
    assert (job.attempt, world.served) == (1, "while the web dies")
    assert world.over(other).error == "refs/heads/other is not in octo/blog any more"


def web_processes(parent: int) -> list[int]:
    """gunicorn and its workers below the process of ``receiver run``."""
    found = []
    for child in map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()):
        if b"\0serve\0" in Path(f"/proc/{child}/cmdline").read_bytes():
            below = Path(f"/proc/{child}/task/{child}/children").read_text().split()
            found += [child, *map(int, below)]
    assert found
    return found
