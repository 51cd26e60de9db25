"""Hosts that lack something, for deploys on this machine: directories of programs to put into PATH."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.conftest import need

__all__ = ["NOBODY", "busybox_programs", "ordinary_user", "programs_without", "wrap_shell"]

NOBODY = 65534  # user and group


def programs_without(directory: Path, *hidden: str) -> str:
    """A PATH with every program of this machine's but the hidden ones."""
    directory.mkdir()
    for folder in [*os.environ["PATH"].split(os.pathsep), "/usr/bin", "/bin", "/usr/sbin", "/sbin"]:
        for program in Path(folder).iterdir() if Path(folder).is_dir() else ():
            link = directory / program.name
            if program.name not in hidden and not link.is_symlink():
                link.symlink_to(program)
    return str(directory)


def busybox_programs(directory: Path, *hidden: str) -> str:
    """A PATH with BusyBox's applets and nothing else, its shell included."""
    busybox = need("busybox", "to be a host without GNU programs")
    directory.mkdir()
    subprocess.run([busybox, "--install", "-s", str(directory)], check=True)
    for name in hidden:
        (directory / name).unlink(missing_ok=True)
    return str(directory)


def wrap_shell(directory: Path, text: str, path: str = "") -> str:
    """A PATH whose ``sh`` runs ``text`` first and then, unless that ends it, the real shell; ``path`` is the rest of it."""
    directory.mkdir()
    shell = directory / "sh"
    shell.write_text(f'#!/bin/sh\n{text}\nexec /bin/sh "$@"\n')
    shell.chmod(0o755)
    return os.pathsep.join([str(directory), path or os.environ["PATH"]])


def ordinary_user(directory: Path, path: str = "") -> str:
    """A PATH whose ``sh`` gives up root's rights for nobody's; for a tester who has none, the PATH as it is.

    ``directory`` must be one that nobody may enter.
    """
    if os.geteuid() != 0:
        return path or os.environ["PATH"]
    setpriv = need("setpriv", "to be an ordinary user on the host")
    drop = f"{setpriv} --reuid={NOBODY} --regid={NOBODY} --clear-groups --inh-caps=-all --bounding-set=-all"
    return wrap_shell(directory, f'exec {drop} /bin/sh "$@"', path)
