"""Long commands on the host: live output, their end with their time, with their client and with their shell."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deployer.errors import DeployerError, DeployFailed
from deployer.host import assemble
from deployer.plan import Effect, Request, Text
from deployer.rebuild import requests
from deployer.transports.conversation import Conversation
from deployer.transports.local import open_channel
from tests.attempts import ATTEMPTS
from tests.end_to_end.processes import tree_of

SOON_SECONDS = 20.0  # a second on a quiet machine; what the tests start goes on for a minute
_STUBS = """
recovering='' compose_file='' compose_error='' native_umask=022
remember_images() { :; }
save_compose() { :; }
forget_plans() { :; }
find_native() { native_without='' native_with=''; }
load_compose() { :; }
checkout_facts() { :; }
heal() { for left in "$state"/broken.*; do [ ! -d "$left" ] || stop_group "$left/group"; done; rm -rf "$state"/broken.*; }
do_shell() { fact shell $$; }
finish() { [ "$held" ] && [ -d "$work" ] || return 0; stop_group "$work/group"; unlock; }
trap finish EXIT
trap 'exit 143' TERM
while IFS= read -r verb; do
    case $verb in
    beat) renew; continue ;;
    site | lock | command | shell) renew; "do_$verb" ;;
    esac
    printf '%s . %s\\n' "$mark" "$verb" >&3
done
"""


@dataclass
class Host:
    """A conversation with the program, its checkout, and what was printed."""

    checkout: Path
    session: Conversation
    printed: list[str] = field(default_factory=list)

    def command(self, text: str, seconds: float = 30) -> None:
        self.session.perform(requests.command("build", seconds, Text(lambda: text)))


def _program() -> str:
    return assemble("deployer.rebuild.host", ("site.sh", "command.sh", "releases.sh")) + _STUBS


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    opened = _open(tmp_path)
    yield opened
    opened.session.close()


def _open(folder: Path) -> Host:
    checkout = folder / "checkout"
    checkout.mkdir(exist_ok=True)
    printed: list[str] = []
    session = Conversation(open_channel(60), _program(), "local", output=printed.append)
    session.perform(requests.site("blog", str(checkout), os.urandom(6).hex(), "test"), requests.lock(20, "test"))
    return Host(checkout, session, printed)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _soon(condition: Callable[[], bool]) -> bool:
    ends = time.monotonic() + SOON_SECONDS
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.05)
    return True


def _gone(pid: int) -> bool:
    return _soon(lambda: not _alive(pid))


# As tools draw a bar: over and over what was there.
PROGRESS = r"printf '10%%\r90%%\r100%%\n'"


def test_output_comes_line_by_line_while_the_command_runs(host: Host) -> None:
    """Standard output and error arrive in order, before the command has ended, without what progress bars wrote over."""
    text = f"echo one; echo two >&2; until [ -e heard ]; do sleep 0.1; done; {PROGRESS}; printf last"
    thread = threading.Thread(target=host.command, args=(text,))
    thread.start()
    assert _soon(lambda: host.printed == ["one", "two"])
    (host.checkout / "heard").touch()
    thread.join(60)
    assert host.printed == ["one", "two", "100%", "last"]


def test_a_command_runs_in_the_checkout_without_input(host: Host) -> None:
    """It starts in the checkout, and whatever it reads ends at once: the conversation's input is not for it."""
    host.command('pwd; cat; echo "<$?>"')
    assert host.printed == [str(host.checkout), "<0>"]


def test_a_failing_command_ends_the_deploy_with_its_last_lines(host: Host) -> None:
    """The error has the status, and repeats at most twenty of the last lines."""
    with pytest.raises(DeployFailed, match="build failed on the host with status 7") as caught:
        host.command("for i in $(seq 30); do echo line $i; done; exit 7")
    assert caught.value.hint.splitlines()[1:] == [f"  line {number}" for number in range(11, 31)]


def test_a_command_that_runs_out_of_time_is_ended_with_its_children(tmp_path: Path) -> None:
    """After its seconds it gets TERM, with everything that it has started."""
    assert _gone(_ended_by_time(tmp_path, "sh -c 'echo $$ >pid; sleep 60' & sleep 60"))


def test_a_command_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    """Three seconds after TERM comes KILL."""
    assert _gone(_ended_by_time(tmp_path, "trap '' TERM; echo $$ >pid; while true; do sleep 1; done"))


def _ended_by_time(folder: Path, text: str) -> int:
    """Run a command that writes a number and goes on; the number. In so little time a busy machine may not come to it."""
    for number in range(ATTEMPTS):
        (folder / str(number)).mkdir()
        host = _open(folder / str(number))
        with pytest.raises(DeployFailed, match="build ran for longer than 3 s on the host"):
            host.command(text, seconds=3)
        host.session.close()
        if (found := host.checkout / "pid").exists() and found.read_text().strip():
            return int(found.read_text())
    raise AssertionError("the command did not start")


def test_what_a_command_leaves_running_is_not_waited_for(host: Host) -> None:
    """A daemon that keeps the output open does not hold the deploy up."""
    began = time.monotonic()
    host.command("sleep 60 & echo $! >pid; echo started")
    assert time.monotonic() - began < 30
    pid = int((host.checkout / "pid").read_text())
    assert _alive(pid)
    os.kill(pid, signal.SIGKILL)


def test_a_command_ends_when_its_client_is_gone(tmp_path: Path) -> None:
    """Within seconds, though it prints nothing; and the lock is given back."""
    host = _open(tmp_path)
    pid = _begin(host, "echo $$ >pid; sleep 60")
    host.session.close()
    assert _gone(pid)
    assert _soon(lambda: not (tmp_path / ".deployer/checkout/state/lock").exists())


def test_the_next_deploy_ends_what_a_killed_shell_left_running(tmp_path: Path) -> None:
    """SIGKILL of all that is the host's program leaves the command alone; whoever locks next ends it first."""
    host = _open(tmp_path)
    (reply,) = host.session.perform(Request("shell", Effect.READ))
    pid = _begin(host, "echo $$ >pid; sleep 60")
    group = os.getpgid(pid)
    for each in tree_of(reply.number("shell")):
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(each) != group:
                os.kill(each, signal.SIGKILL)
    assert _alive(pid)
    again = _open(tmp_path)
    try:
        assert _gone(pid)
    finally:
        again.session.close()
        host.session.close(wait=False)


def test_a_command_ends_with_its_shell(tmp_path: Path) -> None:
    """SIGKILL of the host's shell alone: what it has started ends without anybody coming by."""
    host = _open(tmp_path)
    (reply,) = host.session.perform(Request("shell", Effect.READ))
    pid = _begin(host, "echo $$ >pid; sleep 60")
    os.kill(reply.number("shell"), signal.SIGKILL)
    assert _gone(pid)
    host.session.close(wait=False)


def _begin(host: Host, text: str) -> int:
    """Run a command that writes its number, and return that while it runs."""

    def run() -> None:
        with contextlib.suppress(DeployerError):
            host.command(text, seconds=60)

    threading.Thread(target=run, daemon=True).start()
    file = host.checkout / "pid"
    for _ in range(600):
        if file.exists() and file.read_text().strip():
            return int(file.read_text())
        time.sleep(0.05)
    raise AssertionError("the command did not start")


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_program_runs_in_every_posix_shell(shell: str, tmp_path: Path) -> None:
    """The text parses in the shells that hosts have."""
    file = tmp_path / "program.sh"
    file.write_text(_program())
    assert subprocess.run([shell, "-n", file], check=False).returncode == 0
