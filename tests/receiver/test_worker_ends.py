"""How jobs and workers end: by themselves, late, interrupted, or killed; and what a job's process can see."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.store import Status
from tests.receiver.worker_parts import WorkerProcess, World, wait_for

_SLOW = "echo begun >&2; sleep {seconds} & sleep {seconds}; mkdir -p public; cp version public/index.html"


def slow(folder: Path, seconds: float = 600, *, top: str = "", app: str = "") -> World:
    """A world whose build takes long, and has children."""
    world = World(folder, build=_SLOW.format(seconds=seconds), top=top, app=app)
    world.origin.commit({"version": "one"})
    return world


def sleepers(folder: Path) -> Iterator[int]:
    """Processes of builds below ``folder`` that are still there."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(folder):
                yield int(entry.name)
        except OSError:
            continue


def job_of(process: int, worker: WorkerProcess) -> int:
    """The worker's own child (it may have others, which look at branches) that this process of a build comes from."""
    while process not in worker.children():
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return process


def all_gone(folder: Path) -> None:
    """Wait until the builds' processes are: much sooner than they would end by themselves."""
    wait_for(lambda: not list(sleepers(folder / "state" / "workspaces")), "the end of the build's processes")


def begun(world: World, number: int) -> None:
    """Wait until the build says something."""
    wait_for(lambda: "output  begun" in world.log(number), "the build's first line")


def test_a_job_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """After its time-out a job has failed, nothing of its build is left, and the next one may run."""
    world = slow(tmp_path, app="timeout = 2")
    with WorkerProcess(world):
        job = world.over(world.ask())
        assert job.status is Status.FAILED and "took longer than 2 s" in job.error
        all_gone(tmp_path)
        assert world.head() is not None and world.head().status is Status.FAILED  # type: ignore[union-attr]


def test_a_build_that_fails_is_told_and_not_tried_again(tmp_path: Path) -> None:
    """A failed build is a failed job with its last lines; the head is marked, what was live stays."""
    world = World(tmp_path, build="echo no such thing; exit 3")
    commit = world.origin.commit({"version": "one"})
    with WorkerProcess(world):
        job = world.over(world.ask())
    assert (job.status, job.exit_code, job.attempt, job.commit) == (Status.FAILED, 1, 1, commit)
    assert "no such thing" in job.error
    assert "output  no such thing" in world.log(job.id) and "end  failed" in world.log(job.id)


def test_a_worker_that_stops_lets_its_jobs_end(tmp_path: Path) -> None:
    """On SIGTERM a running deploy ends by itself, nothing new begins, and the worker leaves with 0."""
    world = slow(tmp_path, 2)
    with WorkerProcess(world) as worker:
        first = world.ask()
        begun(world, first)
        os.kill(worker.pid, signal.SIGTERM)
        second = world.ask("refs/heads/other")
        assert worker.stop() == 0
    assert world.job(first).status is Status.SUCCEEDED
    assert world.job(second).status is Status.WAITING


def test_a_worker_whose_time_is_over_interrupts_its_jobs(tmp_path: Path) -> None:
    """A deploy that goes on for longer than ``stop_timeout`` is interrupted, and the next worker does it again."""
    world = slow(tmp_path, top="stop_timeout = 1")
    with WorkerProcess(world) as worker:
        number = world.ask()
        begun(world, number)
        assert worker.stop() == 0
    assert world.job(number).status is Status.WAITING
    all_gone(tmp_path)
    world.origin.commit({"version": "two"})
    world.build = "mkdir -p public; cp version public/index.html"
    world.configure()
    with WorkerProcess(world):
        job = world.succeeded(number)
    assert (job.attempt, world.served) == (2, "two")


@pytest.mark.parametrize("victim", ["worker", "child", "both"])
def test_nothing_is_lost_when_processes_are_killed(tmp_path: Path, victim: str) -> None:
    """SIGKILL of the worker or of a job's process: the build goes too, and the job runs again without anybody's help."""
    world = slow(tmp_path)
    worker = WorkerProcess(world).__enter__()
    try:
        number = world.ask()
        begun(world, number)
        world.build = "mkdir -p public; cp version public/index.html"
        world.configure()
        child = job_of(next(sleepers(tmp_path / "state" / "workspaces")), worker)
        if victim != "child":
            os.kill(worker.pid, signal.SIGKILL)
        if victim != "worker":
            os.kill(child, signal.SIGKILL)
        if victim != "child":
            worker.kill()
            worker = WorkerProcess(world).__enter__()
        job = world.succeeded(number)
        assert (job.attempt, world.served) == (2, "one")
        all_gone(tmp_path)
    finally:
        worker.stop()


def test_a_build_sees_no_secret(tmp_path: Path) -> None:
    """A build gets what every program needs and the app's variables; the receiver's own are nowhere to be read."""
    variables = 'variables = { COLOUR = "blue", PASSWORD = { env = "GIVEN" } }'
    build = "mkdir -p public; env >public/index.html; echo the password is $PASSWORD; ls -l /proc/self/fd >public/fds"
    environment = {"RECEIVER_SECRET": "never-to-be-seen", "GIVEN": "swordfish", "LC_ALL": "C.UTF-8"}
    world = World(tmp_path, build=build, app=variables, environment=environment)
    world.origin.commit({"version": "one"})
    with WorkerProcess(world):
        job = world.succeeded(world.ask())
    seen = dict(line.partition("=")[::2] for line in world.served.splitlines() if "=" in line)
    assert "never-to-be-seen" not in world.served and "GIVEN" not in seen
    assert (seen["COLOUR"], seen["PASSWORD"], seen["LC_ALL"]) == ("blue", "swordfish", "C.UTF-8")
    assert seen["GITHUB_SHA"] == job.commit and seen["GITHUB_REF"] == "refs/heads/main"
    known = {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER", "LOGNAME", "PWD", "OLDPWD", "SHLVL", "_", "RECEIVER_JOB"}
    assert {name for name in seen if not name.startswith(("LC_", "GITHUB_", "SSL_CERT_", "DOCKER"))} <= known | {
        "COLOUR",
        "PASSWORD",
        "SSH_AUTH_SOCK",
    }
    assert "swordfish" not in world.log(job.id) + job.result and "the password is ***" in world.log(job.id)
    numbers = {line.split()[8] for line in (tmp_path / "www/blog/fds").read_text().splitlines() if "->" in line}
    assert numbers <= {"0", "1", "2", "3"}  # 3: the folder that ls reads


def test_other_users_processes_cannot_read_the_workers_environment(tmp_path: Path) -> None:
    """What a build of the same user could find in /proc, the worker's own first environment, belongs to root alone."""
    world = World(tmp_path)
    with WorkerProcess(world) as worker:
        place = Path(f"/proc/{worker.pid}/environ")
        assert place.stat().st_uid == 0
        if os.getuid() == 0:
            reading = ("setpriv", "--reuid=65534", "--clear-groups", "cat", str(place))
            assert subprocess.run(reading, capture_output=True, check=False).returncode != 0


def test_a_locked_database_costs_only_time(tmp_path: Path) -> None:
    """Another process that holds the database for longer than a transaction waits ends neither worker nor job."""
    world = slow(tmp_path, 2)
    with WorkerProcess(world) as worker:
        number = world.ask()
        begun(world, number)
        other = sqlite3.connect(tmp_path / "state" / "receiver.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(18)
        assert worker.process is not None and worker.process.poll() is None
        other.execute("ROLLBACK")
        other.close()
        world.succeeded(number)
    assert "database is locked" in worker.log


def test_a_new_configuration_is_taken_on_sighup(tmp_path: Path) -> None:
    """SIGHUP takes a new app; a configuration that is wrong leaves the old one in use."""
    world = World(tmp_path)
    world.origin.commit({"version": "one"})
    with WorkerProcess(world) as worker:
        good = world.file.read_text()
        world.file.write_text("nonsense")
        os.kill(worker.pid, signal.SIGHUP)
        wait_for(lambda: "was not reloaded" in worker.log, "the refusal")
        world.succeeded(world.ask())
        world.file.write_text(good.replace("[apps.blog]", "[apps.other]"))
        os.kill(worker.pid, signal.SIGHUP)
        wait_for(lambda: "the configuration was reloaded" in worker.log, "the reload")
        assert world.over(world.ask(app="other", forced=True)).status is Status.UNCHANGED
