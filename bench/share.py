"""A fixed share of a processor for a server and all that it starts, by a control group (cgroups(7))."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["can_share", "share"]

ROOT = Path("/sys/fs/cgroup")
PERIOD = 20_000  # microseconds: short, so that a small step is not made to wait for long
SECONDS = 5.0  # for the last of the processes to go
JOIN = 'echo $$ >"$1" && shift && exec "$@"'


def can_share(root: Path = ROOT) -> bool:
    """Whether groups can be made here: version 2 where the processor is handed on to groups already, or version 1."""
    return _parent(root) is not None


@contextlib.contextmanager
def share(name: str, percent: int, root: Path = ROOT) -> Iterator[tuple[str, ...]]:
    """A group that may use ``percent`` of one core; the words to put before a command that is to run in it.

    Its processes must have been told to end when the block does. Raises OSError where that is not allowed.
    """
    parent = _parent(root)
    assert parent is not None, "ask can_share first"
    group = parent / f"deployer-bench-{os.getpid()}-{name}"
    group.mkdir()
    try:
        quota = PERIOD * percent // 100
        if parent == root:
            (group / "cpu.max").write_text(f"{quota} {PERIOD}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        yield ("sh", "-c", JOIN, "join", str(group / "cgroup.procs"))
    finally:
        _remove(group)


def _parent(root: Path) -> Path | None:
    control = root / "cgroup.subtree_control"
    if control.is_file() and "cpu" in control.read_text().split() and os.access(root, os.W_OK):
        return root
    older = root / "cpu"
    return older if (older / "cpu.cfs_quota_us").is_file() and os.access(older, os.W_OK) else None


def _remove(group: Path) -> None:
    """A group goes when it is empty, and processes that were told to end take a moment."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return
