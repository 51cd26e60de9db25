"""``python -m deployer``."""

from __future__ import annotations

from deployer.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
