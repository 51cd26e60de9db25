"""The model as a flat list of keys, and the flags and variables that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from deployer.config.checks import Check
from deployer.config.model import Config

__all__ = ["KEYS", "OPTIONS", "STRATEGY_TABLES", "TABLES", "Key", "KeyPath", "Kind", "Option", "is_of", "summary"]

Kind = Literal["text", "integer", "number", "boolean"]
KeyPath = tuple[str, ...]

_KINDS: dict[object, Kind] = {str: "text", int: "integer", float: "number", bool: "boolean"}

STRATEGY_TABLES = {"static": "static", "rebuild": "rebuild", "traefik": "rebuild"}
"""Tables that one strategy reads, and which."""


@dataclass(frozen=True, slots=True)
class Option:
    """A flag with its variable; ``key`` is the dotted name in deploy.toml that it sets.

    A flag that several strategies have sets the one of ``keys`` that the chosen strategy reads; ``key`` is their first.
    ``local`` marks a path on this machine.
    """

    keys: tuple[str, ...]
    flag: str
    variable: str
    kind: Kind
    repeat: bool
    metavar: str
    help: str
    choices: tuple[str, ...] = ()
    local: bool = False

    @property
    def key(self) -> str:
        """What the values of flags are known by."""
        return self.keys[0]

    @property
    def off(self) -> str:
        """The flag that says false; empty when this one takes a value."""
        name = self.flag.removeprefix("--")
        opposite = name.removeprefix("no-") if name.startswith("no-") else f"no-{name}"
        return f"--{opposite}" if self.kind == "boolean" else ""

    def path(self, strategy: str) -> KeyPath:
        """The key that it sets with ``strategy``."""
        paths = [tuple(key.split(".")) for key in self.keys]
        return next((path for path in paths if is_of(strategy, path)), paths[0])


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key of deploy.toml. ``low`` and ``high`` are inclusive, ``above`` is not.

    Required keys have no default; those of a strategy's table are required by that strategy only.
    """

    path: KeyPath
    kind: Kind
    repeat: bool
    required: bool
    default: Any
    description: str
    flag: str = ""
    metavar: str = ""
    example: Any = None
    check: Check | None = None
    local_path: bool = False
    lines: bool = False
    together: Callable[[tuple[str, ...]], None] | None = None
    parse: Callable[[str], object] | None = None
    least: int = 0
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    low: float | None = None
    above: float | None = None
    high: float | None = None

    @property
    def name(self) -> str:
        """The dotted name."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """The environment variable; empty when the key has no flag."""
        return _variable(self.flag)


def _variable(flag: str) -> str:
    return "DEPLOYER_" + flag.removeprefix("--").replace("-", "_").upper() if flag else ""


def is_of(strategy: str, path: KeyPath) -> bool:
    """Whether ``strategy`` reads the key or table of this path."""
    return not path or STRATEGY_TABLES.get(path[0], strategy) == strategy


def _unwrap(annotation: Any) -> tuple[Any, msgspec.Meta]:
    if get_origin(annotation) is Annotated:
        inner, meta = get_args(annotation)
        return inner, meta
    return annotation, msgspec.Meta()


def _table(kind: Any, meta: msgspec.Meta) -> type[msgspec.Struct] | None:
    """The struct of a table, or of each of a list of tables."""
    if get_origin(kind) is tuple and not (meta.extra or {}).get("parse"):
        kind = get_args(kind)[0]
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def _key(path: KeyPath, kind: Any, meta: msgspec.Meta, field: msgspec.structs.FieldInfo) -> Key:
    extra = meta.extra or {}
    default = None if field.required else field.default
    if extra["parse"]:  # whatever the model holds, people write one text
        kind, default = str, default or ""
    bounds, repeat = meta, get_origin(kind) is tuple
    if repeat:
        kind, bounds = _unwrap(get_args(kind)[0])
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    return Key(
        path=path,
        kind="text" if choices else _KINDS[kind],
        repeat=repeat,
        required=field.required or extra["required"],
        default=default,
        description=meta.description or "",
        flag=extra["flag"],
        metavar=extra["metavar"],
        example=extra["example"],
        check=extra["check"],
        local_path=extra["path"],
        lines=extra["lines"],
        together=extra["together"],
        parse=extra["parse"],
        least=meta.min_length or 0,
        choices=choices,
        pattern=meta.pattern,
        low=bounds.ge,
        above=bounds.gt,
        high=bounds.le,
    )


def _walk(
    struct: type[msgspec.Struct], prefix: KeyPath = ()
) -> Iterator[tuple[KeyPath, type[msgspec.Struct] | Key, msgspec.Meta]]:
    for field in msgspec.structs.fields(struct):
        kind, meta = _unwrap(field.type)
        path = (*prefix, field.encode_name)
        if (meta.extra or {}).get("derived"):
            continue
        table = _table(kind, meta)
        if table:
            yield path, table, meta
            yield from _walk(table, path)
        else:
            yield path, _key(path, kind, meta, field), meta


def _options(found: list[tuple[KeyPath, type[msgspec.Struct] | Key, msgspec.Meta]]) -> Iterator[Option]:
    shared: dict[str, list[tuple[KeyPath, type[msgspec.Struct] | Key, msgspec.Meta]]] = {}
    for each in found:
        if flag := (each[2].extra or {}).get("flag", ""):
            shared.setdefault(flag, []).append(each)
    for flag, places in shared.items():
        _, item, meta = places[0]
        texts = dict.fromkeys((other.description or "").replace("`", "") for _, _, other in places)
        # A table's own flag is its text form, as in --host; it repeats because there may be several such tables.
        kind, repeat = (item.kind, item.repeat) if isinstance(item, Key) else ("text", True)
        yield Option(
            keys=tuple(".".join(path) for path, _, _ in places),
            flag=flag,
            variable=_variable(flag),
            kind=kind,
            repeat=repeat,
            metavar=(meta.extra or {})["metavar"],
            help=" With strategy rebuild: ".join(texts),
            choices=item.choices if isinstance(item, Key) else (),
            local=isinstance(item, Key) and item.local_path,
        )


_FOUND = list(_walk(Config))
KEYS: dict[KeyPath, Key] = {path: item for path, item, _ in _FOUND if isinstance(item, Key)}
TABLES: dict[KeyPath, type[msgspec.Struct]] = {(): Config} | {p: i for p, i, _ in _FOUND if not isinstance(i, Key)}
OPTIONS: tuple[Option, ...] = tuple(_options(_FOUND))


def summary(table: KeyPath) -> str:
    """What a table is about, in a sentence."""
    return (TABLES[table].__doc__ or "").strip()
