"""``python -m bench.roll``: replace a container again and again under load, in several ways, and count what failed."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import report
from bench.cases import ROUND_TRIP
from bench.machine import Mood, mood
from bench.measure import RunFailed
from bench.page import PAGE, write_part, write_section
from bench.roll.contenders import DRAIN, SETTLE, Contender, Deployer, Plain, ScaleUp
from bench.roll.ground import Application, Ground
from bench.roll.own import OWN_HEADING, own_time, unchanged
from bench.roll.visitors import PATTERNS, Count, Visitors
from tests.engine import Engine
from tests.relay import Relay
from tests.sshd import Sshd

__all__ = ["main"]

ABRUPT = Application("dies at once on SIGTERM", "")
WARMING = Application("answers 503 for its first 3 s", "warming")
GRACEFUL = Application("stops gracefully", "graceful")
UNLIMITED = 12
"""Rolls of those that nothing is promised for: what they lose shows soon."""
SECTIONS = ("files", "dns", "labels", "own")


@dataclass(slots=True)
class Row:
    """What became of one contender's rolls of one application; ``limit`` is how many requests may fail, if that is said."""

    contender: str
    application: Application
    limit: int | None
    seconds: list[float] = field(default_factory=list)
    count: Count = field(default_factory=Count)

    def cells(self) -> tuple[str, ...]:
        """The table's row."""
        return (
            f"{self.contender}; {self.application.title}",
            str(len(self.seconds)),
            f"{self.count.requests:,}",
            f"{self.count.failed:,}",
            f"{statistics.median(self.seconds):.1f}",
            self.count.kinds(),
        )

    def verdict(self) -> str:
        """Whether the target is met; empty where there is none."""
        if self.limit is None:
            return ""
        word = "met" if self.count.failed <= self.limit else "MISSED"
        title = f"{self.contender}, an application that {self.application.title}"
        failed = f"{self.count.failed:,} failed requests in {len(self.seconds)} rolls"
        return f"- {title}: {failed}; target {self.limit}: **{word}**"


def measure(ground: Ground, contender: Contender, application: Application, rolls: int, limit: int | None) -> Row:
    """Roll so often, one after the other, the patterns of visitors in turn."""
    row = Row(contender.name, application, limit)
    contender.prepare(ground, application)
    each = max(1, rolls // len(PATTERNS))
    number = 1
    for pattern in PATTERNS:
        with Visitors(ground.address, pattern) as visitors:
            for _ in range(each):
                row.seconds.append(contender.roll(ground, number))
                number += 1
        row.count.add(visitors.count)
        print(
            f"  {pattern.title}: {visitors.count.requests:,} requests, {visitors.count.failed:,} failed",
            file=sys.stderr,
        )
    return row


class Bench:
    """One run; ``sections`` measures what was asked for."""

    def __init__(self, ground: Ground, server: Sshd, relay: Relay, options: argparse.Namespace) -> None:
        self._ground, self._options = ground, options
        self._files = Deployer(server, relay, traefik=True)
        self._names = Deployer(server, relay, traefik=False)

    def sections(self) -> Iterator[str]:
        """The report, a section at a time."""
        before = mood()
        if self._options.only != ["own"]:
            yield introduction(self._options.rolls, before)
        if rows := [*self._rows()]:
            columns = ("", "rolls", "requests", "failed", "seconds a roll", "which")
            yield f"{report.table(columns, [row.cells() for row in rows])}\n"
            yield "".join(f"{verdict}\n" for row in rows if (verdict := row.verdict()))
        if "own" in self._options.only:
            yield own_time(self._ground, self._files, ABRUPT, 3 if self._options.rolls < 30 else 5, before)
            yield unchanged(self._ground, self._files)

    def _rows(self) -> Iterator[Row]:
        table: tuple[tuple[str, Contender, Application, int | None], ...] = (
            ("files", self._files, ABRUPT, 0),
            ("files", self._files, WARMING, 0),
            ("dns", self._names, GRACEFUL, 0),
            ("dns", self._names, ABRUPT, None),
            *(("labels", peer, kind, None) for peer in (ScaleUp(), Plain()) for kind in (ABRUPT, WARMING)),
        )
        for section, contender, application, limit in table:
            if section in self._options.only:
                print(f"{contender.name}, {application.title}", file=sys.stderr)
                rolls = self._options.rolls
                yield measure(
                    self._ground, contender, application, min(rolls, UNLIMITED) if limit is None else rolls, limit
                )


def introduction(rolls: int, before: Mood) -> str:
    """What was measured, and on what."""
    patterns = "; ".join(pattern.title for pattern in PATTERNS)
    machine = f"{os.cpu_count()} cores; {platform.system()} {platform.release()}, {before}"
    return f"""## Replacing containers

Written by `python -m bench.roll --write`; every number comes from the same run, but for deployer's own time.

- {rolls} rolls of one container ({min(rolls, UNLIMITED)} where there is no target), one right after the other, behind
  Traefik 3 in a container, while `wrk` asks as fast as it is answered, on these connections in turn: {patterns}.
- Beside it, one answer that takes 5 s is always on its way. A failed request is one that got another status than 200,
  another body than was posted, or no whole answer.
- deployer comes over SSH with {ROUND_TRIP * 1e3:.0f} ms round trip, and drains for {DRAIN} s and settles for {SETTLE} s.
  The others run on the server itself.
- "Scale up, then remove" is the published procedure: twice the replicas, wait until the new ones are healthy, remove
  the old ones.
- Visitors, proxy, containers, server and deployer share {machine}.
"""


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.roll", description=__doc__)
    parser.add_argument("--rolls", type=int, default=30, help="rolls of each that has a target (default: 30)")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="only these (default: all)")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}: its part, or only the section `own`")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure and print; the result is the exit code."""
    options = _options(arguments)
    if os.geteuid() != 0:
        print("bench.roll: only root can start a Docker engine for it", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the engine and its containers must not stay
    text = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deployer-bench-")))
        engine = stack.enter_context(Engine())
        server = stack.enter_context(Sshd(folder, config=engine.sshd_config))
        relay = stack.enter_context(Relay(server.port, rtt=ROUND_TRIP))
        try:
            for section in Bench(Ground(folder, engine), server, relay, options).sections():
                print(section, flush=True)
                text.append(section)
        except RunFailed as error:
            print(f"bench.roll: {error}", file=sys.stderr)
            return 1
    if options.write:
        if options.only == ["own"]:
            write_section("bench.roll", OWN_HEADING, "\n".join(text))
        else:
            write_part("bench.roll", "\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
