"""The processes of a deploy, found from outside: the program on the host, sshd's sessions, and what they leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.end_to_end.site import MARK

__all__ = ["marked", "name_of", "programs", "send", "tree_of"]

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
