"""Targets with names and neighbours that nobody planned for, and sources that do not hold still."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.deployment import Deployment, tree
from tests.end_to_end.hosts import programs_without

NAMES = [
    "two words",
    "$(touch injected)",
    'it\'s "quoted"',
    "-rf",
    "*",
    "[a]?",
    "back\\slash",
    "üñï",
    ".hidden",
    "a;b&c|d",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("where", ["target", "parent"])
def test_a_target_may_have_any_name(site: Deployment, name: str, where: str) -> None:
    """Adopted, deployed, rolled back and looked at, whatever the target or its parent is called."""
    target = site.parent / name if where == "target" else site.parent / name / "site"
    target.mkdir(parents=True)
    (target / "index.html").write_text("by hand")
    site.static["target"] = str(target)
    site.files(index="new")

    assert site.deploy()["status"] == "deployed"
    assert tree(target) == tree(site.source)
    assert site.deploy()["status"] == "unchanged"
    assert site.answer("rollback")["status"] == "rolled_back"
    assert (target / "index.html").read_text() == "by hand"
    assert len(site.answer("releases")["releases"]) == 2
    assert sorted(path.name for path in target.parent.iterdir()) == sorted([".deployer", target.name])
    assert not list(site.directory.rglob("injected"))
    assert not (Path.home() / "injected").exists()


@pytest.mark.parametrize("length", [200, 230, 240, 255])
@pytest.mark.parametrize("adopted", [False, True])
def test_a_target_with_a_long_name(site: Deployment, length: int, adopted: bool) -> None:
    """The longest names that are accepted work in every way, or are refused before anything is changed."""
    target = site.parent / ("n" * length)
    site.static["target"] = str(target)
    site.files(index="new")
    if adopted:
        target.mkdir()
        (target / "index.html").write_text("by hand")

    ended = site.run()

    if ended.code == 0:
        assert (target / "index.html").read_text() == "new"
    else:
        ended.failed(ended.code, "n" * 50)
        assert not target.is_symlink()
        assert target.exists() == adopted


def test_a_parent_that_is_a_link_to_another_disk(small_disk: Path, site: Deployment) -> None:
    """``/www`` may be a link to where the space is."""
    site.parent.rmdir()
    site.parent.symlink_to(small_disk)
    site.files(index="x")

    assert site.deploy()["status"] == "deployed"
    assert site.text("index.html") == "x"
    site.files(index="y")
    assert site.deploy()["status"] == "deployed"
    assert site.answer("rollback")["status"] == "rolled_back"


def test_a_target_that_is_a_mount_point(small_disk: Path, site: Deployment) -> None:
    """What cannot be renamed cannot be swapped: one message that says so, and the old files stay served."""
    site.parent = small_disk.parent
    site.static["target"] = str(small_disk)
    (small_disk / "index.html").write_text("by hand")
    (small_disk / "same.html").write_text("same")
    site.files(index="new", same="same")

    site.run().failed(1, str(small_disk), "is a mount point")

    assert (small_disk / "index.html").read_text() == "by hand"
    assert not [path.name for path in small_disk.parent.iterdir() if "deployer-" in path.name]


def test_a_mount_inside_the_adopted_directory(small_disk: Path, site: Deployment) -> None:
    """Files on another disk cannot be linked: they are copied or sent, and the site is the source."""
    site.target.mkdir()
    uploads = site.target / "uploads"
    uploads.mkdir()
    (small_disk / "same.html").write_text("same")
    bound = subprocess.run(["mount", "--bind", small_disk, uploads], check=False)
    assert bound.returncode == 0
    try:
        site.write("uploads/same.html", "same")
        site.write("index.html", "new")

        assert site.deploy()["status"] == "deployed"
        assert site.served() == tree(site.source)
    finally:
        for path in site.directory.rglob("uploads"):
            subprocess.run(["umount", "-l", path], check=False, capture_output=True)


def test_a_source_that_is_a_link(site: Deployment) -> None:
    """The source itself may be a link to the directory that a build made."""
    site.files(index="x")
    site.source.rename(site.directory / "built")
    site.source.symlink_to("built")

    site.deploy()

    assert site.text("index.html") == "x"


CHANGES = {
    "other contents": lambda file: f"printf CHANGED >'{file}'",
    "shorter": lambda file: f"printf x >'{file}'",
    "longer": lambda file: f"printf 'longer than before' >'{file}'",
    "gone": lambda file: f"rm '{file}'",
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_source_that_changes_while_it_is_deployed(site: Deployment, kind: str) -> None:
    """A build that still runs: nothing that was not hashed goes live; exit 1, and the next run succeeds."""
    site.files(index="old")
    site.deploy()
    site.files(index="changed", page="as was")
    # The host is asked for its space when the source has been read, and before it is sent.
    programs = Path(programs_without(site.directory / "bin", "df"))
    (programs / "df").write_text(f'#!/bin/sh\n{CHANGES[kind](site.source / "index.html")}\nexec /bin/df "$@"\n')
    (programs / "df").chmod(0o755)
    site.variables["PATH"] = str(programs)

    ended = site.run()

    if ended.code:
        ended.failed(1, "changed while")
        assert site.text("index.html") == "old"
    else:
        assert site.served() == {b"index.html": ("644", b"changed"), b"page.html": ("644", b"as was")}
    assert site.is_unlocked()
    del site.variables["PATH"]
    site.files(index="new")
    site.deploy()
    assert site.served() == tree(site.source)


def test_a_file_that_cannot_be_read(site: Deployment) -> None:
    """A source file without read permission is named: exit 2."""
    site.files(index="x", secret="y")
    (site.source / "secret.html").chmod(0)
    if os.access(site.source / "secret.html", os.R_OK):  # root, whom no mode stops
        return

    site.run().failed(2, "secret.html", "cannot read")
