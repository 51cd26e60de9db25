"""The rebuild strategy: the server's own checkout is brought to a commit, built there, and its containers replaced."""

from __future__ import annotations

from deployer.rebuild.rollback import RebuildRollback
from deployer.rebuild.strategy import RebuildStrategy

__all__ = ["RebuildRollback", "RebuildStrategy"]
