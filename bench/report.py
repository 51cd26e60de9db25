"""The tables, as Markdown that reads well on a terminal too."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.cases import BARE_SSH, LINK_RATE, ROUND_TRIP, Case, Check
from bench.contenders import RSYNC
from bench.machine import Mood, file_system
from bench.measure import Reading
from bench.site import Shape

__all__ = ["case_section", "comparison", "introduction", "table"]


def introduction(shape: Shape, size: int, runs: int, folder: Path, before: Mood) -> str:
    """What was measured, and on what; ``before`` is how busy the machine was with other things."""
    kernel, python = f"{platform.system()} {platform.release()}", f"Python {platform.python_version()}"
    tools = f"{_first_line('ssh', '-V')}; {_first_line('rsync', '--version')}"
    return f"""# Benchmarks

Written by `python -m bench --write`; every number of a table comes from the same run.

- The site: {shape.files:,} files, {size / 1e6:.0f} MB, of which {shape.binaries:,} files are incompressible and
  {shape.pages:,} are pages with a shared footer. Every build gives all files fresh modification times, as in CI.
- The link: {ROUND_TRIP * 1e3:.0f} ms round trip and {LINK_RATE} Mbit/s each way; a relay in front of a
  real OpenSSH server. "sent" and "received" are bytes on the link.
- Medians of {runs} runs (one for tar and scp, which cost the same in every case), the contenders in turn. Each keeps its
  own target on the server, and what it deployed is compared with the site. Before each run the source is read once:
  a build would just have written it. All files are on {file_system(folder)}.
- The swap is a second `ssh` that renames a link over the live one; tar does it in its own connection. rsync goes into
  the same folder every time, so its files change while visitors read them; deployer's releases are whole.
- The machine: {os.cpu_count()} cores, {kernel}, {python}, {before}.
  {tools}.
"""


def case_section(case: Case, readings: dict[str, Reading], checks: Sequence[Check]) -> str:
    """One case: a row per contender, then the targets."""
    base, ssh = readings[RSYNC].seconds, readings[BARE_SSH].seconds
    rows = [
        (
            name,
            f"{reading.seconds:.2f}",
            f"{reading.seconds / base:.2f}",
            f"{reading.seconds / ssh:.1f}",
            f"{reading.sent / 1e6:.2f}",
            f"{reading.received / 1e6:.2f}",
        )
        for name, reading in readings.items()
    ]
    columns = ("", "seconds", f"x {RSYNC}", "x ssh true", "sent MB", "received MB")
    lines = "\n".join(f"- {check.text}: **{check.verdict}**" for check in checks)
    return f"## {case.title[0].upper()}{case.title[1:]}\n\n{table(columns, rows)}\n\n{lines}\n"


def comparison(base: str, rows: Sequence[tuple[str, Reading, Reading]]) -> str:
    """A row per reading: its name, itself, and the one that it is compared with, which ``base`` names."""
    columns = ("", "seconds", f"x {base}", "sent MB", "received MB", "memory MB")
    return table(columns, [_compared(*row) for row in rows])


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with the first column to the left and the others to the right."""
    widths = [max(len(row[number]) for row in [columns, *rows]) for number in range(len(columns))]

    def line(row: Sequence[str]) -> str:
        first, *others = zip(row, widths, strict=True)
        return "| " + " | ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]) + " |"

    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return "\n".join([line(columns), rule, *map(line, rows)])


def _compared(name: str, reading: Reading, base: Reading) -> tuple[str, ...]:
    return (
        name,
        f"{reading.seconds:.2f}",
        f"{reading.seconds / base.seconds:.2f}",
        f"{reading.sent / 1e6:.2f}",
        f"{reading.received / 1e6:.2f}",
        f"{reading.peak / 1e6:.0f}",
    )


def _first_line(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return " ".join((done.stdout or done.stderr).splitlines()[0].split()).removesuffix(",")
