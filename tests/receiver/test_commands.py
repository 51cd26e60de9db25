"""The ``receiver`` command as its users type it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.receiver.program import Receiver, push

PYTHON = [sys.executable, "-m", "receiver"]


def run(*arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PYTHON, *arguments], input=text, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("serve", "--nonsense"), ("replay",), ("deliveries", "--limit", "0")]
)
def test_wrong_usage_is_said_in_a_line_or_two(arguments: tuple[str, ...]) -> None:
    """Exit code 2, no traceback."""
    done = run(*arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr and done.stderr


@pytest.mark.parametrize("command", ["serve", "worker", "run", "deliveries"])
def test_a_missing_file_is_named(command: str, tmp_path: Path) -> None:
    """And so is the option that names another."""
    done = run(command, "--config", str(tmp_path / "none.toml"))
    assert done.returncode == 2 and "none.toml cannot be read" in done.stderr and "--config" in done.stderr


def test_secrets_are_made_and_encrypted(tmp_path: Path) -> None:
    """What is printed can be put into receiver.toml as it is."""
    server = Receiver(tmp_path, top='secrets_key = { env = "KEY" }')
    key = run("secret", "new", "--key").stdout.strip()
    encrypted = run(
        "secret", "encrypt", "--config", str(server.file), text="a secret of ours\n", KEY=key
    ).stdout.strip()
    server.file.write_text(
        server.file.read_text("utf-8").replace('{ file = "secret" }', f'{{ encrypted = "{encrypted}" }}'), "utf-8"
    )
    server.environment = {"KEY": key}
    with server:
        assert server.deliver(push(), secret="a secret of ours").status == 202
    token, hashed = run("secret", "new", "--token").stdout.split()
    assert hashed.startswith("sha256:") and len(token) > 40


def test_a_password_is_hashed_and_short_ones_are_refused() -> None:
    """Salted: the same password has another hash each time."""
    first, second = (run("hash-password", text="a long password\n").stdout for _ in range(2))
    assert first.startswith("scrypt:") and first != second
    assert run("hash-password", text="short\n").returncode == 2


def test_deliveries_are_listed_and_replayed(tmp_path: Path) -> None:
    """By the id that GitHub shows; one that led to nothing says why."""
    with Receiver(tmp_path) as server:
        server.deliver(push(), guid="wanted")
        server.deliver(push(ref="refs/heads/dev"), guid="ignored")
        config = ("--config", str(server.file))
        lines = run("deliveries", *config).stdout.splitlines()
        assert ["ignored" in lines[0], "wanted" in lines[1]] == [True, True]
        assert "no pattern of the app fits the ref" in lines[0] and "blog: queued #1" in lines[1]
        assert json.loads(run("deliveries", "--json", "--limit", "1", *config).stdout)["guid"] == "ignored"
        assert run("replay", "wanted", *config).stdout == "blog: job 1\n"
        refused = run("replay", "ignored", *config)
        assert refused.returncode == 2 and "no pattern of the app fits the ref" in refused.stderr
        assert run("replay", "unknown", *config).returncode == 2


def test_doctor_finds_what_keeps_a_push_from_being_deployed(tmp_path: Path) -> None:
    """Each finding has the command that mends it, and the exit code says whether anything is wrong."""
    server = Receiver(tmp_path)
    (tmp_path / "secret").chmod(0o644)
    (tmp_path / "deploy.toml").write_text('app = "blog"\n', "utf-8")
    done = run("doctor", "--json", "--config", str(server.file))
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 2
    assert (found["state"]["state"], found["state"]["mend"]) == ("error", f"install -d -m 700 {server.state}")
    assert found["app blog"]["state"] == "error" and "lacks" in found["app blog"]["found"]
    server.configure()
    with server:
        done = run("doctor", "--config", str(server.file))
    assert done.returncode == 0 and "none is running" in done.stderr


def test_state_is_its_owners_alone(tmp_path: Path) -> None:
    """The folder, and each file in it."""
    with Receiver(tmp_path) as server:
        server.deliver(push())
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (server.state, *server.state.iterdir())}
    assert modes["state"] == 0o700 and {mode & 0o077 for mode in modes.values()} == {0}


def children(parent: int) -> dict[str, int]:
    lines = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True, check=False
    )
    found = (line.split(None, 1) for line in lines.stdout.splitlines())
    return {name: int(pid) for pid, args in found for name in ("serve", "worker") if f"receiver {name} " in args}


def wait_for(parent: int, *names: str, other_than: dict[str, int] | None = None) -> dict[str, int]:
    deadline = time.monotonic() + 60
    while True:
        found = children(parent)
        if set(names) <= set(found) and not set(found.values()) & set((other_than or {}).values()):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_run_starts_both_again_when_they_are_killed_and_ends_with_them(tmp_path: Path) -> None:
    """SIGKILL to either is followed by a new one; SIGTERM ends all, with exit code 0."""
    with Receiver(tmp_path, command="run") as server:
        assert server.process is not None
        first = wait_for(server.process.pid, "serve", "worker")
        for process in first.values():
            os.kill(process, signal.SIGKILL)
        wait_for(server.process.pid, "serve", "worker", other_than=first)
        deadline = time.monotonic() + 60
        while not server.answers():
            assert time.monotonic() < deadline, server.log
            time.sleep(0.1)
        assert server.deliver(push()).status == 202
        last = wait_for(server.process.pid, "serve", "worker")
        assert server.stop() == 0
        assert not any(Path(f"/proc/{process}").exists() for process in last.values())
