"""The JSON Schema of deploy.toml, for editors and CI."""

from __future__ import annotations

from typing import Any

from deployer.config.keys import KEYS, TABLES, Key, KeyPath, summary

__all__ = ["json_schema"]

_TYPES = {"text": "string", "integer": "integer", "number": "number", "boolean": "boolean"}
_ENVIRONMENTS = {
    "description": "Overlays of any of the above, chosen by --environment.",
    "type": "object",
    "additionalProperties": {"$ref": "#/$defs/keys"},
}


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of deploy.toml.

    Nothing is required in it: what the file leaves out may come by variables and flags.
    """
    keys = _table(())
    sections = {path[-1]: {"description": summary(path), **_table(path)} for path in TABLES if path}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "deploy.toml",
        **keys,
        "properties": {**keys["properties"], "environments": _ENVIRONMENTS},
        "$defs": {"keys": keys, **sections},
    }


def _table(table: KeyPath) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for path in (*KEYS, *TABLES):
        if path and path[:-1] == table:
            properties[path[-1]] = _property(KEYS[path]) if path in KEYS else _section(path)
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _section(path: KeyPath) -> dict[str, Any]:
    table = {"$ref": f"#/$defs/{path[-1]}"}
    if path != ("host",):
        return table
    short = {"description": "local, or [user@]address[:port].", "type": "string"}
    return {"anyOf": [short, table, {"type": "array", "items": {"anyOf": [short, table]}, "minItems": 1}]}


def _property(key: Key) -> dict[str, Any]:
    schema: dict[str, Any] = {"description": key.description}
    if not key.repeat:
        schema |= _value(key)
    elif key.lines:
        schema |= {"anyOf": [_value(key), {"type": "array", "items": _value(key)}]}
    else:
        schema |= {"type": "array", "items": _value(key), "minItems": key.least}
    if key.required:
        return schema
    return schema | {"default": list(key.default) if key.repeat else key.default}


def _value(key: Key) -> dict[str, Any]:
    limits = {
        "enum": list(key.choices) or None,
        "pattern": key.pattern,
        "minimum": key.low,
        "exclusiveMinimum": key.above,
        "maximum": key.high,
    }
    return {"type": _TYPES[key.kind]} | {name: limit for name, limit in limits.items() if limit is not None}
