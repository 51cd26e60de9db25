"""Where this machine keeps the real programs that tests and benchmarks run against."""

from __future__ import annotations

import os
import shutil

__all__ = ["find"]

# Servers live where an ordinary user's PATH often does not look.
SERVER_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def find(program: str) -> str | None:
    """The absolute path of ``program``, or None."""
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *SERVER_FOLDERS]
    found = shutil.which(program, path=os.pathsep.join(folders))
    return os.path.abspath(found) if found else None  # noqa: PTH100  # a link is kept: BusyBox goes by its name
