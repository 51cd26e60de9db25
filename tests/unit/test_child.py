"""A user's own command: its lines, its end, and nothing of it that stays."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from deployer import child
from deployer.child import run_child, without_secrets
from deployer.interrupts import Interrupts
from tests.end_to_end.site import wait_until

HERE = dict(os.environ)


def gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def lines_of(command: str, directory: Path) -> list[str]:
    lines: list[str] = []
    run_child(("sh", "-c", command), directory, HERE, lines.append)
    return lines


def test_lines_of_both_streams_in_order(tmp_path: Path) -> None:
    """Also the one that has no end, and bytes that are not UTF-8; carriage returns at an end go."""
    command = r"echo one; echo two >&2; printf 'th\377ree\r\n\nend'"
    assert lines_of(command, tmp_path) == ["one", "two", "th\ufffdree", "", "end"]


def test_a_signal_while_it_is_started_ends_it(tmp_path: Path, mocker: MockerFixture) -> None:
    """The command may run before we know its number: the signal waits for that, and then ends the whole group."""
    before = signal.getsignal(signal.SIGTERM)
    Interrupts().install()
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(begin(*arguments, **options))
        os.kill(os.getpid(), signal.SIGTERM)
        return started[0]

    begin = subprocess.Popen
    mocker.patch("deployer.child.subprocess.Popen", side_effect=start)
    try:
        with pytest.raises(KeyboardInterrupt):
            lines_of("sleep 300 & sleep 300", tmp_path)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert wait_until(lambda: gone(started[0].pid), 30)


def test_an_endless_line_is_cut(tmp_path: Path) -> None:
    """Memory does not grow with it."""
    lines = lines_of("head -c 1000000 /dev/zero | tr '\\0' x", tmp_path)
    assert sum(map(len, lines)) == 1_000_000
    assert max(map(len, lines)) < 200_000


def test_the_end_in_words(tmp_path: Path) -> None:
    """An exit code, a signal, and the last lines before it."""
    ended = run_child(("sh", "-c", "seq 20; exit 3"), tmp_path, HERE, lambda _line: None)
    assert (ended.status, ended.how) == (3, "ended with exit code 3")
    assert ended.last == tuple(str(number) for number in range(11, 21))
    assert "signal 9" in run_child(("sh", "-c", "kill -9 $$"), tmp_path, HERE, lambda _line: None).how


@pytest.mark.parametrize("command", ["sleep 301", "sleep 301 & sleep 302", "trap '' TERM; while :; do sleep 0.1; done"])
def test_a_command_whose_time_is_over(tmp_path: Path, mocker: MockerFixture, command: str) -> None:
    """It ends with all that it started, even what does not listen."""
    start = mocker.spy(child, "_start")
    began = time.monotonic()
    ended = run_child(("sh", "-c", command), tmp_path, HERE, lambda _line: None, timeout=0.3)
    assert (ended.status, ended.how) == (None, "did not end in time")
    assert time.monotonic() - began < 30
    group = start.spy_return.pid  # its shell may have had no time to say it
    assert wait_until(lambda: gone(group), 30)


def test_a_child_that_closed_its_output(tmp_path: Path) -> None:
    """It may go on in silence, and its time counts all the same."""
    ended = run_child(("sh", "-c", "exec >&- 2>&-; sleep 301"), tmp_path, HERE, lambda _line: None, timeout=0.3)
    assert ended.status is None


def test_an_exception_ends_it_and_calls_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs elsewhere on its behalf is stopped, after it had its chance to do that by itself."""
    monkeypatch.setattr(child, "GRACE_SECONDS", 60)  # it takes no more than it needs
    happened: list[str] = []

    def interrupt(_line: str) -> None:
        raise KeyboardInterrupt

    command = f"trap 'echo x >{tmp_path}/asked; exit' TERM; echo begun; while :; do sleep 0.05; done"
    with pytest.raises(KeyboardInterrupt):
        run_child(
            ("sh", "-c", command),
            tmp_path,
            HERE,
            interrupt,
            stop=lambda: happened.append("stop" if (tmp_path / "asked").exists() else "too early"),
        )
    assert happened == ["stop"]


def test_it_gets_no_input_and_no_secrets(tmp_path: Path) -> None:
    """A question is answered by the end of input; deployer's secrets are not among its variables."""
    secrets = {f"DEPLOYER_{name}": "x" for name in ("KEY", "KEY_PASSPHRASE", "GITHUB_TOKEN")}
    assert without_secrets(secrets | {"DEPLOYER_HOST": "h", "A": "b"}) == {"DEPLOYER_HOST": "h", "A": "b"}
    assert lines_of("read answer || echo none", tmp_path) == ["none"]
