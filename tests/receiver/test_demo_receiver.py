"""The receiver's demo as a newcomer runs it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import need
from tests.end_to_end.test_demo import REPOSITORY, environment, left_over

DEMO = [sys.executable, "-m", "demo.receiver"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_demo_runs_to_its_end(tmp_path: Path) -> None:
    """Pushes deploy themselves, nonsense changes nothing, two kills lose nothing, and neither process nor file is left."""
    for program in ("git", "make"):
        need(program, "to play the receiver's demo")
    done = subprocess.run(
        DEMO,
        cwd=REPOSITORY,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    said = " ".join(done.stdout.split())
    for expected in ("202, queued", "202, repeated", "401, the signature is missing or wrong", "attempt 2", "catch-up"):
        assert expected in said
    assert "no push was lost" in said
    assert "\x1b" not in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert left_over(tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_demo_can_be_interrupted(tmp_path: Path) -> None:
    """Ctrl-C in the middle ends the receiver, its worker and its builds, with nothing left behind."""
    for program in ("git", "make"):
        need(program, "to play the receiver's demo")
    demo = subprocess.Popen(
        [*DEMO, "--stay"],
        cwd=REPOSITORY,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert demo.stdout
    killer = threading.Timer(240, demo.kill)
    killer.start()
    try:
        for line in demo.stdout:
            if "Kill the worker" in line:
                break
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
        assert demo.wait() == 130, rest
    finally:
        killer.cancel()
        demo.kill()
        demo.stdout.close()
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []
    assert left_over(tmp_path) == []
