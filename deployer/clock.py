"""The clock of this machine; tests pass another one."""

from __future__ import annotations

import time

__all__ = ["SystemClock"]


class SystemClock:
    """Real time (see :class:`deployer.ports.Clock`)."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
