"""Completion in the shells themselves: each reads the script that deployer prints, and is asked what Tab would give."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from deployer.cli import program
from tests.conftest import need

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = """\
app = "blog"
[environments.staging]
url = "https://dev.example.org/"
[environments.preview]
url = "https://pre.example.org/"
"""
# What Tab does, without a terminal: the function that the script registered for `deployer` gets the words so far.
ASK = {
    "bash": """\
source <(deployer completion bash)
COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
[[ $(complete -p deployer) =~ -F\\ ([a-z_]+) ]]
compopt() {{ printf 'files\\n'; }}
"${{BASH_REMATCH[1]}}" deployer
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    "zsh": """\
autoload -U compinit && compinit -u -D
source <(deployer completion zsh)
words=({words}) CURRENT=${{#words}}
compadd() {{ print -l -- ${{(P)argv[-1]}}; }}
_describe() {{ print -l -- ${{${{(P)argv[3]}}%%:*}}; }}
_path_files() {{ print files; }}
${{_comps[deployer]}}
""",
    "fish": """\
deployer completion fish | source
complete -C {line} | string split -f 1 \\t
""",
}
START = {"bash": ["--noprofile", "--norc", "-c"], "zsh": ["-f", "-c"], "fish": ["--no-config", "-c"]}


@pytest.fixture(params=ASK)
def shell(request: pytest.FixtureRequest) -> str:
    """Each shell, with its real program."""
    name: str = request.param
    need(name, "to complete in")
    return name


def completed(shell: str, directory: Path, *words: str, **variables: str) -> list[str]:
    """What the shell offers for the last word, in a directory with a ``deployer`` in PATH and a deploy.toml."""
    programs = directory / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "deployer").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m deployer "$@"\n')
    (programs / "deployer").chmod(0o755)
    line = shlex.join(words[:-1]) + " " + words[-1]
    quoted = " ".join(word or "''" for word in words)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEPLOYER_")}
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    ended = subprocess.run(
        [need(shell, "to complete in"), *START[shell], ASK[shell].format(words=quoted, line=f"'{line}'")],
        cwd=directory,
        env=kept | {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(directory)} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stderr == "", ended.stderr
    return ended.stdout.split()


def test_commands(shell: str, tmp_path: Path) -> None:
    """All commands, or those that begin with what was typed."""
    assert set(completed(shell, tmp_path, "deployer", "")) == set(program.commands)
    assert completed(shell, tmp_path, "deployer", "ro") == ["rollback"]


def test_flags(shell: str, tmp_path: Path) -> None:
    """The command's own flags, those of all commands and those of the configuration."""
    offered = set(completed(shell, tmp_path, "deployer", "run", "--"))
    assert {"--dry-run", "--environment", "--json", "--help-all", "--keep", "--host-key", "--probe-budget"} <= offered
    assert set(completed(shell, tmp_path, "deployer", "run", "--probe-")) == {
        "--probe-url",
        "--probe-rate",
        "--probe-budget",
    }


def test_environments(shell: str, tmp_path: Path) -> None:
    """The names in the nearest deploy.toml, or in the file that the line names."""
    (tmp_path / "deploy.toml").write_text(CONFIGURATION)
    (tmp_path / "other.toml").write_text("[environments.production]\n")
    assert set(completed(shell, tmp_path, "deployer", "plan", "--environment", "")) == {"staging", "preview"}
    assert completed(shell, tmp_path, "deployer", "run", "--environment", "st") == ["staging"]
    words = ("deployer", "run", "--config", "other.toml", "--environment", "")
    assert completed(shell, tmp_path, *words) == ["production"]


def test_shells(shell: str, tmp_path: Path) -> None:
    """The shells that there are scripts for."""
    assert set(completed(shell, tmp_path, "deployer", "completion", "")) == {"bash", "zsh", "fish"}


@pytest.mark.parametrize("flag", ["--config", "--key", "--source"])
def test_files_are_left_to_the_shell(shell: str, tmp_path: Path, flag: str) -> None:
    """Paths on this machine are the shell's own business."""
    (tmp_path / "somewhere.txt").touch()
    offered = completed(shell, tmp_path, "deployer", "run", flag, "some")
    assert offered in (["files"], ["somewhere.txt"])


@pytest.mark.parametrize("broken", ["", "app = ", "environments = 3", b"\xff\xfe"])
def test_a_broken_configuration_offers_nothing(tmp_path: Path, broken: str | bytes) -> None:
    """No message gets into the line that somebody types."""
    need("bash", "to complete in")
    if broken:
        (tmp_path / "deploy.toml").write_bytes(broken if isinstance(broken, bytes) else broken.encode())
    assert completed("bash", tmp_path, "deployer", "run", "--environment", "") == []


def test_the_words_of_a_setting_are_completed(shell: str, tmp_path: Path) -> None:
    """A key that takes one of a few words offers them; a path on the server offers none of this machine's files."""
    assert completed(shell, tmp_path, "deployer", "run", "--update", "e") == ["exact"]
    assert set(completed(shell, tmp_path, "deployer", "run", "--strategy", "")) == {"static", "rebuild"}
    assert completed(shell, tmp_path, "deployer", "run", "--traefik-directory", "b") == []
