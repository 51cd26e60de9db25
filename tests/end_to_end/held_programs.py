"""Programs of the host that hold up a deploy, so that a test can act in the very middle of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import need
from tests.end_to_end.deployment import Deployment, Ran
from tests.end_to_end.hosts import programs_without
from tests.end_to_end.site import wait_until

__all__ = ["run_and_act_in"]

USE_SECONDS = 60.0


def run_and_act_in(site: Deployment, program: str, act: Callable[[], object]) -> Ran:
    """Run on this machine, and act while the host's ``program`` keeps the deploy waiting.

    That is ``df`` before the upload, when all has been hashed, and ``zstd`` in the middle of it.
    """
    real = need(program, "to stop the deploy in its middle")
    programs = Path(programs_without(site.directory / f"bin-{program}", program))
    waits, goes = site.directory / f"{program}-waits", site.directory / f"{program}-goes"
    (programs / program).write_text(
        f"#!/bin/sh\n: >'{waits}'\nuntil [ -e '{goes}' ]; do sleep 0.02; done\nexec {real} \"$@\"\n"
    )
    (programs / program).chmod(0o755)
    site.variables["PATH"] = str(programs)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(site.run)
        try:
            assert wait_until(waits.exists, USE_SECONDS), f"{program} was not used"
            act()
        finally:
            goes.touch()
        ended = running.result()
    del site.variables["PATH"]
    return ended
