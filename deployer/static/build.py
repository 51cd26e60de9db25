"""Running the user's build command here, with its output as it comes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from deployer.command import build_argv
from deployer.errors import DeployFailed
from deployer.ports import Reporter

__all__ = ["run_build"]

LAST_LINES = 10
GRACE_SECONDS = 1.0
"""How long a build that is ended may clean up. A deploy that is interrupted has five seconds in all."""
_SECRET_VARIABLES = frozenset({"DEPLOYER_KEY", "DEPLOYER_KEY_PASSPHRASE", "DEPLOYER_GITHUB_TOKEN"})


def run_build(command: str, directory: Path, environment: Mapping[str, str], reporter: Reporter) -> None:
    """Run ``command`` with ``sh`` in ``directory``; it does not see deployer's secrets.

    Raises DeployFailed with its last lines when it fails.
    """
    visible = {name: value for name, value in environment.items() if name not in _SECRET_VARIABLES}
    last: deque[str] = deque(maxlen=LAST_LINES)
    with subprocess.Popen(
        build_argv(command),
        cwd=directory,
        env=visible,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            for raw in process.stdout:
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                last.append(line)
                reporter.output(line)
            status = process.wait()
        except BaseException:
            _end(process)
            raise
    if status != 0:
        ended = f"was killed by signal {-status}" if status < 0 else f"ended with exit code {status}"
        message = f"the build command {command!r} {ended}; nothing was deployed"
        raise DeployFailed(message, hint="\n".join(last))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole group: make's children would go on building otherwise, and some do not listen to SIGTERM."""
    deadline = time.monotonic() + GRACE_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            process.poll()  # or it would stay in its group for ever
            os.killpg(process.pid, 0)
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
