"""``python -m bench``: all contenders over the same slow link in one run, and the targets beside them."""

from __future__ import annotations

import argparse
import compileall
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import contenders, hosts, huge, limits, report, slow
from bench.cases import BARE_SSH, CASES, LINK_RATE, ROUND_TRIP, Case, checks
from bench.contenders import DEPLOYER, Contender
from bench.machine import mood
from bench.measure import Reading, RunFailed, median, run
from bench.page import PAGE, write_part
from bench.server import address_of, start_server
from bench.site import Shape, Site
from tests.relay import Relay
from tests.sshd import Sshd

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
QUICK = Shape(pages=800, binaries=200)
SPECIAL = ("scp", "slow", "hosts", "huge", "big", "imports")
SCP_FILES = 200
BIG_SIZE = 4 * 1024**3


class Bench:
    """One run over one site: it knows the folders, the server, the relay and what was measured so far."""

    def __init__(self, folder: Path, server: Sshd, relay: Relay, options: argparse.Namespace) -> None:
        """Make the site below ``folder``; the server's targets are there too."""
        self.folder, self.server, self.relay = folder, server, relay
        self.before = mood()
        self.runs: int = options.runs
        self.cases: list[str] = options.cases
        self.quick: bool = options.quick
        self.big_size = BIG_SIZE // 16 if self.quick else BIG_SIZE
        self.site = Site(folder / "source", QUICK if self.quick else Shape(), int(time.time()) - 86_400)
        self.address = address_of(server, relay.port)
        self.contenders = contenders.peers(self.address, folder / "www")
        if contenders.deployer_exists():
            self.contenders.append(contenders.deployer(self.address, folder / "www" / "deployer"))
        self.scp: float | None = None
        self.peak = 0

    def sections(self) -> Iterator[str]:
        """Measure everything that was asked for, a section of the report at a time."""
        self.site.make()
        yield report.introduction(self.site.shape, self.site.size(), self.runs, self.folder, self.before)
        if self.quick:
            yield "A quick run: the targets are those of the full site, and too tight for a small one.\n"
        if not contenders.deployer_exists():
            yield "deployer: not there yet\n"
        if "scp" in self.cases:
            yield self._measure_scp()
        selected = [case for case in CASES if case.name in self.cases]
        if selected and not selected[0].from_nothing:
            self._deploy_unmeasured()
        for case in selected:
            readings = self._measure(case)
            yield report.case_section(case, readings, checks(case, readings, self.scp))
        if contenders.deployer_exists():
            # What the cases have deployed is removed: the sections behind them need room.
            shutil.rmtree(self.folder / "www", ignore_errors=True)
            # Before the large ones: a process counts as at least as large as the one that started it, which grows there.
            memory_and_imports = self._limits()
            yield from self._large_sections()
            yield from memory_and_imports

    def _measure_scp(self) -> str:
        part, home = self.folder / "part", self.folder / "www" / "scp"
        home.mkdir(parents=True)
        commands = contenders.scp_part(self.site, self.address, part, home, SCP_FILES)
        files = sum(path.is_file() for path in part.rglob("*"))
        reading = run(commands, self.folder / "log", self.relay)
        self.scp = reading.seconds * self.site.shape.files / files
        text = f"{files} files took {reading.seconds:.1f} s, so all would take {self.scp:.0f} s in every case."
        return f"## scp -r\n\n{text}\n"

    def _deploy_unmeasured(self) -> None:
        for contender in self.contenders:
            contender.empty()
            self._deploy(contender)

    def _measure(self, case: Case) -> dict[str, Reading]:
        """Every contender deploys the same builds, and another one begins each time; a bare ssh shows the machine's mood."""
        readings: dict[str, list[Reading]] = {name: [] for name in (*(each.name for each in self.contenders), BARE_SSH)}
        for number in range(self.runs):
            case.change(self.site)
            turn = number % len(self.contenders)
            for contender in [*self.contenders[turn:], *self.contenders[:turn]]:
                if contender.once and number > 0:
                    continue
                if case.from_nothing:
                    contender.empty()
                readings[contender.name].append(self._deploy(contender))
                readings[BARE_SSH].append(run(contenders.bare_ssh(self.address), self.folder / "log", self.relay))
        return {name: median(found) for name, found in readings.items()}

    def _deploy(self, contender: Contender) -> Reading:
        reading = contender.deploy(self.site, self.folder / "log", self.relay)
        if contender.name == DEPLOYER:
            self.peak = max(self.peak, reading.peak)
        return reading

    def _large_sections(self) -> Iterator[str]:
        """Those that need room: what each of them makes is removed after it."""
        if "slow" in self.cases:
            with tempfile.TemporaryDirectory(dir=self.folder) as name:
                yield slow.section(Path(name), self.server, self.site.shape.pages, self.runs)
        if "hosts" in self.cases:
            with tempfile.TemporaryDirectory(dir=self.folder) as name:
                yield hosts.section(self.site, Path(name), self.runs)
        if "huge" in self.cases:
            with tempfile.TemporaryDirectory(dir=self.folder) as name:
                yield huge.section(Path(name), self.address, self.relay, quick=self.quick)

    def _limits(self) -> list[str]:
        """The section, if anything of it was asked for."""
        rows = []
        if self.peak:
            rows.append(
                _limit(f"memory, {self.site.shape.files:,} files", self.peak / 1e6, limits.MEMORY_LIMIT / 1e6, "MB")
            )
        if "big" in self.cases:
            name = f"memory, one file of {self.big_size / 1024**3:g} GiB on loopback"
            if not limits.room_for(self.folder, self.big_size):
                rows.append((name, "not enough disk space", "", ""))
            else:
                reading = self._measure_big()
                name += f" ({reading.seconds:.0f} s)"
                rows.append(_limit(name, reading.peak / 1e6, limits.MEMORY_LIMIT / 1e6, "MB"))
        if "imports" in self.cases:
            name = "imports of `deployer --version`"
            rows.append(_limit(name, limits.import_milliseconds(), limits.IMPORT_LIMIT, "ms"))
        return [f"## Memory and imports\n\n{report.table(('', 'measured', 'target', ''), rows)}\n"] if rows else []

    def _measure_big(self) -> Reading:
        with tempfile.TemporaryDirectory(prefix="deployer-bench-", dir=self.folder.parent) as name:
            source = Path(name, "source")
            source.mkdir()
            limits.make_big_file(source / "film.bin", self.big_size)
            contender = contenders.deployer(address_of(self.server, self.server.port), Path(name, "www"))
            contender.empty()
            return run(contender.commands(source), self.folder / "log")


def _limit(name: str, measured: float, allowed: float, unit: str) -> tuple[str, str, str, str]:
    verdict = "met" if measured <= allowed else "**MISSED**"
    return name, f"{measured:.0f} {unit}", f"<= {allowed:.0f} {unit}", verdict


def _options(arguments: list[str]) -> argparse.Namespace:
    names = [*(case.name for case in CASES), *SPECIAL]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="sites of 1,000 and 2,000 files and a 256 MiB file: a smoke test"
    )
    parser.add_argument("--cases", nargs="+", choices=names, default=names, help="only these (default: all)")
    parser.add_argument("--runs", type=int, default=3, help="how often each contender runs in each case (default: 3)")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="where sites and targets are (default: %(default)s)",
    )
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Measure and print; the result is the exit code."""
    options = _options(arguments)
    # As pip does for its users; where PYTHONDONTWRITEBYTECODE is set, every measured run would compile anew.
    compileall.compile_dir(ROOT / "deployer", quiet=1)
    text = []
    with tempfile.TemporaryDirectory(prefix="deployer-bench-", dir=options.folder) as name:
        folder = Path(name)
        with start_server(folder) as server, Relay(server.port, rtt=ROUND_TRIP, rate=LINK_RATE) as relay:
            try:
                for section in Bench(folder, server, relay, options).sections():
                    print(section, flush=True)
                    text.append(section)
            except (RunFailed, AssertionError) as error:
                print(f"bench: {error}", file=sys.stderr)
                return 1
    if options.write:
        write_part("bench", "\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
