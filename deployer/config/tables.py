"""Tables of deploy.toml as flat settings: every key is known and every value is checked, or it is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from deployer.config.checks import Refused, parse_host
from deployer.config.document import Document
from deployer.config.keys import KEYS, TABLES, KeyPath
from deployer.config.values import accept, refusal
from deployer.errors import InvalidInput

__all__ = ["Settings", "host_settings", "read_layers", "similar"]

Settings = dict[KeyPath, object]

_HOST: KeyPath = ("host",)
_ENVIRONMENTS = "environments"


def read_layers(document: Document) -> tuple[Settings, dict[str, Settings]]:
    """The settings of the file itself and those of each of its environments. Raises InvalidInput."""
    data = dict(document.data)
    overlays = data.pop(_ENVIRONMENTS, {})
    base = _read_layer(document, data, ())
    if not isinstance(overlays, dict):
        raise InvalidInput(f"{document.where((_ENVIRONMENTS,))} must hold tables, such as [environments.staging]")
    return base, {name: _read_environment(document, name, overlay) for name, overlay in overlays.items()}


def host_settings(text: str, subject: str) -> Settings:
    """The settings that ``[user@]address[:port]`` or ``local`` stands for. Raises InvalidInput."""
    try:
        return {(*_HOST, name): value for name, value in parse_host(text).items()}
    except Refused as reason:
        raise refusal(subject, reason, text) from None


def similar(name: str, names: Iterator[str] | list[str]) -> str:
    """The one of ``names`` that ``name`` was probably meant to be, or the empty text."""
    import difflib  # only for what went wrong

    return next(iter(difflib.get_close_matches(name, list(names), 1)), "")


def _read_environment(document: Document, name: str, overlay: object) -> Settings:
    path = (_ENVIRONMENTS, name)
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
        raise InvalidInput(f"{document.where(path)} must be named by letters, digits, '.', '_' and '-' only")
    if not isinstance(overlay, dict):
        raise InvalidInput(f"{document.where(path)} must be a table, such as [environments.{name}]")
    return _read_layer(document, overlay, path)


def _read_layer(document: Document, data: dict[str, Any], prefix: KeyPath) -> Settings:
    settings = dict(_read_table(document, data, prefix, ()))
    address = settings.get((*_HOST, "address"))
    if address and (*_HOST, "local") not in settings:
        # A table's address says "local" as the short form does; any other takes back a "local" of the layer below.
        settings |= {(*_HOST, "local"): address == "local", (*_HOST, "address"): "" if address == "local" else address}
    return settings


def _read_table(
    document: Document, data: dict[str, Any], prefix: KeyPath, table: KeyPath
) -> Iterator[tuple[KeyPath, object]]:
    for name, given in data.items():
        path = (*table, name)
        subject = document.where((*prefix, *path))
        value = _only_host(given, subject) if path == _HOST else given
        if path == _HOST and isinstance(value, str):
            yield from host_settings(value, subject).items()
        elif path in TABLES:
            if not isinstance(value, dict):
                raise InvalidInput(f"{subject} must be a table, such as [{'.'.join((*prefix, *path))}]")
            yield from _read_table(document, value, prefix, path)
        elif path in KEYS:
            yield path, accept(KEYS[path], value, subject=subject, folder=document.folder, typed=True)
        else:
            raise _unknown_key(subject, prefix, path)


def _only_host(value: object, subject: str) -> object:
    if not isinstance(value, list):
        return value
    if len(value) != 1:
        raise InvalidInput(
            f"{subject} lists {len(value)} hosts, but this version deploys to exactly one",
            hint="keep one host here, or give each its own environment",
        )
    return value[0]


def _unknown_key(subject: str, prefix: KeyPath, path: KeyPath) -> InvalidInput:
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
