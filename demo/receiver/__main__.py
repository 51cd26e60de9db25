"""``python -m demo.receiver [--stay]``: pushes that deploy themselves. Ends by itself and leaves nothing behind."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from demo.playing import play
from demo.receiver.story import tell

FIRST = (
    "The receiver's demo: real pushes, delivered as GitHub does, deploy themselves on this machine.",
    "Everything happens on loopback and in one temporary folder, which is gone at the end.",
)


def main() -> int:
    """Play the demo; the exit code is 0 only if all went as it has to."""
    parser = argparse.ArgumentParser(prog="demo.receiver", description="See the webhook receiver work.")
    parser.add_argument(
        "--stay", action="store_true", help="keep it running at the end, until Ctrl-C, for a look at its page"
    )
    stay: bool = parser.parse_args().stay
    code = play(partial(tell, stay=stay), FIRST, "Its processes and its folder")
    if code == 0:
        print("Next: docs/receiver.md sets it up in five minutes.")
    return code


if __name__ == "__main__":
    sys.exit(main())
