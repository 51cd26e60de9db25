"""``python -m demo``: see deployer work, on this machine and for real. Ends by itself and leaves nothing behind."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from demo.story import Unexpected, tell

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _interrupt(_number: int, _frame: object) -> None:
    """End the demo once; a second signal must not disturb the cleaning up."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Play the demo; the exit code is 0 only if all went as it has to."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What the commands print must come between the right lines, also in a file; and any name can be printed.
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    begun = time.monotonic()
    print("deployer's demo: real deploys, over SSH, to a throw-away server on this machine.")
    print("Everything happens in one temporary folder, which is gone at the end.")
    try:
        with tempfile.TemporaryDirectory(prefix="deployer-demo-") as folder:
            tell(Path(folder).resolve())
    except KeyboardInterrupt:
        print("\nThe demo was interrupted. Its servers and its folder are gone.", file=sys.stderr)
        return 130
    except (Unexpected, OSError, subprocess.TimeoutExpired) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    print(f"That took {time.monotonic() - begun:.0f} s. Its servers and its folder are gone.")
    print("Next: README.md shows the shortest real use.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
