"""Ways to put a folder live on a server: deployer and what people use today, each as the commands that a user types."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Pipeline, Reading, run
from bench.server import Address
from bench.site import Site
from tests.relay import Relay

__all__ = ["DEPLOYER", "RSYNC", "Contender", "bare_ssh", "deployer", "deployer_exists", "peers", "scp_part"]

DEPLOYER = "deployer run"
RSYNC = "rsync -az + swap"
SAMPLE = 37


@dataclass(frozen=True)
class Contender:
    """One way to deploy: its commands for a source folder, and the folder that is its own, on each server that it goes to.

    ``once`` marks one whose cost is the same in every run and large: it is measured once a case.
    """

    name: str
    homes: tuple[Path, ...]
    commands: Callable[[Path], tuple[Pipeline, ...]]
    once: bool = False

    def empty(self) -> None:
        """Make the servers as if nothing had ever been deployed."""
        for home in self.homes:
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)

    def deploy(self, site: Site, log: Path, *relays: Relay, limit: float = 300) -> Reading:
        """Measure one deploy through ``relays``, and compare what visitors see with the site.

        Raises RunFailed, and AssertionError when it is not the same.
        """
        print(f"  {self.name} ...", end="", file=sys.stderr, flush=True)
        os.sync()  # else the disk is busy with the last run's files
        site.warm()
        reading = run(self.commands(site.root), log, *relays, limit=limit)
        print(f" {reading.seconds:.2f} s", file=sys.stderr)
        for home in self.homes:
            _check_live(site, home / "site")
        return reading


def deployer_exists() -> bool:
    """Whether this checkout has the command line already."""
    return importlib.util.find_spec("deployer.cli") is not None


def bare_ssh(address: Address) -> tuple[Pipeline, ...]:
    """The least that one connection costs."""
    return (((*address.ssh(), address.destination, "true"),),)


def deployer(address: Address, home: Path) -> Contender:
    """``deployer run`` as a user calls it."""

    def commands(source: Path) -> tuple[Pipeline, ...]:
        options = {
            "--app": "bench",
            "--strategy": "static",
            "--host": f"{address.destination}:{address.port}",
            "--host-key": address.host_key,
            "--key": str(address.key),
            "--source": str(source),
            "--target": str(home / "site"),
        }
        words = [word for pair in options.items() for word in pair]
        return (((sys.executable, "-m", "deployer", "run", "--json", *words),),)

    return Contender(DEPLOYER, (home,), commands)


def peers(address: Address, folder: Path) -> list[Contender]:
    """rsync twice and tar, each followed by the switch of a link as careful people do it."""
    return [
        _rsync(RSYNC, "-az", address, folder / "rsync"),
        _rsync("rsync -azc + swap", "-azc", address, folder / "rsync-checksum"),
        _tar(address, folder / "tar"),
    ]


def scp_part(site: Site, address: Address, part: Path, home: Path, files: int) -> tuple[Pipeline, ...]:
    """``scp -r`` of about ``files`` files, spread evenly over the site, which are copied into ``part`` first."""
    paths = [*site.pages(), *site.binaries()]
    for path in paths[:: max(1, len(paths) // files)]:
        (part / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(site.root / path, part / path)
    port = ("-P", str(address.port))
    return ((("scp", "-q", "-r", *address.options(), *port, str(part), f"{address.destination}:{home}"),),)


def _check_live(site: Site, live: Path) -> None:
    """Raise AssertionError unless ``live`` has the site's files and no others, with its contents.

    Names and sizes are compared for all, contents for the changed files and a sample of the others.
    """
    wanted, found = _sizes(site.root), _sizes(live)
    assert wanted == found, f"{len(wanted.items() ^ found.items())} names or sizes differ"
    paths = [*site.pages(), *site.binaries()]
    for path in {*site.changed, *paths[::SAMPLE]}:
        assert (site.root / path).read_bytes() == (live / path).read_bytes(), f"{path} differs"


def _rsync(name: str, flags: str, address: Address, home: Path) -> Contender:
    """It always goes into the same folder, so that it finds what the last deploy left; the link then points there."""

    def commands(source: Path) -> tuple[Pipeline, ...]:
        shell, target = shlex.join(address.ssh()), f"{address.destination}:{home}/files/"
        copy = ("rsync", flags, "--delete", "-e", shell, f"{source}/", target)
        return ((copy,), ((*address.ssh(), address.destination, _swap(home, "files")),))

    return Contender(name, (home,), commands)


def _tar(address: Address, home: Path) -> Contender:
    """A new folder each time and the swap in the same connection: the fewest round trips that tar can do."""
    numbers = itertools.count(1)

    def commands(source: Path) -> tuple[Pipeline, ...]:
        name = f"files-{next(numbers)}"
        folder = shlex.quote(str(home / name))
        unpack = f"mkdir {folder} && tar -xz -C {folder} && {_swap(home, name)}"
        pack = ("tar", "-cz", "-C", str(source), ".")
        return ((pack, (*address.ssh(), address.destination, unpack)),)

    return Contender("tar to ssh + swap", (home,), commands, once=True)


def _swap(home: Path, folder: str) -> str:
    new, live = shlex.quote(str(home / "new")), shlex.quote(str(home / "site"))
    return f"ln -sfn {shlex.quote(folder)} {new} && mv -T {new} {live}"


def _sizes(root: Path) -> dict[str, int]:
    """Every file's path below ``root`` and its size; the root itself may be a link."""
    inside = root.resolve()
    files = (Path(folder, name) for folder, _, names in os.walk(inside) for name in names)
    return {path.relative_to(inside).as_posix(): path.lstat().st_size for path in files}
