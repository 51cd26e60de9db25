"""Git as the demos' authors use it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from demo.telling import Unexpected

__all__ = ["git"]


def git(folder: Path, *arguments: str) -> str:
    """Run git without the person's own configuration. Raises Unexpected with its words."""
    identity = {f"GIT_{role}_{part}": "demo" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    environment = os.environ | identity | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unexpected(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()
