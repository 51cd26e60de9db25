"""The benchmark's control groups: what is written where, and that none stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from bench.share import can_share, share
from tests.conftest import need


def older(root: Path) -> Path:
    """A machine with version 1."""
    (root / "cpu").mkdir()
    (root / "cpu" / "cpu.cfs_quota_us").write_text("-1")
    return root


def newer(root: Path) -> Path:
    """A machine with version 2."""
    (root / "cgroup.subtree_control").write_text("cpu io memory\n")
    return root


def written(folder: Path) -> dict[str, str]:
    """What a group was told; emptied, so that it can be removed as the kernel's can."""
    (group,) = (path for path in folder.iterdir() if path.name.startswith("deployer-bench-"))
    found = {path.name: path.read_text() for path in group.iterdir()}
    for path in group.iterdir():
        path.unlink()
    return found


def test_both_versions_are_told_the_share(tmp_path: Path) -> None:
    """40 % of a core is 8 of every 20 ms; the command's first act is to join."""
    (tmp_path / "older").mkdir()
    (tmp_path / "newer").mkdir()
    with share("web1", 40, older(tmp_path / "older")) as words:
        assert written(tmp_path / "older" / "cpu") == {"cpu.cfs_period_us": "20000", "cpu.cfs_quota_us": "8000"}
        assert words[-1] == str(tmp_path / "older" / "cpu" / f"deployer-bench-{os.getpid()}-web1" / "cgroup.procs")
    with share("web1", 40, newer(tmp_path / "newer")):
        assert written(tmp_path / "newer") == {"cpu.max": "8000 20000"}
    assert [path.name for path in (tmp_path / "newer").iterdir()] == ["cgroup.subtree_control"]


def test_a_machine_without_groups_says_so(tmp_path: Path) -> None:
    """Nothing there, or version 2 that does not hand the processor on."""
    assert not can_share(tmp_path)
    (tmp_path / "cgroup.subtree_control").write_text("memory\n")
    assert not can_share(tmp_path)


def test_a_process_in_a_group_is_as_slow_as_was_asked() -> None:
    """Half a second of work takes more than a second with 40 %."""
    need("control groups", "to give a process a share of a processor", present=can_share())
    work = "import time\nwhile time.process_time() < 0.5: pass"
    began = time.monotonic()
    with share("test", 40) as words:
        subprocess.run([*words, sys.executable, "-c", work], check=True, timeout=60)
    assert time.monotonic() - began > 1.0
