"""What the numbers were measured on: the machine's mood before the first of them, and the disk."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Mood", "file_system", "mood"]


@dataclass(frozen=True, slots=True)
class Mood:
    """How busy the machine was: the idle share of all cores' time (0 to 1), and the load over 1, 5 and 15 minutes."""

    idle: float
    load: tuple[float, float, float]

    def __str__(self) -> str:
        load = ", ".join(f"{value:.1f}" for value in self.load)
        return f"{self.idle:.0%} idle and load {load} before it began"


def mood(seconds: float = 2.0) -> Mood:
    """Look on for so long, while nothing is measured."""
    idle, total = _times()
    time.sleep(seconds)
    idle_then, total_then = _times()
    return Mood((idle_then - idle) / max(1, total_then - total), os.getloadavg())


def file_system(folder: Path) -> str:
    """Its type, device and mount options, by the longest mount point above the folder (proc(5), ``mounts``)."""
    mounts = (line.split()[:4] for line in Path("/proc/mounts").read_text("utf-8").splitlines())
    # Of two on the same point, the later one is what is seen.
    found = [
        (len(point), number, kind, device, options)
        for number, (device, point, kind, options) in enumerate(mounts)
        if folder.resolve().is_relative_to(point)
    ]
    _, _, kind, device, options = max(found)
    return f"{kind} on {device} ({options})"


def _times() -> tuple[int, int]:
    """Ticks that all cores were idle, and all ticks (proc(5), ``stat``): what waits for the disk is not idle."""
    ticks = [int(field) for field in Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:9]]
    return ticks[3], sum(ticks)
