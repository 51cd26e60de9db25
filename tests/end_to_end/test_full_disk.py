"""A disk that is too small, or fills up in the middle: the old site stays whole, and the next run only needs space."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.end_to_end.deployment import Deployment, tree
from tests.end_to_end.hosts import programs_without

OLD = os.urandom(100_000)
# Says once that there is space enough, as a disk does that somebody else fills in the meantime.
LYING = """\
#!/bin/sh
if mkdir "{once}" 2>/dev/null; then
    printf 'Filesystem 1024-blocks Used Available Capacity Mounted\\n/dev/x 99999999 1 99999999 1%% /\\n'
else
    exec /bin/df "$@"
fi
"""


def site_on(disk: Path, directory: Path) -> Deployment:
    """A site that is served from the small disk, with one release."""
    site = Deployment(directory)
    site.parent = disk
    site.target = disk / "site"
    site.root = disk / ".deployer" / "site"
    site.state = site.root / "state"
    site.static["target"] = str(site.target)
    site.write("old", OLD)
    site.write("index.html", "old")
    site.deploy()
    return site


def lie_about_space(site: Deployment) -> None:
    programs = Path(programs_without(site.directory / "bin", "df"))
    (programs / "df").write_text(LYING.format(once=site.directory / "once"))
    (programs / "df").chmod(0o755)
    site.variables["PATH"] = str(programs)


def fill(disk: Path, left: int) -> Path:
    """Use up the disk but for about ``left`` bytes; the file to remove again."""
    filler = disk / "filler"
    about = os.statvfs(disk)
    filler.write_bytes(bytes(max(0, about.f_bavail * about.f_bsize - left)))
    return filler


def test_too_little_space_is_refused_before_the_upload(small_disk: Path, tmp_path: Path) -> None:
    """The message says how much is needed and how much is there; nothing is sent, and freeing space is enough."""
    site = site_on(small_disk, tmp_path)
    filler = fill(small_disk, 1_500_000)
    site.write("big", os.urandom(1_000_000))
    before = tree(small_disk / ".deployer" / "site" / "releases")

    ended = site.run()

    ended.failed(1, "MB", "free", str(site.target))
    assert ended.json["bytes_uploaded"] == 0
    assert tree(small_disk / ".deployer" / "site" / "releases") == before
    assert site.is_unlocked()
    filler.unlink()
    assert site.deploy()["status"] == "deployed"


def test_unchanged_needs_no_space(small_disk: Path, tmp_path: Path) -> None:
    """On a disk that is nearly full, a run that has nothing to do succeeds."""
    site = site_on(small_disk, tmp_path)
    fill(small_disk, 50_000)

    assert site.deploy()["status"] == "unchanged"


def test_copies_on_the_host_count_too(small_disk: Path, tmp_path: Path) -> None:
    """Files that the host copies instead of receiving need space as well: refused before anything is begun."""
    site = site_on(small_disk, tmp_path)
    for number in range(20):
        site.write(f"one/{number}", os.urandom(100_000))
    site.deploy()
    (site.source / "one").rename(site.source / "other")
    fill(small_disk, 1_600_000)

    ended = site.run()

    ended.failed(1, "free", str(site.target))
    assert ended.json["bytes_uploaded"] == 0


@pytest.mark.parametrize("left", [0, 4_096, 12_288, 40_960, 204_800, 397_312, 409_600, 421_888, 434_176])
def test_a_disk_that_fills_up_in_the_middle(small_disk: Path, tmp_path: Path, left: int) -> None:
    """Wherever the space ends, the run exits 1 and says so, the old site is whole, and space mends it."""
    site = site_on(small_disk, tmp_path)
    old = tree(site.source)
    lie_about_space(site)
    for number in range(4):
        site.write(f"new{number}", os.urandom(100_000))
    filler = fill(small_disk, left)

    ended = site.run()

    if ended.code == 0:  # the last steps may need nothing any more
        assert site.served() == tree(site.source)
    else:
        ended.failed(1, "full" if "full" in ended.err else "space")
        assert site.served() == old
    assert not (site.state / "arrived").exists()  # room is what is lacking: nothing of the upload takes any
    filler.unlink()
    del site.variables["PATH"]
    site.deploy()
    assert site.served() == tree(site.source)
    assert site.is_unlocked()


def test_a_disk_without_free_inodes(small_disk: Path, tmp_path: Path) -> None:
    """Running out of names instead of bytes ends the same way, with the host's own words."""
    site = site_on(small_disk, tmp_path)
    old = tree(site.source)
    for number in range(500):
        site.write(f"many/{number}", f"{number}")

    site.run().failed(1, "space")

    assert site.served() == old
    assert site.is_unlocked()
    for number in range(5, 500):
        (site.source / f"many/{number}").unlink()
    site.deploy()
    assert site.served() == tree(site.source)


def test_rollback_on_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    """Going back must be possible when the disk is full; where it is not, the live release stays and the message is one."""
    site = site_on(small_disk, tmp_path)
    first = tree(site.source)
    site.write("index.html", "new")
    site.deploy()
    second = tree(site.source)
    filler = fill(small_disk, 0)

    ended = site.command("rollback", "--json")

    if ended.code:
        ended.failed(1, "full" if "full" in ended.err else "space")
        assert site.served() == second
    filler.unlink()
    if ended.code:
        assert site.answer("rollback")["status"] == "rolled_back"
    assert site.served() == first
    assert site.is_unlocked()
