"""SIGKILL exactly between every two steps of a job: of the worker, of the job's process, of both, and of the web.

Each place has one victim, in turn; with ``DEPLOYER_EVERY_VICTIM=1`` it has all of them.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.store import Status
from tests.receiver.program import Receiver, free_port
from tests.receiver.stepping import PLACES, STEPS
from tests.receiver.worker_parts import WorkerProcess, World, wait_for

VICTIMS = ("worker", "child", "both")
IN_WORKER = frozenset({"claimed", "settle", "settled"})
"""Where the job's process is not there yet, or not any more."""
# Without pushes, so that no catch-up of a new worker asks for the same.
_APP = 'events = ["release"]'
_RELEASE = {
    "action": "published",
    "release": {"tag_name": "v1", "draft": False},
    "repository": {"full_name": "octo/blog"},
}
_BUILD = """exec 9>>../../../building
flock --nonblock 9 || echo two builds at once >>../../../wrong
mkdir -p public
cp version public/index.html"""


def chosen() -> Iterator[tuple[str, str]]:
    """Places with their victims."""
    for number, place in enumerate(PLACES):
        if place in IN_WORKER:
            yield place, "worker"
        elif os.environ.get("DEPLOYER_EVERY_VICTIM"):
            yield from ((place, victim) for victim in (*VICTIMS, "web"))
        else:
            yield place, VICTIMS[number % len(VICTIMS)]
    if not os.environ.get("DEPLOYER_EVERY_VICTIM"):
        yield "step switch", "web"


class Stepping(WorkerProcess):
    """A worker that stops where it is told to."""

    def __init__(self, world: World) -> None:
        super().__init__(world, program="tests.receiver.stepping")
        self.variables = {"STEPPING": str(world.folder)}

    def arm(self, place: str) -> None:
        """Let the next job stop there."""
        (self.world.folder / "stopped").unlink(missing_ok=True)
        draft = self.world.folder / "armed.new"
        draft.write_text(place)
        draft.rename(self.world.folder / "armed")

    def stopped(self) -> int:
        """The process that has stopped there."""
        mark = self.world.folder / "stopped"
        wait_for(mark.exists, "the place")
        process = int(mark.read_text())
        wait_for(lambda: ") T " in Path(f"/proc/{process}/stat").read_text(), "its stop")
        return process


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One app whose versions are the places."""
    port = free_port()
    found = World(tmp_path_factory.mktemp("world"), build=_BUILD, top=f'bind = "127.0.0.1:{port}"', app=_APP)
    yield found
    found.database.close()


@pytest.fixture(scope="module")
def worker(world: World) -> Iterator[Stepping]:
    """One worker, started again by who kills it."""
    with Stepping(world) as found:
        yield found


@pytest.mark.parametrize(("place", "victim"), [pytest.param(*each, id="-".join(each)) for each in chosen()])
def test_a_kill_between_two_steps_loses_nothing(world: World, worker: Stepping, place: str, victim: str) -> None:
    """What was pushed goes live by itself, is settled once, and was never built twice at the same time."""
    commit = world.origin.commit({"version": f"{place} {victim}"})
    with contextlib.ExitStack() as ends:
        web = ends.enter_context(web_of(world)) if victim == "web" else None
        worker.arm(place)
        number = world.ask(hint=commit)
        process = worker.stopped()
        if web is not None:
            assert web.deliver(_RELEASE, "release").status == 202
            web.kill()
            os.kill(process, signal.SIGCONT)
            web.start()
            assert web.get("/health").status == 200
        if victim in {"worker", "both"}:
            worker.kill()
        if victim in {"child", "both"}:
            os.kill(process, signal.SIGKILL)
        if victim == "worker" and place not in IN_WORKER:
            # The signal that it gets at its worker's death; it has not taken a step since.
            os.kill(process, signal.SIGCONT)
        if worker.process is None:
            worker.__enter__()
        job = world.over(number)
        world.quiet()
    assert job.status in {Status.SUCCEEDED, Status.UNCHANGED}, world.log(number)
    assert job.attempt == (1 if victim == "web" or place == "settled" else 2)
    live, head = world.live(), world.head()
    assert live is not None and (world.served, live.commit) == (f"{place} {victim}", commit)
    assert head is not None and (head.commit, head.job) == (commit, number)
    assert [line["kind"] for line in world.lines(number)].count("end") <= 1
    assert not (world.folder / "wrong").exists()


def web_of(world: World) -> Receiver:
    """The web beside the worker."""
    port = next(line for line in world.file.read_text().splitlines() if line.startswith("bind")).split(":")[1]
    return Receiver(world.folder, port=int(port.rstrip('"')))


def test_these_are_all_steps(tmp_path: Path) -> None:
    """A new step has to have its place here."""
    world = World(tmp_path)
    world.origin.commit({"version": "one"})
    with WorkerProcess(world):
        job = world.succeeded(world.ask())
    assert tuple(line["name"] for line in world.lines(job.id) if line["kind"] == "step") == STEPS
