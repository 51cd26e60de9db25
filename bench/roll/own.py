"""deployer's own share of a roll: its whole time without what any way to do it needs, and a push that changes nothing."""

from __future__ import annotations

import os
import platform
import statistics
import time
from dataclasses import dataclass

from bench import report
from bench.cases import ROUND_TRIP
from bench.machine import Mood
from bench.roll.contenders import DRAIN, SETTLE, Deployer, wait_until_healthy
from bench.roll.ground import Application, Ground

__all__ = ["OWN_HEADING", "own_time", "unchanged"]

OWN_HEADING = "### deployer's own time"
LIMIT = 2.0  # seconds
LOOK = 0.02  # seconds: what is measured is the container, not how often it is looked at


@dataclass(slots=True)
class Floor:
    """Seconds of the bare commands, run on the server itself."""

    build: float = 0
    start: float = 0
    remove: float = 0

    @property
    def total(self) -> float:
        """With the waiting that was asked for."""
        return self.build + self.start + self.remove + DRAIN + SETTLE


def own_time(ground: Ground, deployer: Deployer, application: Application, runs: int, before: Mood) -> str:
    """Measure deployer and the bare commands in turn, without visitors. Raises RunFailed."""
    deployer.prepare(ground, application)
    deployer.roll(ground, 1)
    whole: list[float] = []
    floors: list[Floor] = []
    steps: dict[str, list[float]] = {}
    for number in range(2, 2 + runs):
        floors.append(_floor(ground, 1000 + number))
        whole.append(deployer.roll(ground, number))
        for step in deployer.last["steps"]:
            steps.setdefault(step["name"], []).append(step["seconds"])
    floor = Floor(*(statistics.median(getattr(each, name) for each in floors) for name in ("build", "start", "remove")))
    total = statistics.median(whole)
    rows = [
        ("`deployer run`", f"{total:.2f}"),
        ("build", f"{floor.build:.2f}"),
        ("start the container and wait until it is healthy", f"{floor.start:.2f}"),
        ("settle", f"{SETTLE:.2f}"),
        ("drain", f"{DRAIN:.2f}"),
        ("stop and remove the old container", f"{floor.remove:.2f}"),
        ("deployer's own", f"{total - floor.total:.2f}"),
    ]
    verdict = "met" if total - floor.total <= LIMIT else "MISSED"
    listed = ", ".join(f"{name} {statistics.median(seconds):.2f}" for name, seconds in steps.items())
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, {before}"
    about = f"{ROUND_TRIP * 1e3:.0f} ms round trip; {machine}"
    return (
        f"{OWN_HEADING}\n\nMedians of {runs} rolls without visitors, of an application that {application.title}; {about}."
        " The lines below the first are the bare commands, run on the server: it is looked for the container's health all"
        f" the time.\n\n{report.table(('', 'seconds'), rows)}\n\n"
        f"- Its steps, which hold these: {listed}; the rest is the start and the end of the program\n"
        f"- deployer's own time: {total - floor.total:.2f} s; target <= {LIMIT:g} s: **{verdict}**\n"
    )


def unchanged(ground: Ground, deployer: Deployer) -> str:
    """Deploy again without a new commit, after ``own_time``, and compare the containers."""
    before = ground.containers()
    seconds = deployer.deploy(ground)
    verdict = "met" if before and ground.containers() == before else "MISSED"
    return f"- A push that changes nothing: {seconds:.2f} s, no container touched: **{verdict}**\n"


def _floor(ground: Ground, number: int) -> Floor:
    """Build what the next roll will not, start it beside the old one, and remove it again."""
    floor = Floor()
    build = (
        "docker",
        "buildx",
        "build",
        "--quiet",
        "--build-arg",
        f"VERSION={number}",
        "-t",
        "bench:floor",
        "--load",
        ".",
    )
    begun = time.monotonic()
    ground.run(*build)
    floor.build = time.monotonic() - begun
    old = ground.run("docker", "compose", "ps", "--quiet", "app").split()
    begun = time.monotonic()
    ground.run("docker", "compose", "up", "--detach", "--no-deps", "--no-recreate", "--scale", f"app={2 * len(old)}")
    listed = ("docker", "ps", "--quiet", "--no-trunc", "--filter=label=com.docker.compose.service=app")
    new = [each for each in ground.run(*listed).split() if each not in old]
    wait_until_healthy(ground, new, LOOK)
    floor.start = time.monotonic() - begun
    begun = time.monotonic()
    ground.run("docker", "stop", *new)
    ground.run("docker", "rm", *new)
    floor.remove = time.monotonic() - begun
    return floor
