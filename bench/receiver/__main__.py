"""``python -m bench.receiver``: how fast deliveries are taken and carried out, beside Debian's ``webhook``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import report
from bench.machine import mood
from bench.page import PAGE, write_part
from bench.receiver.history import fill, page_times
from bench.receiver.load import Deliveries, Rate
from tests.receiver.program import SECRET, Receiver, free_port, push

__all__ = ["main"]

CONNECTIONS = (1, 16, 64)
PER_SECOND, P99, FIRST_STEP, MEMORY = 1_000, 50.0, 100.0, 150.0
MANY = 1_000_000


def rates(folder: Path, seconds: int) -> list[tuple[str, int, Rate]]:
    """Both servers under the same deliveries, in turn."""
    deliveries = Deliveries(folder / "deliveries", SECRET, count=4_000 * seconds)
    found = []
    for connections in CONNECTIONS:
        with Receiver(folder / f"receiver-{connections}") as ours:
            url = f"http://127.0.0.1:{ours.port}/hooks/github"
            found.append(("receiver", connections, deliveries.run(url, seconds=seconds, connections=connections)))
            stored = _stored(ours)
            assert stored >= found[-1][2].requests, (stored, found[-1])
        if shutil.which("webhook"):
            with peer(folder) as url:
                found.append(("webhook", connections, deliveries.run(url, seconds=seconds, connections=connections)))
    return found


def _stored(ours: Receiver) -> float:
    text = ours.get("/metrics").body.decode()
    return sum(float(count) for count in re.findall(r'^receiver_deliveries_total\{event="push".*\} (\S+)$', text, re.M))


@contextlib.contextmanager
def peer(folder: Path) -> Iterator[str]:
    """Debian's ``webhook``, which verifies the same signature, runs /bin/true and stores nothing."""
    rule = {"match": {"type": "payload-hmac-sha256", "secret": SECRET} | _HEADER}
    hooks = [{"id": "github", "execute-command": "/bin/true", "trigger-rule": rule}]
    file = folder / "hooks.json"
    file.write_text(json.dumps(hooks), "utf-8")
    port = free_port()
    process = subprocess.Popen(
        ["webhook", "-hooks", str(file), "-ip", "127.0.0.1", "-port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(1)
    try:
        yield f"http://127.0.0.1:{port}/hooks/github"
    finally:
        process.terminate()
        process.wait(30)


_HEADER = {"parameter": {"source": "header", "name": "X-Hub-Signature-256"}}


def reactions(folder: Path, runs: int) -> tuple[list[float], float, float]:
    """Milliseconds from a delivery's request to its deploy's first step, MB of all processes, and their idle CPU seconds."""
    repository = folder / "repository"
    _git(folder, "init", "--quiet", "--initial-branch=main", str(repository))
    app = f'clone_url = "file://{repository}"'
    with Receiver(folder / "reactions", command="run", app=app) as ours:
        found = []
        for number in range(runs + 1):
            commit = _commit(repository, number)
            asked = time.time()
            (fate,) = ours.deliver(push(after=commit), guid=str(uuid.uuid4())).json["apps"]
            found.append((_first_step(ours.state / "logs" / f"{fate['job']}.jsonl") - asked) * 1e3)
            _settled(ours, fate["job"])
        assert ours.process is not None
        processes = _family(ours.process.pid)
        before, since = sum(map(_cpu, processes)), time.monotonic()
        time.sleep(20)
        idle = (sum(map(_cpu, processes)) - before) / (time.monotonic() - since)
        return found[1:], sum(map(_memory, processes)), idle


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _commit(repository: Path, number: int) -> str:
    (repository / "public").mkdir(exist_ok=True)
    (repository / "public" / "index.html").write_text(f"<p>{number}</p>\n", "utf-8")
    _git(repository, "add", "--all")
    _git(repository, "commit", "--quiet", "--message", f"Number {number}")
    return _git(repository, "rev-parse", "HEAD")


def _first_step(log: Path) -> float:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if log.exists():
            for line in log.read_text("utf-8").splitlines():
                entry = json.loads(line)
                if entry["kind"] == "step":
                    return float(entry["at"])
        time.sleep(0.001)
    raise TimeoutError(log)


def _settled(ours: Receiver, job: int) -> None:
    log = ours.state / "logs" / f"{job}.jsonl"
    deadline = time.monotonic() + 60
    while '"end"' not in log.read_text("utf-8"):
        if time.monotonic() > deadline:
            raise TimeoutError(log)
        time.sleep(0.05)


def _family(first: int) -> list[int]:
    children = {first}
    while True:
        more = {
            int(file.parent.name)
            for file in Path("/proc").glob("[0-9]*/stat")
            if (text := _read(file)) and int(text.rpartition(")")[2].split()[1]) in children
        }
        if more <= children:
            return sorted(children)
        children |= more


def _read(file: Path) -> str:
    try:
        return file.read_text("ascii", "replace")
    except OSError:
        return ""


def _cpu(process: int) -> float:
    fields = _read(Path(f"/proc/{process}/stat")).rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _memory(process: int) -> float:
    found = re.search(r"^Pss: +(\d+) kB", _read(Path(f"/proc/{process}/smaps_rollup")), re.MULTILINE)
    return int(found[1]) / 1e3 if found else 0.0


def section(folder: Path, seconds: int, runs: int, many: int) -> str:
    """Measure everything, and describe it."""
    before = mood()
    measured = rates(folder, seconds)
    times, memory, idle = reactions(folder, runs)
    tables = fill(folder / "many", many)
    return _describe(measured, times, memory, idle, page_times(tables, many), seconds, runs, many, str(before))


def _describe(
    measured: Sequence[tuple[str, int, Rate]],
    times: Sequence[float],
    memory: float,
    idle: float,
    pages: Sequence[tuple[str, float, float]],
    seconds: int,
    runs: int,
    many: int,
    before: str,
) -> str:
    ours = {connections: rate for name, connections, rate in measured if name == "receiver"}
    theirs = {connections: rate for name, connections, rate in measured if name == "webhook"}
    share = f", {ours[16].per_second / theirs[16].per_second:.2f} x webhook" if 16 in theirs else ""
    fast = _verdict(ours[16].per_second >= PER_SECOND)
    first = statistics.median(times)
    sized = [(name, f"{few:.2f} ms", f"{lots:.2f} ms") for name, few, lots in pages]
    return f"""## The receiver

Written by `python -m bench.receiver --write`; every number comes from the same run.

- Push events of 7.5 KB, each signed and under a fresh id, by `wrk` on this machine for {seconds} s. The receiver answers
  when a delivery is synced to the disk; Debian's `webhook` verifies the same signature, starts `/bin/true`, stores nothing.
- The machine: {os.cpu_count()} cores, {platform.system()} {platform.release()}, {before}. `wrk` takes its part of them.

{report.table(("", "connections", "a second", "failed", "p50 ms", "p99 ms", "longest ms"), _rows(measured))}

- {ours[16].per_second:,.0f} deliveries a second at 16 connections{share}; target >= {PER_SECOND:,}: {fast}
- p99 {ours[16].p99:.1f} ms at 16 connections; target <= {P99:.0f} ms: {_verdict(ours[16].p99 <= P99)}
- From the delivery's request to the first step of its deploy, idle: {first:.0f} ms (median of {runs}, longest
  {max(times):.0f} ms); target <= {FIRST_STEP:.0f} ms: {_verdict(first <= FIRST_STEP)}
- Memory of all processes (supervisor, web, worker), idle, after those deploys: {memory:.0f} MB (proportional set size);
  target <= {MEMORY:.0f} MB: {_verdict(memory <= MEMORY)}
- Processor time, idle: {idle * 100:.2f} % of a core

With {many:,} stored deliveries, beside an almost empty database:

{report.table(("", "1,000 stored", f"{many:,} stored"), sized)}
"""


def _rows(measured: Sequence[tuple[str, int, Rate]]) -> list[tuple[str, ...]]:
    return [
        (
            name, str(connections), f"{rate.per_second:,.0f}", str(rate.failed),
            f"{rate.p50:.1f}", f"{rate.p99:.1f}", f"{rate.longest:.0f}",
        )
        for name, connections, rate in measured
    ]  # fmt: skip


def _verdict(met: bool) -> str:  # a word for a fact
    return "**met**" if met else "**MISSED**"


def main(arguments: Sequence[str]) -> int:
    """Measure and print; the result is the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.receiver", description=__doc__)
    parser.add_argument("--seconds", type=int, default=15, help="of each load (default: 15)")
    parser.add_argument("--runs", type=int, default=15, help="deploys whose first step is waited for (default: 15)")
    parser.add_argument("--many", type=int, default=MANY, help=f"stored deliveries (default: {MANY:,})")
    parser.add_argument("--write", action="store_true", help=f"write its part of {PAGE.name}")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="deployer-bench-", dir=Path.home()) as folder:
        text = section(Path(folder), options.seconds, options.runs, options.many)
    print(text)
    if options.write:
        write_part("bench.receiver", text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
