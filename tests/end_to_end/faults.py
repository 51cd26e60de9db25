"""What the tests of faulty hosts share: disks of their own, and how a site must be after each fault."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import need
from tests.end_to_end.deployment import Deployment, tree

__all__ = ["LOOKING", "check_next_run", "check_old_site", "ext4", "mounted"]

LOOKING = ("plan", "status", "releases", "logs")


def check_old_site(site: Deployment, text: str = "old") -> None:
    """What was live is live, and nobody holds the lock."""
    assert site.served() == {b"index.html": ("644", text.encode()), b"same.html": ("644", b"same")}
    assert site.is_unlocked()


def check_next_run(site: Deployment) -> None:
    """With the fault gone, the same command does its work."""
    assert site.deploy()["status"] == "deployed"
    assert site.served() == tree(site.source)
    assert site.is_unlocked()


def ext4(image: Path, *, megabytes: int) -> Path:
    """An empty file system in the file ``image``, to be mounted with the option ``loop``."""
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run([need("mkfs.ext4", "to have an ext4 of its own"), "-q", "-F", image], check=True)
    return image


class mounted:  # noqa: N801  # reads as a sentence
    """A mount that ends with the ``with`` block."""

    def __init__(self, *arguments: str | Path) -> None:
        self.directory = arguments[-1]
        made = subprocess.run([need("mount", "to make a disk"), *arguments], check=False, capture_output=True)
        need("the right to mount", "to make a disk", present=made.returncode == 0)

    def remount(self, mode: str) -> None:
        """Change it to ``ro`` or ``rw``."""
        subprocess.run(["mount", "-o", f"remount,{mode}", self.directory], check=True)

    def __enter__(self) -> mounted:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", self.directory], check=True)
