"""The main job of deployer, shown for real on one machine: ``python -m demo``."""

from __future__ import annotations
