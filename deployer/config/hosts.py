"""Which hosts remain when file, environment, variables and flags each name some: pure rules on their parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from deployer.errors import InvalidInput

__all__ = ["HostParts", "Hosts", "check_hosts", "combine", "is_named"]

_BARE_KEY = r"(?:ssh-|ecdsa-|sk-)\S+\s+AAAA"
_DEFAULTS: Mapping[str, object] = {"address": "", "local": False, "port": 22, "user": ""}

HostParts = dict[str, object]
"""The keys of one host's table that a source names; ``local`` is True for this machine."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """What one source says of hosts: ``subject`` is where; ``listed`` when it is a list, which stands for itself."""

    subject: str
    entries: tuple[HostParts, ...]
    listed: bool = False


def is_named(parts: HostParts) -> bool:
    """Whether the parts say which host they are of."""
    return bool(parts.get("address") or parts.get("local"))


def combine(below: Hosts | None, above: Hosts | None) -> Hosts | None:
    """Lay ``above`` over ``below``.

    A list replaces; parts without an address apply to every host; a host with an address takes the parts that it does
    not name from the one of the same address, else from the only one there is. Raises InvalidInput.
    """
    if below is None or above is None:
        return above or below
    if above.listed:
        return above
    if not all(is_named(entry) for entry in above.entries):
        (parts,) = above.entries  # only a single table may lack its address
        return replace(below, entries=tuple(entry | parts for entry in below.entries))
    return replace(above, entries=tuple(_heir(below.entries, entry, above.subject) for entry in above.entries))


def check_hosts(hosts: Hosts) -> None:
    """Refuse a host that is there twice, and a bare host key where it cannot be said whose it is."""
    seen: set[tuple[object, ...]] = set()
    for entry in hosts.entries:
        identity = _identity(entry)
        if identity in seen:
            raise InvalidInput(f"{hosts.subject} names {_shown(entry)} twice", hint="keep one of them")
        seen.add(identity)
    for entry in hosts.entries:
        unclear = len(hosts.entries) > 1 or bool(entry.get("jump"))
        if unclear and not entry.get("local") and any(re.match(_BARE_KEY, str(line)) for line in _lines(entry)):
            raise InvalidInput(
                f"the host key of {_shown(entry)} is bare, which needs exactly one host and no jump host",
                hint=f"write known_hosts lines, each with its host's name in front:\n{_examples(hosts.entries)}",
            )


def _heir(candidates: tuple[HostParts, ...], entry: HostParts, subject: str) -> HostParts:
    same = [candidate for candidate in candidates if _name(candidate) == _name(entry)]
    for part in ("port", "user"):
        if part in entry:
            same = [candidate for candidate in same if _part(candidate, part) == entry[part]] or same
    if len(same) > 1:
        hint = f"give user and port, too: {', '.join(_shown(candidate) for candidate in same)}"
        raise InvalidInput(f"{subject} must say which host of {entry['address']} it means", hint=hint)
    if same:
        return same[0] | entry
    return candidates[0] | entry if len(candidates) == 1 else entry


def _part(parts: HostParts, name: str) -> object:
    return parts.get(name, _DEFAULTS[name])


def _name(parts: HostParts) -> tuple[object, str]:
    return _part(parts, "local"), str(_part(parts, "address")).lower()


def _identity(parts: HostParts) -> tuple[object, ...]:
    local, address = _name(parts)
    return (local,) if local else (address, _part(parts, "port"), _part(parts, "user"))


def _shown(parts: HostParts) -> str:
    if _part(parts, "local"):
        return "local"
    user, port = _part(parts, "user"), _part(parts, "port")
    address = _bracketed(str(_part(parts, "address")), always=False)
    return (f"{user}@" if user else "") + address + (f":{port}" if port != _DEFAULTS["port"] else "")


def _bracketed(address: str, *, always: bool) -> str:
    return f"[{address}]" if always or ":" in address else address


def _lines(parts: HostParts) -> Iterable[object]:
    lines = parts.get("host_key", ())
    return lines if isinstance(lines, tuple) else ()


def _examples(entries: tuple[HostParts, ...]) -> str:
    """The known_hosts lines that are missing: of each host and jump, once."""
    names: dict[str, None] = {}
    for entry in entries:
        for hop in (*_jumps(entry), entry):
            if not hop.get("local"):
                address, port = str(hop["address"]), _part(hop, "port")
                other = port != _DEFAULTS["port"]
                names[_bracketed(address, always=True) + f":{port}" if other else address] = None
    return "\n".join(f"{name} ssh-ed25519 AAAA…" for name in names)


def _jumps(parts: HostParts) -> Iterator[HostParts]:
    jumps = parts.get("jump", ())
    yield from jumps if isinstance(jumps, tuple) else ()
