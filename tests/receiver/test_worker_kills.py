"""SIGKILL of worker and job at any moment: nothing is lost, and what is live in the end is the newest commit.

``DEPLOYER_KILLS`` is the number of kills, 15 by default; ``DEPLOYER_KILLS_SEED`` repeats the choices of a run (the moments
differ all the same, as the machine's load does).
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import statistics
import time
from collections import Counter
from pathlib import Path

import pytest

from receiver.store import Job, Status
from tests.receiver.worker_parts import WorkerProcess, World

KILLS = int(os.environ.get("DEPLOYER_KILLS", "15"))
SEED = os.environ.get("DEPLOYER_KILLS_SEED") or secrets.token_hex(4)
DEPLOY_SECONDS = 0.6
"""About as long as one takes here; the moment of the kill is within it, and a little behind."""
_BUILD = """set -e
exec 9>>../../../building
flock --nonblock 9 || echo two builds at once >>../../../wrong
mkdir -p public
cp version public/index.html"""


def kill(worker: WorkerProcess, victim: str) -> WorkerProcess:
    """Kill, and start again what was killed."""
    children = worker.children()
    if victim != "worker":
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    if victim == "child":
        return worker
    worker.kill()
    return WorkerProcess(worker.world).__enter__()


def over(world: World, number: int) -> Job:
    """The job, or the one that has replaced it: a new worker's catch-up may have asked for the same while it was killed."""
    job = world.over(number)
    return over(world, int(job.error.rpartition("#")[2])) if job.error.startswith("replaced by #") else job


@pytest.mark.slow
@pytest.mark.timeout(600 + 10 * KILLS)
def test_kills_lose_nothing(tmp_path: Path) -> None:
    """After each kill the pushed commit goes live by itself, once, and no two builds of the app ever run at once."""
    chosen = random.Random(SEED)
    world = World(tmp_path, build=_BUILD)
    victims: Counter[str] = Counter()
    attempts: Counter[int] = Counter()
    seconds: dict[str, list[float]] = {}
    worker = WorkerProcess(world).__enter__()
    try:
        for number in range(KILLS):
            commit = world.origin.commit({"version": f"{number}"})
            job = world.ask(hint=commit)
            victim = chosen.choice(("worker", "child", "both"))
            time.sleep(chosen.uniform(0, DEPLOY_SECONDS))
            victims[victim] += 1
            began = time.monotonic()
            worker = kill(worker, victim)
            ended = over(world, job)
            seconds.setdefault(victim, []).append(time.monotonic() - began)
            attempts[ended.attempt] += 1
            assert ended.status in {Status.SUCCEEDED, Status.UNCHANGED}, f"{SEED}: {ended}\n{world.log(job)}"
            live = world.live()
            assert world.served == f"{number}" and live is not None and live.commit == commit, f"{SEED}: {ended}"
            assert not (tmp_path / "wrong").exists(), SEED
        head = world.head()
        assert head is not None and head.commit == commit
        assert worker.stop() == 0
    finally:
        worker.stop()
    print(f"seed {SEED}: {KILLS} kills {dict(victims)}, attempts {dict(attempts)}")
    print(
        {
            victim: f"median {statistics.median(each):.2f} s, longest {max(each):.2f} s"
            for victim, each in seconds.items()
        }
    )
    assert all(job.status.over for job in world.all_jobs())
