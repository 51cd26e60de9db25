"""Completion in the user's shell: from the command line and deploy.toml alone, without asking any host."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["SHELLS", "complete_environment", "complete_file", "completion_script"]

SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_DEPLOYER_COMPLETE"  # Click looks for this one when the program is called deployer


def completion_script(program: click.Command, shell: str) -> str:
    """The script that one of :data:`SHELLS` reads once, and which then asks ``deployer`` at every press of Tab."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise ValueError(shell)
    return kind(program, {}, "deployer", _VARIABLE).source()


def complete_environment(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str] | str]:
    """The names below ``[environments]`` in the configuration that the command would read; none when it cannot."""
    from deployer.config import find

    given = ctx.params.get("file")
    file = Path(given).expanduser() if given else find(Path.cwd())
    try:
        environments = tomllib.loads(file.read_text("utf-8")).get("environments", {}) if file else {}
    except (OSError, ValueError, RuntimeError):  # not there, not UTF-8, not TOML, or the home of nobody
        return []
    names = environments if isinstance(environments, dict) else {}
    return [name for name in names if name.startswith(incomplete)]


def complete_file(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str] | str]:
    """Leave it to the shell, which knows this machine's files."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]
