"""One host beside three: real servers, each behind a link of its own, and each with its own view of the same target."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import report
from bench.cases import BY_NAME, LINK_RATE, ROUND_TRIP, Case
from bench.contenders import Contender
from bench.measure import Pipeline, Reading, median
from bench.server import start_server
from bench.share import can_share, share
from bench.site import Site
from tests.relay import Relay
from tests.sshd import Sshd

__all__ = ["section"]

TITLE = "## Three hosts\n\n"
COUNT = 3
LIMIT = 1.3  # so many times what one host takes
CASES = ("new", "same", "ten")
SHARE = 40  # percent of a core, so that three leave one of two cores nearly free for the client
OWN = f"""### Each host with its own share of a processor

Each host may use {SHARE} % of a core, whether it is the only one or one of three. So a host is slow, but as fast beside
others as alone, as separate machines are, and the difference is what several hosts cost deployer itself. They still
share one disk."""
SHARED = """### All on the same cores

Servers and deployer take what they get of one machine's cores, which have the work of three hosts to do. Separate
machines never see these figures; they are here because nothing is left out of them."""
# In the new namespace only: what a server's sessions see where the configuration says that the target is.
ISOLATE = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'


@dataclass(frozen=True, slots=True)
class _Host:
    """A server behind its link; ``files`` is what it shows as the directory of all targets."""

    server: Sshd
    relay: Relay
    files: Path


def section(site: Site, folder: Path, runs: int) -> str:
    """Measure ``runs`` deploys of each case to one host and to three; ``folder`` is theirs.

    Raises RunFailed, and AssertionError when a host has not got what was deployed.
    """
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return f"{TITLE}Not measured: only root can give each server a view of its own, and with `unshare`.\n"
    parts = [TITLE + _about()]
    for text, percent in ((OWN, SHARE), (SHARED, 0)):
        parts.append(text)
        if percent and not can_share():
            parts.append("Not measured: this machine lets nobody make control groups with a share of the processor.")
        else:
            place = folder / f"share-{percent}"
            place.mkdir()
            parts += _compared(site, place, runs, percent)
    return "\n\n".join(parts) + "\n"


def _compared(site: Site, folder: Path, runs: int, percent: int) -> tuple[str, str]:
    """The table and the verdicts of all cases."""
    rows, verdicts = [], []
    with _hosts(folder, percent) as hosts:
        one, several = _contender("one host", hosts[:1], folder), _contender("three hosts", hosts, folder)
        for case in map(BY_NAME.__getitem__, CASES):
            readings = _measure(case, site, {one: hosts[:1], several: hosts}, folder / "log", runs)
            rows += [(f"{case.title}: {each.name}", readings[each], readings[one]) for each in (one, several)]
            verdicts.append(_verdict(case, readings[one], readings[several]))
    shutil.rmtree(folder, ignore_errors=True)
    return report.comparison("one host", rows), "\n".join(verdicts)


def _measure(
    case: Case, site: Site, contenders: dict[Contender, Sequence[_Host]], log: Path, runs: int
) -> dict[Contender, Reading]:
    """As in the other cases: both deploy the same builds, and the other one begins each time."""
    readings: dict[Contender, list[Reading]] = {contender: [] for contender in contenders}
    for number in range(runs):
        case.change(site)
        for contender in list(contenders)[:: -1 if number % 2 else 1]:
            if case.from_nothing:
                contender.empty()
            relays = [host.relay for host in contenders[contender]]
            readings[contender].append(contender.deploy(site, log, *relays))
    return {contender: median(found) for contender, found in readings.items()}


def _about() -> str:
    return (
        f"The same site to one host and to {COUNT}: real OpenSSH servers, each behind a link of its own "
        f"({ROUND_TRIP * 1e3:.0f} ms and {LINK_RATE} Mbit/s each),\n"
        'and each with its own files at the target. "sent" and "received" are the bytes of all links, "memory" is the '
        "client's."
    )


def _verdict(case: Case, one: Reading, several: Reading) -> str:
    ratio = several.seconds / one.seconds
    verdict = "met" if ratio <= LIMIT else "MISSED"
    return f"- {case.title}: {ratio:.3f} x one host; target <= {LIMIT:.2f} x one host: **{verdict}**"


@contextlib.contextmanager
def _hosts(folder: Path, percent: int) -> Iterator[tuple[_Host, ...]]:
    """All hosts; each may use ``percent`` of a core, or as much as there is (0)."""
    shown = folder / "www"
    shown.mkdir()
    with contextlib.ExitStack() as stack:
        names = [f"host-{number}" for number in range(1, COUNT + 1)]
        # The groups end behind the servers in them.
        shares = [stack.enter_context(share(name, percent)) if percent else () for name in names]
        yield tuple(
            stack.enter_context(_host(folder / name, shown, own)) for name, own in zip(names, shares, strict=True)
        )


@contextlib.contextmanager
def _host(files: Path, shown: Path, own: tuple[str, ...]) -> Iterator[_Host]:
    """A server whose sessions find ``files`` at ``shown``; nobody else does. ``own`` gives it its share."""
    files.mkdir()
    enter = ("unshare", "--mount", "--propagation", "private", "sh", "-c", ISOLATE, "isolate", str(files), str(shown))
    with (
        start_server(shown.parent, before=(*own, *enter)) as server,
        Relay(server.port, rtt=ROUND_TRIP, rate=LINK_RATE) as relay,
    ):
        yield _Host(server, relay, files)


def _contender(name: str, hosts: Sequence[_Host], folder: Path) -> Contender:
    """``deployer run`` with a configuration that names the hosts; its target is one that no other contender has."""
    own = name.replace(" ", "-")
    config = folder / f"{own}.toml"

    def commands(source: Path) -> tuple[Pipeline, ...]:
        tables: list[tuple[str, dict[str, object]]] = [("[[host]]", _settings(host)) for host in hosts]
        tables.append(("[static]", {"source": str(source), "target": str(folder / "www" / own / "site")}))
        lines = [*_lines({"app": "bench", "strategy": "static"})]
        for head, settings in tables:
            lines += [head, *_lines(settings)]
        config.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        return (((sys.executable, "-m", "deployer", "run", "--json", "--config", str(config)),),)

    return Contender(name, tuple(host.files / own for host in hosts), commands)


def _settings(host: _Host) -> dict[str, object]:
    server, port = host.server, host.relay.port
    about = {"address": "127.0.0.1", "port": port, "user": server.user}
    return about | {"key": str(server.key_file), "host_key": [server.pin(port=port)]}


def _lines(settings: dict[str, object]) -> Iterator[str]:
    """Texts, numbers and lists of them are the same in TOML as in JSON."""
    return (f"{key} = {json.dumps(value)}" for key, value in settings.items())
