"""Several workers on one database: they share the queue, and one app never runs twice at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.store import Status, jobs
from tests.receiver.postgres import PostgreSQL
from tests.receiver.worker_parts import WorkerProcess, World, wait_for

_APPS = 4
_BUILD = """set -e
mkdir "{folder}/busy/$APP" || echo two of $APP at once >>"{folder}/wrong"
while test -e "{folder}/wait"; do sleep 0.05; done
mkdir -p public
cp version public/index.html
rmdir "{folder}/busy/$APP" """


def shared(folder: Path, url: str = "") -> World:
    """One repository that four apps deploy, each to its own place."""
    apps = [f"app{number}" for number in range(_APPS)]
    rest = "\n".join(
        f'[apps.{app}]\nrepository = "octo/{app}"\nconfig = "blog.toml"\nsecrets = [{{ file = "secret" }}]\n'
        f'clone_url = "file://{folder}/repository/origin.git"\n'
        f'variables = {{ APP = "{app}", DEPLOYER_APP = "{app}", DEPLOYER_TARGET = "{folder}/www/{app}" }}'
        for app in apps
    )
    world = World(folder, build=_BUILD.format(folder=folder), rest=rest, database_url=url, top="concurrency = 2")
    (folder / "busy").mkdir()
    return world


def work_together(world: World) -> None:
    """Two workers, and pushes while they work."""
    (world.folder / "wait").touch()
    with WorkerProcess(world, "first") as first, WorkerProcess(world, "second") as second:
        for number in range(3):
            world.origin.commit({"version": f"{number}"})
            for app in range(_APPS):
                world.ask(app=f"app{app}")
        # Each has room for two of the four.
        wait_for(lambda: len(owners(world)) == 2, "something to do for both")
        (world.folder / "wait").unlink()
        world.quiet()
        assert first.stop() == second.stop() == 0
    assert not (world.folder / "wrong").exists()
    served = [(world.folder / "www" / f"app{app}" / "index.html").read_text() for app in range(_APPS)]
    assert served == ["2"] * _APPS
    assert {job.status for job in world.all_jobs()} <= {Status.SUCCEEDED, Status.UNCHANGED}


def owners(world: World) -> set[str]:
    """The workers that have begun a job."""
    logs = "\n".join(world.log(job.id) for job in world.all_jobs())
    return {line.split(" by ")[1] for line in logs.splitlines() if line.startswith("attempt ")}


def test_two_workers_share_one_file(tmp_path: Path) -> None:
    """On SQLite, two workers on one machine never run one app twice at once."""
    work_together(shared(tmp_path))


@pytest.fixture
def on_server(tmp_path: Path, postgresql: PostgreSQL) -> Iterator[World]:
    """The same on PostgreSQL; its connections are given back, or the server would wait for them at its end."""
    postgresql.statement("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
    world = shared(tmp_path, postgresql.url)
    yield world
    world.database.close()


@pytest.mark.slow
def test_two_workers_share_one_server(on_server: World) -> None:
    """On PostgreSQL, too."""
    work_together(on_server)


@pytest.mark.slow
def test_another_machines_job_is_found_when_its_lease_is_over(on_server: World) -> None:
    """A worker whose lock nobody here can see is judged by its lease alone: its job runs again after half a minute."""
    on_server.origin.commit({"version": "one"})
    number = on_server.ask(app="app0")
    lost = jobs.claim(on_server.database, "elsewhere-1-abc", ["app0"])
    assert lost is not None and lost.id == number
    with WorkerProcess(on_server):
        wait_for(lambda: on_server.live("app0"), "the deploy", 100)
    live = on_server.live("app0")
    assert live is not None and live.since - lost.started_at >= jobs.LEASE_SECONDS
    assert not jobs.settle(on_server.database, lost, jobs.Settled(Status.FAILED)), "the fence is broken"
