"""A network bridge and a block of addresses that nothing else on this machine has, for a Docker engine of the tests' own."""

from __future__ import annotations

import ipaddress
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests import parts

__all__ = ["Bridge"]

_PREFIX = "deployer"  # a device's name has at most 15 characters
_BLOCKS = tuple(ipaddress.ip_network("10.208.0.0/12").subnets(new_prefix=20))
_DEVICES = Path("/sys/class/net")


@dataclass(frozen=True, slots=True)
class Bridge:
    """A device with the first quarter of a block of addresses; ``pool`` is its second half, for further networks."""

    name: str
    block: ipaddress.IPv4Network

    @property
    def pool(self) -> str:
        """The addresses for networks that the engine makes itself."""
        return str([*self.block.subnets(new_prefix=21)][1])

    @classmethod
    def take(cls) -> Self:
        """Make one. Raises RuntimeError when every block is in use, or the machine makes no bridge."""
        for device in _DEVICES.glob(f"{_PREFIX}*"):
            _remove_when_left(device)
        problem = "every block of addresses is in use"
        used = [*_routes()]
        for number, block in enumerate(_BLOCKS):
            if not isinstance(block, ipaddress.IPv4Network) or any(block.overlaps(route) for route in used):
                continue
            bridge = cls(f"{_PREFIX}{number}", block)
            problem = _ip("link", "add", "name", bridge.name, "type", "bridge")
            if not problem:  # otherwise another one has just taken it
                first = next(block.hosts())
                _ip("link", "set", "dev", bridge.name, "alias", f"{os.getpid()}")
                _ip("address", "add", f"{first}/22", "dev", bridge.name)
                _ip("link", "set", "dev", bridge.name, "up")
                return bridge
        raise RuntimeError(f"cannot make a network bridge: {problem}")

    def give_back(self) -> None:
        """Remove the device."""
        _ip("link", "delete", "dev", self.name)


def _remove_when_left(device: Path) -> None:
    """Its alias is the process that made it; one without an alias is being made."""
    try:
        owner = (device / "ifalias").read_text("ascii").strip()
    except OSError:
        return
    if owner.isdigit() and not Path("/proc", owner).exists():
        _ip("link", "delete", "dev", device.name)


def _routes() -> Iterable[ipaddress.IPv4Network]:
    """The destinations in the kernel's routing table, which it prints in the machine's byte order (proc_net(5))."""
    for line in Path("/proc/net/route").read_text("ascii").splitlines()[1:]:
        words = line.split()
        destination, mask = (int.from_bytes(bytes.fromhex(words[place])[::-1]) for place in (1, 7))
        if mask:
            yield ipaddress.IPv4Network((destination, mask.bit_count()))


def _ip(*arguments: str) -> str:
    """Run ``ip``, BusyBox's where there is no other; the result is its complaint."""
    program = parts.find("ip")
    command = [program] if program else [parts.find("busybox") or "busybox", "ip"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False).stderr.strip()
