"""Clocks that are wrong: the host's orders the releases, and never goes back; this machine's is not asked."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import need
from tests.end_to_end.deployment import ROOT, Deployment, tree
from tests.sshd import Sshd, sshd_for_tests

YEAR = 365 * 86400
FOREVER = int(time.time())  # back to 1970, where a clock without its battery begins
MINUTES = 300  # that a test may take

SHIFTED = """\
import os, time

seconds, real, broken_down = float(os.environ["TEST_CLOCK"]), time.time, time.gmtime
time.time = lambda: real() + seconds
time.time_ns = lambda: int(time.time() * 1e9)
time.gmtime = lambda at=None: broken_down(time.time() if at is None else at)
open(os.environ["TEST_CLOCK_USED"], "w").close()
"""


class HostClock:
    """A host whose ``date`` is some seconds off."""

    def __init__(self, directory: Path) -> None:
        self._seconds = directory / "seconds"
        self.programs = directory / "clock"
        self.programs.mkdir()
        date = need("date", "to be a host's clock")
        (self.programs / "date").write_text(
            f'#!/bin/sh\nexec {date} -d "@$(($({date} +%s) + $(cat \'{self._seconds}\')))" "$@"\n'
        )
        (self.programs / "date").chmod(0o755)
        self.set(0)

    def set(self, seconds: int) -> None:
        """Let it be this much ahead."""
        self._seconds.write_text(str(seconds))


@pytest.fixture
def clock(tmp_path: Path) -> HostClock:
    """The host's clock, which is right at first."""
    return HostClock(tmp_path)


@pytest.fixture
def remote(tmp_path: Path, clock: HostClock) -> Iterator[Deployment]:
    """A site on a host with that clock, over SSH."""
    path = os.pathsep.join([str(clock.programs), os.environ["PATH"]])
    with sshd_for_tests(tmp_path, config=[f"SetEnv PATH={path}"]) as server:
        assert isinstance(server, Sshd)
        yield Deployment(tmp_path, sshd=server)


def seconds_of(release: str) -> float:
    """The time in a release's name."""
    return datetime.strptime(release.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def deploy(site: Deployment, text: str) -> str:
    """A release with this text; checks that visitors and their caches can tell it from the one before."""
    before = (site.target / "index.html").stat().st_mtime if site.target.exists() else -1
    site.files(index=text, same="same")
    answer = site.deploy()
    assert answer["status"] == "deployed"
    assert site.served() == tree(site.source)
    assert (site.target / "index.html").stat().st_mtime > before
    return str(answer["release"])


@pytest.mark.parametrize("seconds", [YEAR, -YEAR, -FOREVER], ids=["a year ahead", "a year behind", "1970"])
def test_a_host_with_a_wrong_clock(remote: Deployment, clock: HostClock, seconds: int) -> None:
    """Releases are named by the host's clock as long as that grows, and by the newest release's time when it does not.

    It is wrong for two deploys, then right for two, then wrong again: each release is later than all before, the newest are
    kept, a rollback finds the one before, and an unchanged site is known as such.
    """
    remote.static["keep"] = 5
    made = []
    for number, off in enumerate((seconds, seconds, 0, 0, seconds)):
        clock.set(off)
        made.append(deploy(remote, f"text {number}"))
    assert remote.deploy()["status"] == "unchanged"

    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert abs(seconds_of(made[0]) - time.time() - seconds) < MINUTES
    if seconds < 0:
        assert abs(seconds_of(made[2]) - time.time()) < MINUTES
    else:
        assert seconds_of(made[4]) - seconds_of(made[0]) < MINUTES
    listed = remote.answer("releases")["releases"]
    assert [each["release"] for each in listed] == made[::-1]
    assert remote.answer("status")["last_deploy"]["release"] == made[4]
    assert remote.answer("rollback")["release"] == made[3]
    made.append(deploy(remote, "after the rollback"))
    assert made == sorted(made)
    assert remote.releases() == made[1:]
    assert remote.is_unlocked()


def test_a_release_of_the_future_stays_the_newest(remote: Deployment, clock: HostClock) -> None:
    """What was deployed in a year that has not come counts as it should: pruned when it is old by order, not by its name."""
    remote.static["keep"] = 2
    clock.set(YEAR)
    future = deploy(remote, "future")
    clock.set(0)
    later = [deploy(remote, f"text {number}") for number in range(3)]

    assert remote.releases() == later[-2:]
    assert future < later[0]
    assert remote.answer("rollback")["release"] == later[-2]


@pytest.mark.parametrize("seconds", [YEAR, -YEAR], ids=["a year ahead", "a year behind"])
def test_a_wrong_clock_here(remote: Deployment, seconds: int) -> None:
    """This machine's clock is not asked: releases, times of files and locks are as the host's clock has them."""
    first = deploy(remote, "before")
    shifted, used = remote.directory / "shifted", remote.directory / "used"
    shifted.mkdir()
    (shifted / "sitecustomize.py").write_text(SHIFTED)
    remote.variables |= {
        "PYTHONPATH": os.pathsep.join([str(shifted), str(ROOT)]),
        "TEST_CLOCK": str(seconds),
        "TEST_CLOCK_USED": str(used),
    }

    second = deploy(remote, "with the wrong clock")

    assert used.exists()
    assert first < second
    assert abs(seconds_of(second) - time.time()) < MINUTES
    assert abs((remote.target / "index.html").stat().st_mtime - time.time()) < MINUTES
    assert remote.deploy()["status"] == "unchanged"
    assert remote.answer("rollback")["release"] == first
    times = [line["time"] for line in remote.answer("logs", second)["journal"]]
    assert times
    assert all(abs(datetime.fromisoformat(each).timestamp() - time.time()) < MINUTES for each in times)
    assert remote.is_unlocked()


def test_check_tells_of_a_wrong_clock(remote: Deployment, clock: HostClock) -> None:
    """``deployer check`` says how far the host's clock is off, and how to set it."""
    clock.set(YEAR)

    ended = remote.command("check")

    assert re.search(r"clock .*36[45] days ahead", ended.out), ended.out
    assert "timedatectl" in ended.out
