"""A machine in trouble: disks that are full, and a clock that jumps, while jobs run."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from receiver.store import Status
from tests.conftest import need
from tests.end_to_end.processes import is_idle
from tests.receiver.worker_parts import WorkerProcess, World, wait_for

_WAITING_BUILD = """set -e
echo built >>../../../builds
while test -e ../../../wait; do sleep 0.05; done
mkdir -p public
cp version public/index.html"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[Path, str], Path]]:
    """Puts a small file system into a folder."""
    need("root", "to mount a small file system", present=os.geteuid() == 0)
    with contextlib.ExitStack() as mounted:

        def mount(folder: Path, size: str) -> Path:
            folder.mkdir(mode=0o700)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", folder], check=True)
            mounted.callback(lambda: subprocess.run(["umount", "--lazy", folder], check=True))
            return folder

        yield mount


def fill(folder: Path) -> Path:
    """Leave no room in ``folder``. Returns the file to be removed."""
    with (folder / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while ballast.write(bytes(4096)):
            pass
    return folder / "ballast"


def test_a_log_without_room_costs_lines_and_nothing_else(
    tmp_path: Path, small_disk: Callable[[Path, str], Path]
) -> None:
    """The deploy succeeds on a full disk; where there is room again, the log goes on and says how much is missing."""
    world = World(tmp_path, build="seq -f 'before line %g' 1500\n" + _WAITING_BUILD)
    logs = small_disk(world.state / "logs", "128k")
    ballast = logs / "ballast"
    ballast.write_bytes(bytes(64 << 10))
    world.origin.commit({"version": "one"})
    (tmp_path / "wait").touch()
    with WorkerProcess(world) as worker:
        number = world.ask()
        wait_for(lambda: os.statvfs(logs).f_bavail == 0 and (tmp_path / "builds").exists(), "a full disk")
        # The other lines have nowhere to go.
        wait_for(lambda: all(is_idle(child) for child in worker.children()), "all that was printed to be taken in")
        time.sleep(1)
        ballast.unlink()
        (tmp_path / "wait").unlink()
        world.succeeded(number)
        wait_for(lambda: world.log(number).endswith("end  succeeded"), "the log's end")
        told = world.log(number).splitlines()
        (gap,) = (line for line in told if line.startswith("warning"))
        kept = sum(line.startswith("output  before line") for line in told)
        assert 100 < kept < 1500
        assert gap == f"warning  {1500 - kept} lines are missing here: there was no room for them"
        fill(logs)
        world.origin.commit({"version": "two"})
        second = world.succeeded(world.ask())
        assert (world.served, second.error) == ("two", "")
        assert worker.process is not None and worker.process.poll() is None


def test_a_database_without_room_gets_the_end_later(tmp_path: Path, small_disk: Callable[[Path, str], Path]) -> None:
    """A job that ends while the database's disk is full is live at once, and settled once when there is room."""
    disk = small_disk(tmp_path / "disk", "1m")
    world = World(tmp_path, build=_WAITING_BUILD, database_url=f"sqlite:///{disk}/receiver.db")
    world.origin.commit({"version": "one"})
    (tmp_path / "wait").touch()
    with WorkerProcess(world) as worker:
        number = world.ask()
        wait_for((tmp_path / "builds").exists, "the build")
        world.database.close()
        with contextlib.closing(sqlite3.connect(disk / "receiver.db", timeout=30)) as connection:
            # What was written before would be overwritten, which needs no room.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ballast = fill(disk)
        (tmp_path / "wait").unlink()
        wait_for(lambda: world.served == "one" and worker.log.count("is full; trying again") >= 2, "the trouble")
        assert world.job(number).status is Status.RUNNING
        ballast.unlink()
        job = world.succeeded(number)
        assert worker.stop() == 0
    assert (job.attempt, job.exit_code) == (1, 0)
    assert (tmp_path / "builds").read_text().split() == ["built"]
    live = world.live()
    assert live is not None and live.release == job.release


def test_the_logs_of_many_jobs_leave_nothing_open(tmp_path: Path) -> None:
    """A worker has the same number of files open after ten jobs as before."""
    world = World(tmp_path)
    world.origin.commit({"version": "one"})
    with WorkerProcess(world) as worker:
        world.succeeded(world.ask())
        world.quiet()
        before = len(os.listdir(f"/proc/{worker.pid}/fd"))  # noqa: PTH208  # numbers
        for _ in range(10):
            world.over(world.ask())
        assert len(os.listdir(f"/proc/{worker.pid}/fd")) <= before + 2  # noqa: PTH208


def jump(world: World, days: int) -> None:
    """Let the worker's clock go so many days ahead of the machine's."""
    draft = world.folder / "clock.new"
    draft.write_text(f"{days * 86_400}")
    draft.rename(world.folder / "clock")


def jumping_worker(world: World) -> WorkerProcess:
    """A worker whose clock :func:`jump` sets."""
    worker = WorkerProcess(world, program="tests.receiver.jumping")
    worker.variables = {"JUMPING_CLOCK": str(world.folder / "clock")}
    return worker


def lease(world: World, number: int) -> float:
    """Until when the job's worker has it, in seconds from now by the machine's own clock."""
    return world.job(number).lease_until - time.time()


@pytest.mark.slow
def test_a_clock_that_jumps_runs_nothing_twice_and_forgets_nothing(tmp_path: Path) -> None:
    """A year ahead and a year back during a running job: it goes on, what waits gets its turn, the history stays."""
    late = (
        '[apps.late]\nrepository = "octo/late"\nconfig = "late.toml"\nsecrets = [{ file = "secret" }]\n'
        f'clone_url = "file://{tmp_path}/late.git"'
    )
    world = World(tmp_path, build=_WAITING_BUILD, rest=late)
    jump(world, 0)
    site = (tmp_path / "blog.toml").read_text()
    (tmp_path / "late.toml").write_text(site.replace('app = "blog"', 'app = "late"').replace("/www/blog", "/www/late"))
    world.origin.commit({"version": "one"})
    year = 365
    with jumping_worker(world) as worker:
        first = world.succeeded(world.ask()).id
        (tmp_path / "wait").touch()
        world.origin.commit({"version": "two"})
        running = world.ask()
        wait_for(lambda: "step build" in world.log(running), "the build")
        jump(world, year)
        wait_for(lambda: lease(world, running) > 300 * 86_400, "the jump ahead")
        put_off = world.ask(app="late")
        wait_for(lambda: "tries again" in world.log(put_off), "an attempt in the future")
        jump(world, -year)
        wait_for(lambda: lease(world, running) < -300 * 86_400, "the jump back")
        waiting = world.ask("refs/heads/other")
        world.origin.push("HEAD", "refs/heads/other")
        (world.origin.bare).rename(tmp_path / "late.git")
        (world.origin.bare).symlink_to(tmp_path / "late.git")
        jump(world, 0)
        (tmp_path / "wait").unlink()
        assert world.succeeded(running).attempt == 1
        assert world.over(waiting).status in {Status.SUCCEEDED, Status.UNCHANGED, Status.SUPERSEDED}
        world.succeeded(put_off)
        assert worker.stop() == 0
    for days in (year, -year):
        jump(world, days)
        with jumping_worker(world) as worker:
            assert world.over(world.ask(forced=True)).attempt == 1
            wait_for(lambda worker=worker: not worker.children(), "what a worker does at its start")  # type: ignore[misc]
            assert worker.stop() == 0
    assert len(world.all_jobs()) == 6
    assert all(world.lines(number) for number in range(first, 7))
    assert {job.attempt for job in world.all_jobs() if job.app == "blog"} <= {1}
