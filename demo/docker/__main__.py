"""``python -m demo.docker``: a blogger's server, deployed to for real. Ends by itself and leaves nothing behind."""

from __future__ import annotations

import sys

from demo.docker.story import tell
from demo.playing import play

FIRST = (
    "deployer's demo with Docker: Traefik, nginx and a blog in containers, deployed to over SSH while visitors read.",
    "It is the example in examples/blog-site. Everything that is made is gone at the end.",
)


def main() -> int:
    """Play the demo; the exit code is 0 only if all went as it has to."""
    code = play(tell, FIRST, "Its containers, its images and its folder")
    if code == 0:
        print("Next: examples/blog-site/README.md has the same for a server of yours.")
    return code


if __name__ == "__main__":
    sys.exit(main())
