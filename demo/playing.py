"""From the first line of a demo to its exit code: a folder that goes away, and signals that end it cleanly."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from demo.telling import Unexpected

__all__ = ["play"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _interrupt(_number: int, _frame: object) -> None:
    """End the demo once; a second signal must not disturb the cleaning up."""
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def play(tell: Callable[[Path], None], first: Sequence[str], made: str) -> int:
    """Say the first lines, tell the demo in a new folder, and return the exit code: 0 only if all went as it has to.

    ``made`` is what is gone at the end, as the subject of a sentence.
    """
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What the commands print must come between the right lines, also in a file; and any name can be printed.
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    begun = time.monotonic()
    print(*first, sep="\n")
    try:
        with tempfile.TemporaryDirectory(prefix="deployer-demo-") as folder:
            tell(Path(folder).resolve())
    except KeyboardInterrupt:
        print(f"\nThe demo was interrupted. {made} are gone.", file=sys.stderr)
        return 130
    except (Unexpected, OSError, subprocess.SubprocessError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    print(f"That took {time.monotonic() - begun:.0f} s. {made} are gone.")
    return 0
