"""How many requests a container's replacement costs, deployer's and others': ``python -m bench.roll``."""

from __future__ import annotations
