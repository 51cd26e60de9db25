"""The processes of a deploy, found from outside: the program on the host, sshd's sessions, and what they leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.end_to_end.site import MARK

__all__ = ["connections", "is_idle", "marked", "name_of", "opened", "programs", "send", "tree_of"]

PROGRAM = b"IFS= read -r s"  # what the one constant command begins with


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; False when that process is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def name_of(pid: int) -> str:
    """Its state letter and command line, for messages; empty when it is gone."""
    state = _read(pid, "stat").rpartition(b")")[2].split()
    return f"{state[0].decode()} {_read(pid, 'cmdline')[:80]!r}" if state else ""


def programs(pids: Sequence[int]) -> list[int]:
    """Those of the processes that are the host's program itself, not its subshells: their parent runs something else."""
    shells = [pid for pid in pids if PROGRAM in _read(pid, "cmdline")]
    return [pid for pid in shells if _parent(pid) not in shells]


def tree_of(pid: int) -> list[int]:
    """The process and all that it started, parents first."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text("ascii").split()]
    return found


def opened(pid: int) -> list[Path]:
    """The files that a process has open; those that have no name as proc(5) has them, such as ``socket:[4711]``."""
    found = []
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(link.readlink())
    return found


def connections(pid: int, port: int) -> set[Path]:
    """Those of its open files that are connections to this port of 127.0.0.1."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return {Path(f"socket:[{row[9]}]") for row in rows if row[2] == f"0100007F:{port:04X}"} & set(opened(pid))


def is_idle(pid: int) -> bool:
    """Whether a process has done all that it has to do for now: none of its threads runs, wants to, or did meanwhile."""
    before = _statuses(pid)
    return bool(before) and all(b"\tS (sleeping)" in each for each in before) and before == _statuses(pid)


def _statuses(pid: int) -> list[bytes]:
    """Of each thread, what it does and how often it has ceased to, among other things."""
    try:
        threads = sorted(path.name for path in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []
    return [_read(pid, f"task/{thread}/status") for thread in threads]


def marked(mark: str) -> list[int]:
    """Every process, orphans too, that was started with this mark in its environment."""
    wanted = f"{MARK}={mark}".encode()
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if wanted in _read(pid, "environ").split(b"\0")]


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
