"""deploy.toml as text: the values that were given, and every other key as a comment to delete one sign from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from deployer.config.keys import KEYS, TABLES, Key, KeyPath, is_of, summary

__all__ = ["render"]

_HOST: KeyPath = ("host",)
_HEAD = """\
# How this site is deployed. Written by `deployer init`; from now on it is yours.
# Lines that begin with # and no space are keys that are not set: delete the # to set one. `deployer plan` says what a
# deploy would do, and changes nothing.
"""
_OVERLAY = """\
# A second place for the same site, deployed by `deployer run --environment staging`. It may change any key.
#[environments.staging]
#url = "https://staging.example.org/"
#{elsewhere}
"""


def render(values: Mapping[KeyPath, object], hosts: Sequence[Mapping[str, object]]) -> str:
    """The file; ``values`` are those outside of the hosts' tables, ``hosts`` the keys of each host. All in TOML's types.

    Tables that only another strategy reads are left out.
    """
    sections = [_HEAD]
    strategy = str(values.get(("strategy",), "static"))
    for table in (table for table in TABLES if is_of(strategy, table)):
        if table == _HOST:
            sections += _hosts(hosts)
        else:
            given = {path[-1]: value for path, value in values.items() if path[:-1] == table}
            sections.append(_section(table, f"[{'.'.join(table)}]", given, _keys(table)))
    overlaid, key, usual = ("rebuild", "path", "site") if strategy == "rebuild" else ("static", "target", "/www/site")
    place = _toml(f"{values.get((overlaid, key), usual)}-staging")
    return "\n".join([*sections, _OVERLAY.format(elsewhere=f"{overlaid} = {{ {key} = {place} }}")])


def _hosts(hosts: Sequence[Mapping[str, object]]) -> list[str]:
    several = len(hosts) > 1
    keys = _keys(_HOST)
    sections: list[str] = []
    for host in hosts:
        mentioned = [key for key in keys if key.path[-1] in host] if sections else keys
        sections.append(_section(_HOST, "[[host]]" if several else "[host]", host, mentioned))
    return sections


def _section(table: KeyPath, header: str, given: Mapping[str, object], keys: Sequence[Key]) -> str:
    lines = [f"# {summary(table)}", header] if table else []
    unset: list[str] = []
    for key in keys:
        name, about = key.path[-1], key.description.replace("`", "")
        if name in given:
            lines += [f"# {about}", f"{name} = {_toml(given[name])}"]
        else:
            unset.append(f"#{name} = {_toml(_shown(key))}  # {about}")
    return "\n".join([*lines, *unset]) + "\n"


def _keys(table: KeyPath) -> list[Key]:
    return [key for path, key in KEYS.items() if path[:-1] == table]


def _shown(key: Key) -> Any:
    if key.example is not None:
        return key.example
    return key.choices[0] if key.choices else key.default


def _toml(value: object) -> str:
    """JSON's texts, numbers and lists are TOML's too, but for one control character that JSON leaves as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
