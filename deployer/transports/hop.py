"""The servers on the way to a host, as values: the jump hosts in their order, and at the end the host itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployer.transports.host_keys import Pins, place, read_pins

__all__ = ["Hop", "Jump", "hops", "place"]


@dataclass(frozen=True, slots=True)
class Jump:
    """A server, and who logs in to it."""

    address: str
    port: int
    user: str


@dataclass(frozen=True, slots=True)
class Hop:
    """One server on the way. ``name`` is what messages call it; ``onward`` is the server behind it, if there is one."""

    server: Jump
    name: str
    pins: Pins
    onward: Jump | None = None


def hops(servers: Sequence[Jump], host_keys: Sequence[str], files: Sequence[tuple[Path, bool]]) -> tuple[Hop, ...]:
    """The way through ``servers``, of which the last is the host, with the keys that are pinned for each.

    ``host_keys`` and ``files``: see :func:`read_pins`. Raises InvalidInput for a line that nobody can read, and for a
    bare key, which does not say whose it is, where there is more than one server.
    """
    return tuple(_hops(servers, host_keys, files))


def _hops(servers: Sequence[Jump], host_keys: Sequence[str], files: Sequence[tuple[Path, bool]]) -> Iterator[Hop]:
    through = [place(jump.address, jump.port) for jump in servers[:-1]]
    for index, server in enumerate(servers):
        role = "jump host " if index < len(through) else ""
        way = f" through {', '.join(through[:index])}" if index else ""
        pins = read_pins(server.address, server.port, host_keys, files, bare=not through, role=role, way=way)
        name = f"{role}{server.user}@{place(server.address, server.port)}{way}"
        yield Hop(server, name, pins, servers[index + 1] if role else None)
