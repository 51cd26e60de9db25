"""The ``receiver`` command."""

from __future__ import annotations

import sys

from deployer import __version__

__all__ = ["main"]


def main() -> int:
    """Say that there is no receiver yet; returns exit code 2 (wrong usage)."""
    print(f"receiver: deployer {__version__} has no webhook receiver; use `deployer run`.", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
