"""What goes wrong in workflows, caused one by one: the step says what to mend, and nothing gets out of its place."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.action.workspace import SECONDS, Workspace, login, plain, secrets
from tests.end_to_end.site import wait_until
from tests.relay import Relay
from tests.sshd import Sshd, make_key

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
EVIL = "raise SystemExit('the workspace was imported')\n"


def test_a_secret_that_is_not_there(workspace: Workspace, sshd: Sshd, target: Path) -> None:
    """An empty key is said to be one, with the reasons that a secret is empty for."""
    known = secrets(sshd) | {"SERVER_KEY": ""}
    workspace.run(login(sshd, target), secrets=known).failed("no key to log in with", "secrets.", "fork")


def test_a_key_from_windows_works(workspace: Workspace, sshd: Sshd, target: Path) -> None:
    """Line ends of Windows, and no last one, do not matter."""
    known = secrets(sshd)
    known["SERVER_KEY"] = known["SERVER_KEY"].strip().replace("\n", "\r\n")
    ran = workspace.run(login(sshd, target), secrets=known).succeeded()
    assert all(line.strip() not in ran.log for line in known["SERVER_KEY"].splitlines()[1:-1])


def test_a_host_key_that_is_another(workspace: Workspace, sshd: Sshd, target: Path, tmp_path: Path) -> None:
    """Exit code 4 with both fingerprints, and nothing was sent."""
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text("ascii").strip()
    known = secrets(sshd) | {"SERVER_HOST_KEY": other}
    ran = workspace.run(login(sshd, target), secrets=known).failed("SHA256:", "host key")
    assert ran.outputs["status"] == "failed"
    assert not target.exists()


def test_an_unknown_strategy(workspace: Workspace, sshd: Sshd, target: Path) -> None:
    """The message names the input and what it may be."""
    workspace.refused(plain(sshd, target, strategy="magic"), "input `strategy`", "static", "rebuild", code=2)


@pytest.mark.parametrize("name", ["app", "target", "host", "command"])
def test_hostile_inputs_stay_texts(workspace: Workspace, sshd: Sshd, target: Path, tmp_path: Path, name: str) -> None:
    """Nothing in an input becomes a command of the shell, of the runner, another output, or markup."""
    touched = tmp_path / "touched"
    hostile = f"""'"$(touch {touched})`touch {touched}`;touch {touched}\n::set-output name=status::owned\n\
::add-mask::public\nstatus<<X\nowned\nX\n</details><img src=x>"""
    ran = workspace.run(login(sshd, target) | {name: hostile}, secrets=secrets(sshd)).failed("input `")
    assert ran.outputs.get("status") in {"failed", "", None}
    assert "set-output:: status=owned" not in ran.log
    assert not touched.exists()


def test_hostile_file_names_and_output_stay_texts(workspace: Workspace, sshd: Sshd, target: Path) -> None:
    """Names that look like commands and markup are deployed, and shown as what they are."""
    name = "::set-output name=status::owned|<img src=x>`@anna.html"
    build = f"printf x >'public/{name}'; echo '::set-env name=PATH::/nowhere'; echo '::stop-commands::x'"
    ran = workspace.run(login(sshd, target, build=build), secrets=secrets(sshd)).succeeded()
    assert (target / name).read_text() == "x"
    assert ran.outputs["status"] == "deployed"
    assert workspace.in_shell(plain(sshd, target, build=f"{build}; false"))[0] == 1
    assert "::set-env name=PATH" in workspace.summary
    outside = re.sub(r"^(`{3,})[^\n]*\n.*?^\1$", "", workspace.summary, flags=re.MULTILINE | re.DOTALL)
    assert "<img" not in outside


def test_a_workspace_that_is_in_the_way(workspace: Workspace, sshd: Sshd, target: Path) -> None:
    """Neither files of the caller's nor his variables for Python and pip take part."""
    for name in (
        "fabric.py",
        "sitecustomize.py",
        "usercustomize.py",
        "deployer/__init__.py",
        "click/__init__.py",
        "json.py",
    ):
        workspace.write(name, EVIL)
    workspace.environment = {
        "PYTHONPATH": ".",
        "PYTHONSTARTUP": "fabric.py",
        "PYTHONHOME": "",
        "PIP_REQUIRE_VIRTUALENV": "true",
        "PIP_TARGET": "elsewhere",
        "PIP_USER": "true",
        "PIP_NO_BINARY": ":all:",
        "PIP_PREFIX": "elsewhere",
    }
    workspace.run(login(sshd, target), secrets=secrets(sshd)).succeeded()
    assert (target / "index.html").read_text() == "one\n"


def test_an_index_that_has_nothing(workspace: Workspace, sshd: Sshd, target: Path, tmp_path: Path) -> None:
    """Where packages come from is the caller's to say; when that does not have them, the error names the variable."""
    workspace.environment = {
        "PIP_INDEX_URL": f"file://{tmp_path}/empty",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": "/dev/null",
    }
    workspace.refused(plain(sshd, target), "could not be installed", "PIP_INDEX_URL", code=1)
    assert not target.exists()


def test_a_runner_without_python(workspace: Workspace, sshd: Sshd, target: Path, tmp_path: Path) -> None:
    """The error names the step that brings one."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "sh", "dirname", "printf"):
        (tools / name).symlink_to(f"/bin/{name}" if Path(f"/bin/{name}").exists() else f"/usr/bin/{name}")
    code, said = workspace.in_shell(plain(sshd, target), PATH=str(tools))
    assert code == 2
    assert "::error title=Deploy::the action needs Python 3.11" in said
    assert "actions/setup-python" in said


def test_python_of_the_tool_cache(workspace: Workspace, sshd: Sshd, target: Path, tmp_path: Path) -> None:
    """Where PATH has none, the runner's own is taken."""
    tools, cached = tmp_path / "bin", tmp_path / "cache" / "Python" / "3.11.99" / "x64" / "bin"
    tools.mkdir()
    cached.mkdir(parents=True)
    for name in ("bash", "sh", "dirname", "printf", "git", "ssh"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    # A link would make Python look for its library beside the link.
    (cached / "python3").write_text(f'#!/bin/sh\nexec {Path(sys.executable).resolve()} "$@"\n')
    (cached / "python3").chmod(0o755)
    code, said = workspace.in_shell(
        plain(sshd, target, command="plan"), PATH=str(tools), RUNNER_TOOL_CACHE=str(tmp_path / "cache")
    )
    assert code == 0, said


def test_windows_is_refused_at_once(workspace: Workspace, sshd: Sshd, target: Path) -> None:
    """In a second, by name."""
    code, said = workspace.in_shell(plain(sshd, target), RUNNER_OS="Windows")
    assert (code, said.count("::error")) == (2, 1)
    assert "does not run on Windows" in said


def test_two_jobs_at_once(workspace: Workspace, sshd: Sshd, target: Path) -> None:
    """The second waits for the first; both succeed."""
    inputs = plain(sshd, target)
    with workspace.shell(inputs) as first, workspace.shell(inputs) as second:
        said = [process.communicate(timeout=SECONDS)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert (target / "index.html").read_text() == "one\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_job_that_is_cancelled_in_the_upload(
    workspace: Workspace, sshd: Sshd, target: Path, number: signal.Signals
) -> None:
    """Soon the step is over, the lock is free, and the old site serves; the next run succeeds."""
    assert workspace.in_shell(plain(sshd, target))[0] == 0
    with Relay(sshd.port, rtt=0.05, rate=4) as relay:
        workspace.write("public/index.html", "two\n")
        (workspace.directory / "public" / "big.bin").write_bytes(os.urandom(20_000_000))  # 40 seconds of this line
        slow = plain(sshd, target) | {"port": str(relay.port)}
        with workspace.shell(slow) as process:
            assert wait_until(lambda: relay.traffic().sent > 500_000, SECONDS), "the upload has not begun"
            process.send_signal(number)
            began = time.monotonic()
            said, _ = process.communicate(timeout=60)
            seconds = time.monotonic() - began
    assert process.returncode == 130, said
    assert seconds < 20, said
    assert "::error" in said
    assert (target / "index.html").read_text() == "one\n"
    state = target.parent / ".deployer" / target.name / "state"
    assert wait_until(lambda: not list(state.glob("lock*")), 30)
    assert workspace.in_shell(plain(sshd, target))[0] == 0
    assert (target / "index.html").read_text() == "two\n"


def test_a_job_that_is_cancelled_while_it_installs(workspace: Workspace, sshd: Sshd, target: Path) -> None:
    """Nothing was deployed, and pip does not stay behind, which would wait for its index."""
    with socket.create_server(("127.0.0.1", 0)) as silent, contextlib.ExitStack() as held:
        silent.settimeout(SECONDS)
        workspace.environment = {
            "PIP_INDEX_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/simple",
            "PIP_FIND_LINKS": "",
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_DEFAULT_TIMEOUT": "300",
        }
        process = held.enter_context(workspace.shell(plain(sshd, target)))

        def children() -> list[str]:
            # Others come and go meanwhile: looking whether a Python is fit is a process, too.
            with contextlib.suppress(OSError):
                listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii").split()
                return [pid for pid in listed if b"pip\0install" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            return []

        held.enter_context(silent.accept()[0])
        pips = children()
        assert pips
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
        assert wait_until(lambda: not any(Path(f"/proc/{pip}").exists() for pip in pips), 30)
    assert process.returncode == 130, said
    assert "nothing was deployed" in said
    assert not target.exists()


def test_secrets_are_in_no_process_list_and_no_file(workspace: Workspace, sshd: Sshd, target: Path) -> None:
    """The build and the programs that it starts have no secret in their variables; the runner's folder has no key."""
    seen = workspace.directory / "seen"
    workspace.run(login(sshd, target, build=f"env >'{seen}'; ps -ef >>'{seen}'"), secrets=secrets(sshd)).succeeded()
    told = seen.read_text()
    lines = [line for line in secrets(sshd)["SERVER_KEY"].splitlines()[1:-1] if line]
    assert "PATH=" in told
    assert not any(line in told for line in lines)
    assert "DEPLOYER_INPUT" not in told
    found = subprocess.run(["grep", "-rlF", lines[0], str(workspace.home)], capture_output=True, text=True, check=False)
    assert found.stdout == ""
