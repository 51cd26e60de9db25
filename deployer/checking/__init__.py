"""`deployer check`: what is wrong here, on the way, on every host and on the web, and the command that mends it."""

from __future__ import annotations

from deployer.checking.command import check, look

__all__ = ["check", "look"]
