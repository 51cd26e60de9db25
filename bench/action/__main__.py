"""``python -m bench.action``: a step with the action beside a step with ssh-keyscan, an agent and rsync, in one workflow."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import report
from bench.cases import ROUND_TRIP
from bench.machine import mood
from bench.page import PAGE, write_part
from tests.action.workspace import USES, Workspace, login, secrets
from tests.relay import Relay
from tests.sshd import Sshd

__all__ = ["main"]

PAGES = 200
INSTALL, START, WHOLE = 3.5, 0.6, 5.0  # seconds: what the action has promised
_PEER = """\
mkdir -p "$RUNNER_TEMP/ssh"
eval "$(ssh-agent)" >/dev/null
ssh-add -q - <<<"$KEY"
ssh-keyscan -p "$PORT" 127.0.0.1 >"$RUNNER_TEMP/ssh/known_hosts" 2>/dev/null
ssh="ssh -F /dev/null -o UserKnownHostsFile=$RUNNER_TEMP/ssh/known_hosts -p $PORT"
rsync -az --delete -e "$ssh" public/ "$LOGIN:$TARGET/"
kill "$SSH_AGENT_PID"
"""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one step: until its first byte went to the server, and in all; ``install`` is what it said itself."""

    first: float
    whole: float
    install: float = 0.0


class _FirstByte:
    """Looks every few milliseconds whether anything went through the relay, until it did."""

    def __init__(self, relay: Relay) -> None:
        self._relay, self._sent = relay, relay.traffic().sent
        self.at = 0.0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ending.wait(0.003):
            if self._relay.traffic().sent > self._sent:
                self.at = time.time()
                return

    def stop(self) -> None:
        self._ending.set()
        self._thread.join()


def measure(workspace: Workspace, relay: Relay, known: Mapping[str, str], step: Mapping[str, Any]) -> Timing:
    """Run a workflow of this step alone, between two that note the time."""
    begin, end = (workspace.results / name for name in ("begin", "end"))
    steps = [
        {"uses": "actions/checkout@v4"},
        {"run": f"date +%s.%N >'{begin}'"},
        step,
        {"run": f"date +%s.%N >'{end}'"},
    ]
    watch = _FirstByte(relay)
    log = workspace.act(steps, secrets=known)
    watch.stop()
    began, ended = (float(path.read_text("ascii")) for path in (begin, end))
    said = re.search(r"hashes checked \(([0-9.]+) s\)", log)
    return Timing(watch.at - began, ended - began, float(said[1]) if said else 0.0)


def section(runs: int) -> str:
    """Measure both, in turn, and describe it."""
    before = mood()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deployer-bench-")))
        server = stack.enter_context(Sshd(folder))
        relay = stack.enter_context(Relay(server.port, rtt=ROUND_TRIP))
        workspace = Workspace(folder)
        for number in range(PAGES):
            workspace.write(f"public/{number}.html", f"<p>{number}</p>\n" * 200)
        known = secrets(server)
        ours = {"uses": USES, "with": login(server, folder / "www" / "ours", port=str(relay.port))}
        place = {"PORT": str(relay.port), "LOGIN": f"{server.user}@127.0.0.1", "TARGET": str(folder / "www" / "theirs")}
        theirs = {"run": _PEER, "shell": "bash", "env": {"KEY": "${{ secrets.SERVER_KEY }}", **place}}
        (folder / "www" / "theirs").mkdir(parents=True)
        timings: dict[str, list[Timing]] = {"ours": [], "theirs": []}
        for number in range(runs + 1):
            for name, step in (("ours", ours), ("theirs", theirs)):
                timing = measure(workspace, relay, known, step)
                if number:  # the first one deploys; from then on nothing is changed
                    timings[name].append(timing)
    return _describe(timings["ours"], timings["theirs"], runs, str(before))


def _describe(ours: Sequence[Timing], theirs: Sequence[Timing], runs: int, before: str) -> str:
    install = statistics.median(each.install for each in ours)
    start = statistics.median(each.first - each.install for each in ours)
    whole = statistics.median(each.whole for each in ours)
    peer_first, peer_whole = (statistics.median(getattr(each, name) for each in theirs) for name in ("first", "whole"))
    rows = [
        ("the action: install", f"{install:.2f}", f"<= {INSTALL}", _verdict(install, INSTALL)),
        (
            "the action: start, until the first byte to the server",
            f"{start:.2f}",
            f"<= {START}",
            _verdict(start, START),
        ),
        ("the action: the whole step", f"{whole:.2f}", f"<= {WHOLE:.0f}", _verdict(whole, WHOLE)),
        ("ssh-keyscan, agent, rsync: until the first byte", f"{peer_first:.2f}", "", ""),
        ("ssh-keyscan, agent, rsync: the whole step", f"{peer_whole:.2f}", "", ""),
    ]
    machine = f"{os.cpu_count()} cores; {platform.system()} {platform.release()}, {before}"
    return f"""## The action

Written by `python -m bench.action --write`; every number comes from the same run.

- A workflow's step that deploys a site of {PAGES + 1} pages of which nothing has changed, run by `act` on this machine
  itself, over {ROUND_TRIP * 1e3:.0f} ms round trip. Medians of {runs} runs, in turn with the recipe that it replaces:
  `ssh-keyscan`, an agent, `rsync -az --delete`.
- Packages come from a near mirror, and none from a cache. The recipe installs nothing, trusts whoever answers, and
  measures, checks and keeps nothing.
- The machine: {machine}.

{report.table(("", "seconds", "target", ""), rows)}
"""


def _verdict(seconds: float, limit: float) -> str:
    return "met" if seconds <= limit else "MISSED"


def main(arguments: Sequence[str]) -> int:
    """Measure and print; the result is the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.action", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each (default: 5)")
    parser.add_argument("--write", action="store_true", help=f"write its part of {PAGE.name}")
    options = parser.parse_args(arguments)
    text = section(options.runs)
    print(text)
    if options.write:
        write_part("bench.action", text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
