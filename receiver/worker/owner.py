"""Who a worker is, and who is dead: a lock that the kernel gives back when the last process that holds it has ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from receiver.alarm import FOLDER, SUFFIX

__all__ = ["Owner", "dead_owners", "ending", "remove_traces"]

LOCK = ".lock"
STALE_SECONDS = 60.0


class Owner:
    """A worker's name, ``HOST-PID-RANDOM``, and its lock, which its children inherit: it is free when the last has ended."""

    def __init__(self, folder: Path, name: str, descriptor: int) -> None:
        self.name = name
        self.descriptor = descriptor
        self._file = folder / f"{name}{LOCK}"

    @classmethod
    def new(cls, state: Path) -> Self:
        """Take a new name in the state folder. Raises OSError."""
        folder = state / FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{socket.gethostname()[:64]}-{os.getpid()}-{secrets.token_hex(4)}"
        draft = folder / f".{name}"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # Nobody ever sees it without its lock.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.rename(folder / f"{name}{LOCK}")
        return cls(folder, name, descriptor)

    def leave(self) -> None:
        """Give lock and name back."""
        with contextlib.suppress(OSError):
            self._file.unlink()
        os.close(self.descriptor)


def dead_owners(state: Path, owners: Iterable[str], *, alone: bool) -> frozenset[str]:
    """Those of ``owners`` of whom no process is left on this machine.

    Where this state folder is not the only one (not ``alone``), nothing is said about a name that has no lock here.
    """
    return frozenset(name for name in owners if _is_free(state / FOLDER / f"{name}{LOCK}", missing=alone))


def ending(owners: Iterable[str]) -> bool:
    """Whether a worker of this machine is gone while its children are still about to end: its lock is free in a moment."""
    here = socket.gethostname()[:64]
    for name in owners:
        host, process, _ = name.rsplit("-", 2)
        if host == here and not Path("/proc", process).exists():
            return True
    return False


def _is_free(lock: Path, *, missing: bool) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return missing
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def remove_traces(state: Path, used: Iterable[str]) -> frozenset[str]:
    """Remove locks and sockets of dead workers that nobody is asked about any more. Returns their names."""
    kept, gone = frozenset(used), set()
    for file in (state / FOLDER).glob(f"*{LOCK}"):
        name = file.name.removesuffix(LOCK)
        with contextlib.suppress(OSError):
            if (
                name not in kept
                and file.stat().st_mtime < time.time() - STALE_SECONDS
                and _is_free(file, missing=False)
            ):
                file.with_suffix(SUFFIX).unlink(missing_ok=True)
                file.unlink(missing_ok=True)
                gone.add(name)
    return frozenset(gone)
