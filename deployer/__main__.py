"""``python -m deployer``."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Load the command line and run it; an interrupt while it loads ends it as one later does."""
    try:
        from deployer.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.stderr.flush()
        os._exit(130)
    run()


if __name__ == "__main__":
    main()
