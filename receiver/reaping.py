"""Waiting for children that nobody else waits for."""

from __future__ import annotations

import os
from collections.abc import Collection

__all__ = ["reap_strangers"]


def reap_strangers(own: Collection[int]) -> None:
    """Wait for what has ended and came to us when its parent died. ``own`` are waited for by who looks after them."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in own:
            return
        os.waitpid(found.si_pid, 0)
