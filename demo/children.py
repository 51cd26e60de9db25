"""Programs that the demo starts, and that never outlive it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["command", "server"]

REPOSITORY = Path(__file__).resolve().parent.parent
PATIENCE = 6.0  # seconds to end in after being asked


@contextlib.contextmanager
def server(module: str, argument: Path, environment: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Run ``python -m module argument`` and yield the JSON object of its first line; it ends with its input.

    Raises OSError when it does not start.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(argument)],
        cwd=REPOSITORY,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,  # an interrupt at the terminal is for the demo, which then ends its servers itself
    )
    assert process.stdin
    assert process.stdout
    try:
        first = process.stdout.readline()
        if not first:
            raise OSError(f"{module} did not start")
        yield json.loads(first)
    finally:
        process.stdin.close()
        _end(process)
        process.stdout.close()


def command(arguments: list[str], directory: Path, environment: Mapping[str, str], timeout: float) -> int:
    """Run ``python`` with ``arguments`` on this terminal and return its exit code.

    Raises subprocess.TimeoutExpired. Whatever interrupts the waiting, the program has ended when this returns.
    """
    process = subprocess.Popen([sys.executable, *arguments], cwd=directory, env=dict(environment), process_group=0)
    try:
        return process.wait(timeout)
    except BaseException:
        process.send_signal(signal.SIGINT)
        raise
    finally:
        _end(process)


def _end(process: subprocess.Popen[Any]) -> None:
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
