"""The static strategy: a directory of files, uploaded by content and switched in one rename."""

from __future__ import annotations

from deployer.static.strategy import StaticStrategy

__all__ = ["StaticStrategy"]
