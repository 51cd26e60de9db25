"""How the action's lock file is shared among several pips."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from action import main
from action.main import LOCK, compile_packages, shares


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_every_package_is_in_one_share_with_its_hashes(number: int) -> None:
    """In the lock file's order, about as many in each; nothing is lost, and no package is cut."""
    lock = LOCK.read_text("utf-8")
    parts = shares(f"# a remark\n{lock}", number)
    assert "".join(parts) == lock
    assert len(parts) == number
    counts = [len(re.findall("^[a-z]", part, flags=re.MULTILINE)) for part in parts]
    assert max(counts) - min(counts) <= 1
    assert all(re.match(r"[a-z0-9-]+==", part) for part in parts)
    assert all(part.rstrip().splitlines()[-1].startswith("    ") for part in parts)


def test_what_every_step_imports_is_compiled_and_nothing_else(tmp_path: Path) -> None:
    """The rest may never be imported, and a package that is in another share is no error."""
    for name in ("fabric", "github"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "it.py").write_text("x = 1\n", "utf-8")
    compile_packages(str(tmp_path))
    assert [file.parent.parent.name for file in tmp_path.rglob("*.pyc")] == ["fabric"]


def test_an_interrupt_while_a_pip_is_started_ends_it(mocker: MockerFixture) -> None:
    """It may run before its number is known: the interrupt waits for that, and nothing stays behind."""
    begin, started = main.start, []

    def start(command: list[str], variables: Mapping[str, str]) -> subprocess.Popen[str]:
        started.append(begin(command, variables))
        os.kill(os.getpid(), signal.SIGINT)
        return started[-1]

    mocker.patch("action.main.start", side_effect=start)
    sleep = [sys.executable, "-c", "import time; time.sleep(300)"]
    with pytest.raises(KeyboardInterrupt):
        main.run_all([sleep, sleep], dict(os.environ), lambda _number: None)
    assert len(started) == 1 and started[0].returncode == -signal.SIGKILL
