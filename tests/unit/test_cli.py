"""The command line: help, flags, JSON, what it loads, and what a mistake looks like."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from deployer import __version__, cli, running
from deployer.config import OPTIONS
from deployer.errors import DeployFailed

COMMANDS = ["init", "check", "run", "plan", "rollback", "releases", "status", "logs", "unlock"]
HEAVY = {"fabric", "paramiko", "rich", "msgspec", "zstandard", "cryptography", "ssl", "http.client"}
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps(command: str) -> None:
    """What it does, the common flags, and each flag of the configuration by its name."""
    shown = CliRunner().invoke(cli.program, [command, "--help"], terminal_width=200)
    assert shown.exit_code == 0
    for flag in ("--config", "--environment", "--json", "--quiet", "--verbose", *(option.flag for option in OPTIONS)):
        assert f"{flag} " in shown.output or f"{flag}\n" in shown.output


def test_the_program_helps() -> None:
    """All commands with a line each; without a command the same text, as wrong usage."""
    shown = CliRunner().invoke(cli.program, ["--help"])
    assert shown.exit_code == 0
    assert all(f"\n  {command} " in shown.output for command in COMMANDS)
    assert CliRunner().invoke(cli.program, []).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [["run", "--nonsense"], ["nonsense"], ["run", "extra"], ["rollback", "one", "two"], ["run", "--keep", "many"]],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    """Unknown flags and commands, arguments too many, and words for numbers."""
    shown = CliRunner().invoke(cli.program, arguments)
    assert shown.exit_code == 2
    assert "Traceback" not in shown.output


def test_secrets_have_no_flag() -> None:
    """They would be seen in the list of processes."""
    flags = {option.flag for option in OPTIONS}
    assert not flags & {"--key-passphrase", "--passphrase", "--github-token", "--token"}


def test_version_loads_nothing_heavy() -> None:
    """The version is said without the configuration's model, the SSH and terminal libraries."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "deployer", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"deployer {__version__}\n"
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "deployer.cli" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("arguments", [("status",), ("plan",)])
def test_a_local_command_loads_no_ssh(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Who deploys to this machine does not wait for libraries that talk to others."""
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "index.html").write_text("one")
    flags = ("--app=blog", "--host=local", "--source=public", f"--target={tmp_path}/site")
    script = f"import sys; from deployer.cli import program; sys.argv[1:] = {[*arguments, *flags]}\n"
    script += (
        "try: program()\nexcept SystemExit as end: print(end.code, sorted(set(sys.modules) & {'fabric', 'paramiko'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "0 []"


def broken(*_arguments: object, **_more: object) -> int:
    raise RuntimeError("the cat is on the keyboard")


def test_a_bug_shows_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what, that it is ours, and how to see more; with --json an object."""
    monkeypatch.setattr(running, "run", broken)
    shown = CliRunner().invoke(cli.program, ["run", "--json"])
    assert shown.exit_code == 1
    assert "Traceback" not in shown.output
    assert "unexpected RuntimeError: the cat is on the keyboard" in shown.stderr
    assert json.loads(shown.stdout)["status"] == "failed"


def test_a_bug_shows_its_traceback_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """With --verbose the exception passes through."""
    monkeypatch.setattr(running, "run", broken)
    assert isinstance(CliRunner().invoke(cli.program, ["run", "--verbose"]).exception, RuntimeError)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), click.Abort()])
def test_leaving_a_question_is_an_interrupt(monkeypatch: pytest.MonkeyPatch, stop: BaseException) -> None:
    """Ctrl-C and Ctrl-D are exit code 130, and no bug."""

    def leave(*_arguments: object, **_more: object) -> int:
        raise stop

    monkeypatch.setattr(running, "run", leave)
    shown = CliRunner().invoke(cli.program, ["run"])
    assert (shown.exit_code, shown.stderr) == (130, "error: interrupted\n")


def test_an_error_has_its_hint_below(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong on the first line, what to do on the next."""

    def fail(*_arguments: object, **_more: object) -> int:
        raise DeployFailed("the disk is full", hint="Free some space.")

    monkeypatch.setattr(running, "run", fail)
    shown = CliRunner().invoke(cli.program, ["run"])
    assert (shown.exit_code, shown.stderr) == (1, "error: the disk is full\n  Free some space.\n")
