"""One measured run of real commands: seconds by the wall clock, the largest process, bytes on the line."""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.relay import Relay

__all__ = ["Pipeline", "Reading", "RunFailed", "median", "run"]

# Commands whose output feeds the next one's input, as a shell's ``a | b``.
Pipeline = tuple[tuple[str, ...], ...]


class RunFailed(Exception):
    """A measured command failed or took too long; the text has the end of its output."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one run took. ``peak`` is the largest resident size of one of its processes, in bytes."""

    seconds: float
    peak: int
    sent: int = 0
    received: int = 0


def run(pipelines: Sequence[Pipeline], log: Path, *relays: Relay, limit: float = 300) -> Reading:
    """Run the pipelines one after another and measure them together; none may take longer than ``limit`` seconds.

    ``log`` receives their output; the bytes are those through all ``relays``. Raises RunFailed.
    """
    before = _carried(relays)
    start = time.perf_counter()
    with log.open("wb") as output:
        peaks = [_run_one(pipeline, output, log, limit) for pipeline in pipelines]
    seconds = time.perf_counter() - start
    sent, received = (now - then for now, then in zip(_carried(relays), before, strict=True))
    return Reading(seconds, max(peaks), sent, received)


def median(readings: Sequence[Reading]) -> Reading:
    """The median of each number on its own."""
    return Reading(
        statistics.median(reading.seconds for reading in readings),
        max(reading.peak for reading in readings),
        int(statistics.median(reading.sent for reading in readings)),
        int(statistics.median(reading.received for reading in readings)),
    )


def _carried(relays: Sequence[Relay]) -> tuple[int, int]:
    traffic = [relay.traffic() for relay in relays]
    return sum(each.sent for each in traffic), sum(each.received for each in traffic)


def _run_one(pipeline: Pipeline, output: IO[bytes], log: Path, limit: float) -> int:
    processes: list[subprocess.Popen[bytes]] = []
    source: IO[bytes] | int = subprocess.DEVNULL
    for number, command in enumerate(pipeline, start=1):
        target = output if number == len(pipeline) else subprocess.PIPE
        processes.append(subprocess.Popen(command, stdin=source, stdout=target, stderr=output))
        if not isinstance(source, int):
            source.close()
        source = processes[-1].stdout or subprocess.DEVNULL
    timer = threading.Timer(limit, _kill, (processes,))
    timer.start()
    try:
        return max(_wait(process, log) for process in processes)
    finally:
        timer.cancel()


def _kill(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()


def _wait(process: subprocess.Popen[bytes], log: Path) -> int:
    """The process's peak; Linux counts ``ru_maxrss`` in kilobytes and starts it at the size of the one that forked."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        tail = log.read_bytes()[-2000:].decode(errors="replace")
        name = Path(str(process.args[0] if isinstance(process.args, tuple) else process.args)).name
        raise RunFailed(f"{name} ended with {process.returncode}:\n{tail}")
    return usage.ru_maxrss * 1024
