"""Reading the source beside everything else: in a process of its own, while this one imports, connects and logs in."""

from __future__ import annotations

import gc
import marshal
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from deployer.errors import InvalidInput
from deployer.static.manifest import Entry, Manifest
from deployer.static.scan import scan

__all__ = ["begin"]

PROGRESS_BYTES = 1 << 23


def begin(source: Path, exclude: tuple[str, ...], progress: Callable[[int], None]) -> Callable[[], Manifest]:
    """Start to hash ``source``; the result waits for the manifest, or raises what :func:`scan` raises.

    Python's threads take turns, so that hashing beside the imports of an SSH library would take as long as both one
    after the other. A process with threads is not forked, though: another thread may hold a lock that its copy waits
    for. There, and where nothing can be forked, the caller hashes when it waits.
    """
    if sys.platform == "win32" or threading.active_count() > 1:
        return lambda: scan(source, exclude, progress)
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(receiving)
            _read(source, exclude, sending)
        finally:
            os._exit(0)
    os.close(sending)

    def wait() -> Manifest:
        try:
            with os.fdopen(receiving, "rb") as answers:
                return _received(answers, progress)
        except (EOFError, ValueError):
            # It was killed, for lack of memory perhaps. Nobody but us will miss it.
            return scan(source, exclude, progress)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    return wait


def _read(source: Path, exclude: tuple[str, ...], descriptor: int) -> None:
    """The child's work. Whatever goes wrong with the pipe, the parent sees its end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=_end_with_the_parent, args=(descriptor,), daemon=True).start()
    gc.disable()
    told = 0
    with os.fdopen(descriptor, "wb") as answers:

        def progress(read: int) -> None:
            nonlocal told
            if read - told >= PROGRESS_BYTES:
                told = read
                marshal.dump(("read", read), answers)
                answers.flush()

        try:
            entries = scan(source, exclude, progress).entries
        except InvalidInput as error:
            marshal.dump(("failed", error.message, error.hint), answers)
        else:
            # As plain tuples, which cost a quarter of what objects do.
            fields = [(entry.path, entry.kind, entry.mode, entry.size, entry.digest, entry.target) for entry in entries]
            marshal.dump(("entries", fields), answers)


def _end_with_the_parent(descriptor: int) -> None:
    """Whatever happens to it, SIGKILL included: nobody has the other end of the pipe then, and poll(2) says so."""
    end = select.poll()
    end.register(descriptor, 0)
    end.poll()
    os._exit(1)


def _received(answers: IO[bytes], progress: Callable[[int], None]) -> Manifest:
    while True:
        match marshal.load(answers):  # noqa: S302  # our own child wrote it
            case "read", read:
                progress(read)
            case "failed", message, hint:
                raise InvalidInput(message, hint=hint)
            case "entries", entries:
                return Manifest(tuple(Entry(*fields) for fields in entries))
