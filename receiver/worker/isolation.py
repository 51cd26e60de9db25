"""What makes a forked child a process that holds nothing of the receiver's, and that does not outlive its worker.

Sources: prctl(2), proc(5).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

__all__ = ["MARK", "adopt_orphans", "allowed", "be_unreadable", "become_child", "marked", "signal_all"]

MARK = "RECEIVER_JOB"
"""The variable by which everything that a job has started is found, whatever session it has moved to."""
_PASSED_ON = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR", "DOCKER_HOST", "SSH_AUTH_SOCK", "USER", "LOGNAME"})
_PASSED_ON_PREFIXES = ("LC_", "SSL_CERT_")
_SET_DEATH_SIGNAL, _SET_DUMPABLE, _SET_CHILD_SUBREAPER = 1, 4, 36
_LARGEST_ENVIRONMENT = 1 << 21


def allowed(environment: Mapping[str, str]) -> dict[str, str]:
    """What a deploy may see of the receiver's own ``environment``: what every program needs, and no secret."""
    return {
        name: value for name, value in environment.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }


def be_unreadable() -> None:
    """Keep other processes of the same user from reading this one's memory and first environment, where secrets are.

    A build could read them in /proc otherwise. It holds for forked children, too, until they execute a program.
    """
    _prctl(_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of whatever a job leaves behind, so that nothing stays as a zombie."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def become_child(parent: int, kept: Collection[int], output: int) -> None:
    """To be called in a new child: a session of its own that gets SIGTERM when ``parent`` dies, and few descriptors.

    ``kept`` stay open; standard input is empty, standard output and error are ``output``.
    """
    os.setsid()
    _prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, standard in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(ours, standard)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  # names, which are numbers
        if int(name) > 2 and int(name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(name))


def marked(mark: str) -> Iterator[int]:
    """The processes that were started with ``mark`` in their environment, as far as this user may look."""
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError), (entry / "environ").open("rb") as file:
                if wanted in file.read(_LARGEST_ENVIRONMENT).split(b"\0"):
                    yield int(entry.name)


def signal_all(mark: str, number: signal.Signals) -> bool:
    """Send a signal to all processes with ``mark``. Returns whether there are any."""
    found = False
    for process in marked(mark):
        found = True
        with contextlib.suppress(OSError):
            os.kill(process, number)
    return found


def _prctl(option: int, value: int) -> None:
    # Where the kernel refuses, the deploy is only less protected.
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
