"""A slow link: what a new footer on every page costs where each byte counts, deployer beside rsync."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from bench import contenders, report
from bench.cases import BY_NAME, ROUND_TRIP
from bench.contenders import DEPLOYER, RSYNC, Contender
from bench.measure import Reading, median
from bench.server import Address, address_of
from bench.site import Shape, Site
from tests.relay import Relay
from tests.sshd import Sshd

__all__ = ["section"]

RATE = 10  # Mbit/s in each direction
CASES = ("footers", "ten")
LIMIT = 1.0  # so many times what rsync takes


def section(folder: Path, server: Sshd, pages: int, runs: int) -> str:
    """Measure ``runs`` deploys of each case of a site with so many pages, which is made in ``folder``.

    Raises RunFailed, and AssertionError when what was deployed is not the site.
    """
    site = Site(folder / "source", Shape(pages=pages, binaries=0), int(time.time()) - 86_400)
    site.make()
    for contender in _contenders(folder, address_of(server, server.port)):
        contender.empty()
        contender.deploy(site, folder / "log")
    rows, verdicts = [], []
    with Relay(server.port, rtt=ROUND_TRIP, rate=RATE) as relay:
        both = _contenders(folder, address_of(server, relay.port))
        for case in map(BY_NAME.__getitem__, CASES):
            readings: dict[str, list[Reading]] = {contender.name: [] for contender in both}
            for number in range(runs):
                case.change(site)
                for contender in both[:: -1 if number % 2 else 1]:
                    readings[contender.name].append(contender.deploy(site, folder / "log", relay))
            found = {name: median(each) for name, each in readings.items()}
            rows += [(f"{case.title}: {name}", reading, found[RSYNC]) for name, reading in found.items()]
            verdicts.append(_verdict(case.title, found))
    return "\n".join((_about(site), "", report.comparison(RSYNC, rows), "", *verdicts, ""))


def _contenders(folder: Path, address: Address) -> Sequence[Contender]:
    """The way that is taken is another one, the targets are the same."""
    return (
        next(each for each in contenders.peers(address, folder / "www") if each.name == RSYNC),
        contenders.deployer(address, folder / "www" / "deployer"),
    )


def _about(site: Site) -> str:
    return (
        f"## {RATE} Mbit/s\n\n"
        f"{site.shape.pages:,} pages, {site.size() / 1e6:.0f} MB, over a link of {RATE} Mbit/s each way and the same "
        f'round trip of {ROUND_TRIP * 1e3:.0f} ms. "memory" is the client\'s.'
    )


def _verdict(title: str, found: dict[str, Reading]) -> str:
    ratio = found[DEPLOYER].seconds / found[RSYNC].seconds
    verdict = "met" if ratio <= LIMIT else "MISSED"
    return f"- {title}: {ratio:.3f} x {RSYNC}; target <= {LIMIT:.2f} x {RSYNC}: **{verdict}**"
