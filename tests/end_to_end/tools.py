"""A host's tools, as a directory that is all of its PATH: some are missing, and some take their time."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

__all__ = ["link_tools", "slow_tool"]

TOOLS = (
    "sh tar find xargs stat sha256sum dd mv ln df date mkdir rm rmdir cp chmod touch head tail tr wc sort id readlink cat "
    "sleep gzip zstd uname sync"
)


def link_tools(directory: Path) -> Path:
    """Make the directory: everything that a deploy needs, and nothing that can exchange two names in one step."""
    directory.mkdir()
    for tool in TOOLS.split():
        if found := shutil.which(tool):
            (directory / tool).symlink_to(found)
    if subprocess.run(["mv", "--exchange", "--version"], capture_output=True, check=False).returncode == 0:
        _replace(directory / "mv", '[ "$1" != --exchange ] || exit 1', shutil.which("mv"))
    return directory


def slow_tool(directory: Path, name: str, arguments: str, *, seconds: int = 1, program: str | None = None) -> Path:
    """Let a tool wait before it does anything with ``arguments``, a pattern of the shell.

    Returns the file that it makes when it begins to wait. ``program`` is the tool, if it is none of those linked.
    """
    waiting = directory / f"{name}-waits"
    check = f'case "$*" in "--exchange "*) exit 1;; {arguments}) : >"{waiting}"; sleep {seconds};; esac'
    _replace(directory / name, check, program or shutil.which(name))
    return waiting


def _replace(tool: Path, check: str, program: str | None) -> None:
    tool.unlink(missing_ok=True)
    tool.write_text(f'#!/bin/sh\n{check}\nexec {program} "$@"\n')
    tool.chmod(0o755)
