"""``python -m demo``: see deployer work, on this machine and for real. Ends by itself and leaves nothing behind."""

from __future__ import annotations

import sys

from demo.playing import play
from demo.story import tell

FIRST = (
    "deployer's demo: real deploys, over SSH, to a throw-away server on this machine.",
    "Everything happens in one temporary folder, which is gone at the end.",
)


def main() -> int:
    """Play the demo; the exit code is 0 only if all went as it has to."""
    code = play(tell, FIRST, "Its servers and its folder")
    if code == 0:
        print("Next: README.md shows the shortest real use.")
    return code


if __name__ == "__main__":
    sys.exit(main())
