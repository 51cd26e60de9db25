"""What is not about the link: the client's memory with one huge file, and what ``deployer --version`` imports."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

__all__ = ["IMPORT_LIMIT", "MEMORY_LIMIT", "import_milliseconds", "make_big_file", "room_for"]

MEMORY_LIMIT = 150_000_000  # bytes
IMPORT_LIMIT = 100.0  # milliseconds
MEBIBYTE = 1024 * 1024
BLOCKS = 64


def room_for(folder: Path, size: int) -> bool:
    """Whether the file fits three times, as source, on its way and live, with a tenth to spare."""
    return shutil.disk_usage(folder).free > 3.3 * size


def make_big_file(path: Path, size: int, seed: int = 1) -> None:
    """Write ``size`` bytes, a multiple of 64 MiB: one incompressible block of 64 MiB again and again.

    The block is wider than the window of any compressor that may be used, so nothing of the repetition is found.
    """
    rng = random.Random(seed)
    with path.open("w+b") as file:
        for _ in range(BLOCKS):
            file.write(rng.randbytes(MEBIBYTE))
        for offset in range(0, size - BLOCKS * MEBIBYTE, MEBIBYTE):
            file.seek(offset % (BLOCKS * MEBIBYTE))
            piece = file.read(MEBIBYTE)
            file.seek(0, os.SEEK_END)
            file.write(piece)


def import_milliseconds(runs: int = 5) -> float:
    """The median of what the modules that ``deployer --version`` imports take by themselves.

    Modules that a bare interpreter imports too are left out.
    """
    bare = set(_import_times("-c", "pass"))
    _import_times("-m", "deployer", "--version")
    totals = []
    for _ in range(runs):
        times = _import_times("-m", "deployer", "--version")
        totals.append(sum(micros for name, micros in times.items() if name not in bare) / 1000)
    return statistics.median(totals)


def _import_times(*arguments: str) -> dict[str, int]:
    """Each imported module's own time in microseconds, from the lines ``self | total | name`` of -X importtime."""
    command = [sys.executable, "-X", "importtime", *arguments]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stderr.splitlines()
    columns = (line.removeprefix("import time:").split("|") for line in lines if line.startswith("import time:"))
    return {name.strip(): int(own) for own, _, name in columns if own.strip().isdigit()}
