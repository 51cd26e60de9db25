"""100,000 files: deployer beside rsync, and beside itself with a tenth of them, because its cost should grow linearly."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import contenders, report
from bench.cases import BY_NAME, Case
from bench.contenders import DEPLOYER, RSYNC, Contender
from bench.measure import Reading
from bench.server import Address
from bench.site import Shape, Site
from tests.relay import Relay

__all__ = ["section"]

TIMES = 10
SMALL = Shape(pages=8_000, binaries=2_000, text_size=1_000, binary_size=8_000)
QUICK = replace(SMALL, pages=160, binaries=40)
CASES = ("new", "same", "ten")
SECONDS = 1_200.0  # for one deploy
# What the source, rsync's copy and deployer's releases need, by the files of both sites. Links of one file cost nothing,
# but nearly every page has a directory of its own, in each release anew.
DISK, INODES = 45_000, 8


@dataclass(frozen=True, slots=True)
class _Measured:
    """One case: rsync and deployer with all files, and deployer with a tenth of them."""

    case: Case
    rsync: Reading
    deployer: Reading
    tenth: Reading


def section(folder: Path, address: Address, relay: Relay, *, quick: bool = False) -> str:
    """Make both sites in ``folder``, measure each case once, and say how cost grows with the number of files.

    Raises RunFailed, and AssertionError when what was deployed is not the site.
    """
    shape = QUICK if quick else SMALL
    large = replace(shape, pages=shape.pages * TIMES, binaries=shape.binaries * TIMES)
    title = f"## {large.files:,} files\n\n"
    if lacking := _lacking(folder, large.files + shape.files):
        return f"{title}Not measured: {lacking}\n"
    whole, tenth = (
        Site(folder / name, each, int(time.time()) - 86_400) for name, each in (("large", large), ("small", shape))
    )
    for site in (whole, tenth):
        site.make()
    measured = [*_measure(whole, tenth, folder, address, relay)]
    return f"{title}{_about(whole, tenth)}\n\n{_beside_rsync(measured)}\n\n{_growth(measured, whole, tenth)}\n"


def _measure(whole: Site, tenth: Site, folder: Path, address: Address, relay: Relay) -> Iterator[_Measured]:
    rsync = contenders.peers(address, folder / "www-large")[0]
    ours, less = (contenders.deployer(address, folder / name / "deployer") for name in ("www-large", "www-small"))

    def deploy(contender: Contender, site: Site, case: Case) -> Reading:
        if case.from_nothing:
            contender.empty()
        return contender.deploy(site, folder / "log", relay, limit=SECONDS)

    for case in map(BY_NAME.__getitem__, CASES):
        for site in (whole, tenth):
            case.change(site)
        yield _Measured(case, deploy(rsync, whole, case), deploy(ours, whole, case), deploy(less, tenth, case))


def _about(whole: Site, tenth: Site) -> str:
    return (
        f"A site of the same shape with smaller files: {whole.shape.files:,} files, {whole.size() / 1e6:.0f} MB; one of "
        f"{tenth.shape.files:,} files,\n{tenth.size() / 1e6:.0f} MB, shows how cost grows. "
        f'One run each. "memory" is the client\'s largest process.'
    )


def _beside_rsync(measured: Sequence[_Measured]) -> str:
    rows = [
        (f"{each.case.title}: {name}", reading, each.rsync)
        for each in measured
        for name, reading in ((RSYNC, each.rsync), (DEPLOYER, each.deployer))
    ]
    return report.comparison(RSYNC, rows)


def _growth(measured: Sequence[_Measured], whole: Site, tenth: Site) -> str:
    """What does not depend on the files (connecting, a bare interpreter) only makes it less than ten times as much."""
    rows = []
    for each in measured:
        seconds, memory = (each.tenth.seconds, each.deployer.seconds), (each.tenth.peak / 1e6, each.deployer.peak / 1e6)
        for name, unit, digits, (less, more) in (("seconds", "s", 2, seconds), ("memory", "MB", 0, memory)):
            verdict = "met" if more <= TIMES * less else "**MISSED**"
            numbers = (f"{less:.{digits}f} {unit}", f"{more:.{digits}f} {unit}", f"{more / less:.2f}")
            rows.append((f"{each.case.title}: {name}", *numbers, f"<= {TIMES}", verdict))
    return report.table(("deployer run", f"{tenth.shape.files:,}", f"{whole.shape.files:,}", "x", "target", ""), rows)


def _lacking(folder: Path, files: int) -> str:
    """What the disk has too little of; file systems without a table of inodes count none."""
    disk = os.statvfs(folder)
    space, inodes = disk.f_bavail * disk.f_frsize, disk.f_favail
    if space < files * DISK:
        return f"it takes {files * DISK / 1e9:.1f} GB of disk space, and there are {space / 1e9:.1f} GB."
    if disk.f_files and inodes < files * INODES:
        return f"it takes {files * INODES:,} inodes, and the disk has {inodes:,} left."
    return ""
