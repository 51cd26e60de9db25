"""What the end-to-end tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from tests.end_to_end.deployment import Deployment
from tests.sshd import Sshd, sshd_for_tests


@pytest.fixture
def site(tmp_path: Path) -> Deployment:
    """A site that deploys to this machine."""
    return Deployment(tmp_path)


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """A real OpenSSH server."""
    with sshd_for_tests(tmp_path) as server:
        yield server


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user of this machine may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="deployer-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MiB and 400 inodes."""
    mount = need("mount", "to make a small disk")
    directory = tmp_path / "disk"
    directory.mkdir()
    options = "size=6m,nr_inodes=400,mode=755"
    mounted = subprocess.run(
        [mount, "-t", "tmpfs", "-o", options, "tmpfs", directory], check=False, capture_output=True
    )
    need("the right to mount", "to make a small disk", present=mounted.returncode == 0)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


@pytest.fixture
def as_root() -> None:
    """The test needs other users' files."""
    need("root", "to make files of another user", present=os.geteuid() == 0 and bool(shutil.which("setpriv")))
