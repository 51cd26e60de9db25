"""What a host runs out of: room in a path, inodes, a quota. What was live stays live throughout."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from tests.end_to_end.deployment import Deployment, listing, tree
from tests.end_to_end.faults import LOOKING, check_next_run, check_old_site, mounted

# --- paths -----------------------------------------------------------------------------------------------------------------


def make_deep(top: Path, length: int) -> str:
    """A path below ``top`` of this many bytes in all, with a page in it; it may be longer than any call takes."""
    names = "/".join(["p" * 99] * (length // 100 + 1))[: length - len(str(top)) - 1].rstrip("/")
    opened = os.open(top, os.O_RDONLY)
    for name in names.split("/"):
        os.mkdir(name, dir_fd=opened)
        below = os.open(name, os.O_RDONLY, dir_fd=opened)
        os.close(opened)
        opened = below
    descriptor = os.open("page.html", os.O_WRONLY | os.O_CREAT, dir_fd=opened)
    os.write(descriptor, b"deep")
    os.close(descriptor)
    os.close(opened)
    return f"{top}/{names}"


@pytest.mark.parametrize("length", [3501, 4060, 4090, 5000])
def test_a_target_that_is_too_long(site: Deployment, length: int) -> None:
    """A target that leaves no room for what is kept beside it: exit 2 before anything is made."""
    site.files(index="x")
    parent = make_deep(site.parent, min(length - len("/site"), 4000))
    site.static["target"] = f"{parent}/site".ljust(length, "e") if length < 4096 else f"{parent}{'/more' * 200}"
    before = listing(site.parent)

    site.run().failed(2, "static.target", "bytes")

    assert listing(site.parent) == before


def test_the_longest_target(site: Deployment) -> None:
    """One that is accepted works in every way."""
    site.files(index="old")
    site.static["target"] = make_deep(site.parent, 3500 - len("/site")) + "/site"
    target = Path(site.static["target"])

    site.deploy()
    site.files(index="new")
    site.deploy()

    assert (target / "index.html").read_text() == "new"
    assert site.answer("rollback")["status"] == "rolled_back"
    assert (target / "index.html").read_text() == "old"


def test_a_source_path_that_is_too_long(site: Deployment) -> None:
    """A file that this machine itself cannot open by its path: exit 2, before the host is changed."""
    make_deep(site.source, 4200)

    site.run().failed(2, "cannot read", "File name too long")

    assert not site.target.exists()


def test_a_path_that_is_too_long_for_the_host(site: Deployment) -> None:
    """Source and target are short enough, and together they are not: refused, and nothing is switched."""
    site.files(index="old")
    site.static["target"] = make_deep(site.parent, 2500) + "/site"
    site.deploy()
    make_deep(site.source, 1800 + len(str(site.source)))
    site.write("index.html", "new")

    ended = site.run()

    assert Path(site.static["target"], "index.html").read_text() == "old"
    ended.failed(2, "ppp", "bytes", "there is room for", "shorten")


# --- inodes and a quota ----------------------------------------------------------------------------------------------------


@pytest.fixture
def few_inodes(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 100 names, where sites go."""
    disk = tmp_path / "www"
    disk.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=6m,nr_inodes=100,mode=755", "tmpfs", disk):
        yield disk


def leave_inodes(disk: Path, count: int) -> None:
    """Make or remove empty files until this many names are free."""
    while (free := os.statvfs(disk).f_ffree) != count:
        filler = disk / f"filler-{free if free > count else free + 1}"
        filler.touch() if free > count else filler.unlink()


def free_inodes(disk: Path) -> None:
    for filler in disk.glob("filler-*"):
        filler.unlink()


FOR_THE_CLAIM = 4  # what a run makes before the directory that is the lock


def test_inodes_that_end_anywhere(few_inodes: Path, site: Deployment) -> None:
    """However many names are left: exit 1 with one message, or all of the new site; the old one stays meanwhile."""
    site.files(index="old", same="same")
    site.deploy()
    left = 0
    for left in range(0, 60, 3):
        leave_inodes(few_inodes, left)
        site.write("index.html", f"with {left} left")
        ended = site.run()
        free_inodes(few_inodes)
        if ended.code == 0:
            break
        ended.failed(1, str(site.parent), "inode")
        check_old_site(site)
    assert left > FOR_THE_CLAIM
    assert site.served() == tree(site.source)
    assert site.is_unlocked()


def test_inodes_that_end_while_the_lock_is_taken(few_inodes: Path, site: Deployment) -> None:
    """The same, where the directory that is the lock cannot be made: nobody waits for a lock that is not there."""
    site.files(index="old", same="same")
    site.deploy()
    leave_inodes(few_inodes, FOR_THE_CLAIM)
    site.write("index.html", "new")

    site.run().failed(1)


def test_inodes_are_named(few_inodes: Path, site: Deployment) -> None:
    """There is space, and no more names: the message says which."""
    site.files(index="old", same="same")
    site.deploy()
    leave_inodes(few_inodes, 0)
    site.write("index.html", "new")

    said = site.run().failed(1, str(site.parent))

    assert "inode" in said.replace(str(site.directory), "")


def test_looking_needs_no_inodes(few_inodes: Path, site: Deployment) -> None:
    """What changes nothing works; so does a rollback, as soon as there is room for its lock."""
    site.files(index="old", same="same")
    site.deploy()
    site.write("index.html", "new")
    site.deploy()
    leave_inodes(few_inodes, 0)

    for command in LOOKING:
        assert site.command(command).code == 0, command
    site.command("rollback").failed(1, str(site.parent))
    check_old_site(site, "new")
    free_inodes(few_inodes)
    assert site.answer("rollback")["status"] == "rolled_back"
    check_old_site(site)


@pytest.fixture
def quota(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Where sites go is a directory with a quota of 3 MiB on a much larger disk; sets another one."""
    mkfs = need("mkfs.btrfs", "to make a disk with a quota")
    image, disk = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(120 << 20)
    subprocess.run([mkfs, "-q", image], check=True)
    disk.mkdir()

    def btrfs(*arguments: str | Path) -> None:
        subprocess.run(["btrfs", *arguments], check=True, capture_output=True)

    with mounted("-o", "loop", image, disk):
        btrfs("quota", "enable", disk)
        btrfs("subvolume", "create", disk / "www")
        (tmp_path / "www").symlink_to("disk/www")
        btrfs("qgroup", "limit", "3M", disk / "www")
        yield lambda size: btrfs("qgroup", "limit", size, disk / "www")


def test_a_quota_that_is_used_up(quota: Callable[[str], None], site: Deployment) -> None:
    """There is space on the disk, and none for us: exit 1, the old site stays, and a larger quota is enough."""
    site.files(index="old", same="same")
    site.deploy()
    site.write("index.html", "new")
    site.write("movie.bin", os.urandom(4 << 20))

    for _ in range(2):
        site.run().failed(1)
        assert site.text("index.html") == "old"  # btrfs does not even remove anything: the lock may be left
    quota("12M")
    check_next_run(site)


@pytest.mark.usefixtures("quota")
def test_a_quota_is_not_taken_for_a_full_disk(site: Deployment) -> None:
    """The message has the system's own words: freeing space on the disk would not help."""
    site.files(index="old")
    site.write("movie.bin", os.urandom(4 << 20))

    said = site.run().failed(1, "Disk quota exceeded")

    assert "is full" not in said
