"""What only the channel on this machine has to see to: processes, terminals and the environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deployer.command import encode_program
from deployer.errors import ConnectionRefused
from deployer.transports import local
from tests.attempts import until


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def run(program: str) -> bytes:
    channel = local.open_channel(60)
    try:
        channel.send(encode_program(program))
        channel.end_input()
        return b"".join(iter(channel.receive, b""))
    finally:
        channel.close()


def test_it_starts_where_a_login_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the home directory, so that relative paths mean what they mean over SSH; in the root where there is none."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run("pwd -P").decode().strip() == str(tmp_path.resolve())
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    assert run("pwd -P") == b"/\n"


def test_secrets_stay_out_of_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds and hooks of a checkout have no business with deployer's key; everything else is passed on."""
    monkeypatch.setenv("DEPLOYER_KEY", "hunter2")
    monkeypatch.setenv("OTHER", "kept")
    output = run("env")
    assert b"hunter2" not in output
    assert b"OTHER=kept" in output


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends by itself may take its time for that: then waiting in vain for it takes long, too."""
    monkeypatch.setattr(local, "_UNDO_SECONDS", 60)


def test_a_program_that_does_not_end_is_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing ends the program and what it started, even when they ignore the end of input and SIGTERM."""
    monkeypatch.setattr(local, "_SIGNALLED_SECONDS", 1.0)
    channel = local.open_channel(60)
    channel.send(encode_program("trap '' TERM; sleep 60 & echo $$ $!; while :; do sleep 60; done"))
    pids = [int(pid) for pid in channel.receive().split()]
    began = time.monotonic()
    channel.close()
    until(lambda: not any(map(is_running, pids)))
    assert time.monotonic() - began < 30  # they sleep for a minute, again and again
    assert len(pids) == 2


@pytest.mark.usefixtures("patient")
def test_a_program_stuck_on_its_output_can_end(tmp_path: Path) -> None:
    """Closing reads what nobody wants any more, so that the program gets to its last step."""
    channel = local.open_channel(60)
    last = tmp_path / "last"
    channel.send(encode_program(f"echo go; head -c 3000000 /dev/zero; cat >/dev/null; : >'{last}'"))
    assert channel.receive().startswith(b"go\n")
    channel.close()
    assert last.exists()


@pytest.mark.usefixtures("patient")
def test_what_a_program_leaves_running_is_left() -> None:
    """A server that a build starts in the background outlives the deploy, as over SSH, and does not hold it up."""
    channel = local.open_channel(60)
    channel.send(encode_program("sleep 90 & echo $!"))
    pid = int(channel.receive())
    began = time.monotonic()
    channel.end_input()
    channel.close()
    assert time.monotonic() - began < 30
    assert is_running(pid)
    os.kill(pid, signal.SIGKILL)


def test_ctrl_c_reaches_deployer_alone(tmp_path: Path) -> None:
    """The terminal interrupts its whole foreground group; the program is not in it, and ends in order."""
    done = tmp_path / "done"
    script = f"""
from deployer.command import encode_program
from deployer.transports import local
local._UNDO_SECONDS = 60
channel = local.open_channel(60)
channel.send(encode_program("echo ready; cat >/dev/null; : >'{done}'"))
try:
    print(channel.receive().decode().strip(), flush=True)
    channel.receive()
except KeyboardInterrupt:
    channel.close()
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 0
    process.stdout.close()
    assert done.exists()


def test_a_killed_deployer_leaves_no_program(tmp_path: Path) -> None:
    """SIGKILL closes the socket: the program reads the end of its input, undoes and ends."""
    done = tmp_path / "done"
    script = f"""
from deployer.command import encode_program
from deployer.transports import local
channel = local.open_channel(60)
channel.send(encode_program("echo $$; cat >/dev/null; : >'{done}'"))
print(channel.receive().decode().strip(), flush=True)
channel.receive()
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout
    pid = int(process.stdout.readline())
    process.kill()
    process.communicate()
    until(lambda: not is_running(pid))
    assert done.exists()


def test_a_machine_without_a_shell_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """As little as a host that cannot be reached."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ConnectionRefused, match="cannot start a shell on this machine: No such file"):
        local.open_channel()


def test_many_channels_leave_nothing_open() -> None:
    """No file descriptor and no zombie remains of a closed channel."""
    run("echo warm")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(30):
        assert run("echo in; echo noise >&2") == b"in\n"
    until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before + 1)
