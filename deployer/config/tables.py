"""Tables of deploy.toml as flat settings: every key is known and every value is checked, or it is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deployer.config.checks import Refused, parse_host
from deployer.config.document import Document, Location
from deployer.config.hosts import HostParts, Hosts, is_named
from deployer.config.keys import KEYS, TABLES, KeyPath
from deployer.config.values import accept, refusal
from deployer.errors import InvalidInput

__all__ = ["Layer", "Settings", "host_parts", "read_layers", "similar"]

Settings = dict[KeyPath, object]

_HOST: KeyPath = ("host",)
_ENVIRONMENTS = "environments"
_HOST_FORMS = "[user@]address[:port], local, a table or a list of these"


@dataclass(frozen=True, slots=True)
class Layer:
    """What a file or one of its environments says: ``hosts``, and ``settings`` by the paths of all other keys."""

    settings: Settings
    hosts: Hosts | None = None


def read_layers(document: Document) -> tuple[Layer, dict[str, Layer]]:
    """What the file itself says, and what each of its environments says. Raises InvalidInput."""
    data = dict(document.data)
    overlays = data.pop(_ENVIRONMENTS, {})
    base = _read_layer(document, data, ())
    if not isinstance(overlays, dict):
        raise InvalidInput(f"{document.where((_ENVIRONMENTS,))} must hold tables, such as [environments.staging]")
    return base, {name: _read_environment(document, name, overlay) for name, overlay in overlays.items()}


def host_parts(text: str, subject: str) -> HostParts:
    """What ``[user@]address[:port]`` or ``local`` says of a host. Raises InvalidInput."""
    try:
        return parse_host(text)
    except Refused as reason:
        raise refusal(subject, reason, text) from None


def similar(name: str, names: Iterator[str] | list[str]) -> str:
    """The one of ``names`` that ``name`` was probably meant to be, or the empty text."""
    import difflib  # only for what went wrong

    return next(iter(difflib.get_close_matches(name, list(names), 1)), "")


def _read_environment(document: Document, name: str, overlay: object) -> Layer:
    path = (_ENVIRONMENTS, name)
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
        raise InvalidInput(f"{document.where(path)} must be named by letters, digits, '.', '_' and '-' only")
    if not isinstance(overlay, dict):
        raise InvalidInput(f"{document.where(path)} must be a table, such as [environments.{name}]")
    return _read_layer(document, overlay, path)


def _read_layer(document: Document, data: dict[str, Any], prefix: KeyPath) -> Layer:
    others = {name: given for name, given in data.items() if (name,) != _HOST}
    given = [data[name] for name in _HOST if name in data]
    hosts = _read_hosts(document, given[0], (*prefix, *_HOST)) if given else None
    return Layer(dict(_read_table(document, others, prefix, ())), hosts)


def _read_table(
    document: Document, data: dict[str, Any], location: Location, table: KeyPath
) -> Iterator[tuple[KeyPath, object]]:
    """The settings of one table; ``location`` is where it stands in the file."""
    for name, given in data.items():
        path, place = (*table, name), (*location, name)
        subject = document.where(place)
        if path in TABLES:
            if not isinstance(given, dict):
                raise InvalidInput(f"{subject} must be a table, such as [{'.'.join(map(str, place))}]")
            yield from _read_table(document, given, place, path)
        elif path in KEYS:
            yield path, accept(KEYS[path], given, subject=subject, folder=document.folder, typed=True)
        else:
            raise _unknown_key(subject, location, path)


def _read_hosts(document: Document, given: object, location: Location) -> Hosts:
    subject = document.where(location)
    if not isinstance(given, list):
        return Hosts(subject, (_read_host(document, given, location),))
    if len(given) == 1:
        only = _read_host(document, given[0], location)
        return Hosts(subject, (only,), listed=is_named(only))
    if not given:
        raise InvalidInput(f"{subject} must name at least one host, but is an empty list")
    entries = []
    for number, item in enumerate(given, 1):
        entries.append(_read_host(document, item, (*location, number)))
        if not is_named(entries[-1]):
            raise InvalidInput(f"{document.where((*location, number))} lacks its address")
    return Hosts(subject, tuple(entries), listed=True)


def _read_host(document: Document, given: object, location: Location) -> HostParts:
    subject = document.where(location)
    if isinstance(given, str):
        return host_parts(given, subject)
    if not isinstance(given, dict):
        raise refusal(subject, Refused(_HOST_FORMS), given)
    parts: HostParts = {path[-1]: value for path, value in _read_table(document, given, location, _HOST)}
    address = parts.get("address")
    if address:
        # A table's address says "local" as the short form does; any other takes back a "local" of the layer below.
        parts |= {"local": address == "local", "address": "" if address == "local" else address}
    return parts


def _unknown_key(subject: str, location: Location, path: KeyPath) -> InvalidInput:
    names = [name for name in location if isinstance(name, str)]
    prefix = names[: len(names) - len(path) + 1]
    siblings = _children(path[:-1], in_environment=bool(prefix))
    nearest = _nearest(path, siblings)
    if nearest:
        return InvalidInput(f"{subject} is not a known key; did you mean {'.'.join((*prefix, *nearest))}?")
    return InvalidInput(f"{subject} is not a known key", hint=f"known here: {', '.join(siblings)}")


def _children(table: KeyPath, *, in_environment: bool) -> list[str]:
    names = [path[-1] for path in (*KEYS, *TABLES) if path and path[:-1] == table]
    return names if table or in_environment else [*names, _ENVIRONMENTS]


def _nearest(path: KeyPath, siblings: list[str]) -> KeyPath:
    """A sibling of nearly the same name, else a key of this very name in another table."""
    sibling = similar(path[-1], siblings)
    if sibling:
        return (*path[:-1], sibling)
    return next((known for known in KEYS if known[-1] == path[-1]), ())
