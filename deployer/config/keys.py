"""The model as a flat list of keys, and the flags and variables that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from deployer.config.checks import Check
from deployer.config.model import Config

__all__ = ["KEYS", "OPTIONS", "TABLES", "Key", "KeyPath", "Kind", "Option", "summary"]

Kind = Literal["text", "integer", "number"]
KeyPath = tuple[str, ...]

_KINDS: dict[object, Kind] = {str: "text", int: "integer", float: "number"}


@dataclass(frozen=True, slots=True)
class Option:
    """A flag with its variable; ``key`` is the dotted name in deploy.toml that it sets."""

    key: str
    flag: str
    variable: str
    kind: Kind
    repeat: bool
    metavar: str
    help: str


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key of deploy.toml. ``low`` and ``high`` are inclusive, ``above`` is not; required keys have no default."""

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
        required=field.required,
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
    for path, item, meta in found:
        extra = meta.extra or {}
        flag = extra.get("flag", "")
        if not flag:
            continue
        # A table's own flag is its text form, as in --host; it repeats because there may be several such tables.
        kind, repeat = (item.kind, item.repeat) if isinstance(item, Key) else ("text", True)
        help_text = (meta.description or "").replace("`", "")
        yield Option(".".join(path), flag, _variable(flag), kind, repeat, extra["metavar"], help_text)


_FOUND = list(_walk(Config))
KEYS: dict[KeyPath, Key] = {path: item for path, item, _ in _FOUND if isinstance(item, Key)}
TABLES: dict[KeyPath, type[msgspec.Struct]] = {(): Config} | {p: i for p, i, _ in _FOUND if not isinstance(i, Key)}
OPTIONS: tuple[Option, ...] = tuple(_options(_FOUND))


def summary(table: KeyPath) -> str:
    """What a table is about, in a sentence."""
    return (TABLES[table].__doc__ or "").strip()
