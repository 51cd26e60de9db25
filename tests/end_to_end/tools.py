"""A host's tools, as a directory that is all of its PATH: some are missing, and some wait to be told to go on."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["HeldTool", "hold_tool", "link_tools"]

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


@dataclass(frozen=True, slots=True)
class HeldTool:
    """A tool that waits until it is let go, two minutes at most; the file ``goes`` lets it."""

    waits: Path
    goes: Path

    def is_waiting(self) -> bool:
        """Whether it has begun to wait."""
        return self.waits.exists()

    def let_go(self) -> None:
        """It does its work now."""
        self.goes.touch()


def hold_tool(directory: Path, name: str, arguments: str, *, program: str | None = None) -> HeldTool:
    """Let a tool wait before it does anything with ``arguments``, a pattern of the shell.

    ``program`` is the tool, if it is none of those linked.
    """
    held = HeldTool(directory / f"{name}-waits", directory / f"{name}-goes")
    wait = f': >"{held.waits}"; n=0; until [ -e "{held.goes}" ] || [ $n = 6000 ]; do n=$((n + 1)); sleep 0.02; done'
    check = f'case "$*" in "--exchange "*) exit 1;; {arguments}) {wait};; esac'
    _replace(directory / name, check, program or shutil.which(name))
    return held


def _replace(tool: Path, check: str, program: str | None) -> None:
    tool.unlink(missing_ok=True)
    tool.write_text(f'#!/bin/sh\n{check}\nexec {program} "$@"\n')
    tool.chmod(0o755)
