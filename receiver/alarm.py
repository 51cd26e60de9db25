"""Waking workers: whoever queues a job knocks, so that nobody has to look again and again."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

__all__ = ["Alarm", "knock"]

FOLDER = "workers"
SUFFIX = ".wake"


class Alarm:
    """One worker's ear: a datagram socket in the state folder. ``fileno`` is readable when somebody has knocked."""

    def __init__(self, state: Path, owner: str) -> None:
        self._path = state / FOLDER / f"{owner}{SUFFIX}"
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        # A socket's path has a hundred characters at most; the folder it is in has no such limit.
        here = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._socket.bind(f"/proc/self/fd/{here}/{self._path.name}")
        finally:
            os.close(here)

    def fileno(self) -> int:
        """For a selector."""
        return self._socket.fileno()

    def hear(self) -> None:
        """Take all knocks."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(1)

    def close(self) -> None:
        """Nobody is here any more."""
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


def knock(state: Path) -> None:
    """Wake the workers of this machine. Never waits and never raises: they look by themselves, only later."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ours:
        folder = os.open(state / FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in os.listdir(folder):  # noqa: PTH208  # by the folder's descriptor
                if name.endswith(SUFFIX):
                    with contextlib.suppress(OSError):
                        ours.sendto(b"!", f"/proc/self/fd/{folder}/{name}")
        finally:
            os.close(folder)
