"""YAML as Traefik reads it, there and back without changing a value. The only module that loads PyYAML."""

from __future__ import annotations

import io
from typing import Any

import yaml

__all__ = ["MalformedError", "Quoted", "dump", "dump_inline", "nodes", "parse"]

_TEXTS = ("str", "int", "float", "bool", "timestamp")


class MalformedError(ValueError):
    """A text is not the YAML that Traefik takes; the message says where and why, in one line."""


class Quoted(str):
    """A text that is written in double quotes."""

    __slots__ = ()


class _Plain(str):
    """A text that stood there without quotes, so that Traefik decides what it is: a number, a duration, a name."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        # Go's library refuses what PyYAML lets pass.
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands there twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _construct_text(_loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    value: str = node.value
    return _Plain(value) if node.style is None else value


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        # A list's dashes stand deeper than its key.
        super().increase_indent(flow, False)  # noqa: FBT003  # PyYAML gives it by position


def _represent_plain(dumper: yaml.SafeDumper, text: _Plain) -> yaml.ScalarNode:
    # As what it would be read as, it needs no quotes.
    tag = dumper.resolve(yaml.ScalarNode, str(text), (True, False))  # type: ignore[no-untyped-call]
    return dumper.represent_scalar(tag, str(text))


def _represent_quoted(dumper: yaml.SafeDumper, text: Quoted) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"')


for _name in _TEXTS:
    _Loader.add_constructor(f"tag:yaml.org,2002:{_name}", _construct_text)
_Dumper.add_representer(_Plain, _represent_plain)
_Dumper.add_representer(Quoted, _represent_quoted)


def parse(text: str) -> object:
    """The document: mappings, lists, None, and texts for everything else. Raises MalformedError."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # a safe one, which makes texts
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise MalformedError(_why(error)) from error


def nodes(text: str) -> yaml.Node | None:
    """The document as nodes that know where they stand. Raises MalformedError."""
    try:
        return yaml.compose(text, _Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise MalformedError(_why(error)) from error


def _why(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        return " ".join(f"{where}{error.problem or error.context or 'not YAML'}".split())
    return " ".join(str(error).split())


def dump(data: object) -> str:
    """The text of a document, one value a line, which :func:`parse` reads back as the same."""
    return _dump(data, flow=False)


def dump_inline(data: object) -> str:
    """The text of a value on one line."""
    return _dump(data, flow=True).strip()


def _dump(data: object, *, flow: bool) -> str:
    stream = io.StringIO()
    yaml.dump(data, stream, _Dumper, default_flow_style=flow, sort_keys=False, width=1 << 30, allow_unicode=True)
    return stream.getvalue()
