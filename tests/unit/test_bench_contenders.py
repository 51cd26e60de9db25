"""The benchmark's runs: a time only counts when every server has what was deployed, and beside the machine's mood."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.contenders import Contender
from bench.machine import file_system, mood
from bench.measure import Pipeline, RunFailed
from bench.site import Shape, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path / "source", Shape(pages=4, binaries=1, text_size=100, binary_size=100), int(time.time()))
    site.make()
    return site


def copying(site: Site, homes: tuple[Path, ...], copied: tuple[Path, ...]) -> Contender:
    """One that puts the site into the ``copied`` of its homes."""
    pipelines: tuple[Pipeline, ...] = tuple((("cp", "-r", str(site.root), str(home / "site")),) for home in copied)
    contender = Contender("copy", homes, lambda _source: pipelines)
    contender.empty()
    return contender


def test_every_home_is_compared(site: Site, tmp_path: Path) -> None:
    """A deploy to two servers of which one has got nothing is no result."""
    homes = (tmp_path / "one", tmp_path / "two")
    assert copying(site, homes, homes).deploy(site, tmp_path / "log").seconds > 0
    with pytest.raises(AssertionError, match="differ"):
        copying(site, homes, homes[:1]).deploy(site, tmp_path / "log")


def test_other_contents_are_no_result(site: Site, tmp_path: Path) -> None:
    """A changed file that the server has with its old contents, and of the same size, is found."""
    home = tmp_path / "one"
    contender = copying(site, (home,), (home,))
    contender.deploy(site, tmp_path / "log")
    site.change_footers()
    with pytest.raises(AssertionError, match="differs"):
        Contender("idle", (home,), lambda _source: ((("true",),),)).deploy(site, tmp_path / "log")


def test_a_failed_command_is_no_result(site: Site, tmp_path: Path) -> None:
    """Its output says why."""
    contender = Contender("broken", (), lambda _source: ((("ls", "/no/such"),),))
    with pytest.raises(RunFailed, match="/no/such"):
        contender.deploy(site, tmp_path / "log")


def test_the_machine_is_described() -> None:
    """The idle share is one of the whole, and a folder's file system is that of the innermost mount."""
    found = mood(0.05)
    assert 0 <= found.idle <= 1
    assert "idle and load" in str(found)
    assert file_system(Path("/proc/self")).startswith("proc on ")
