"""INSERT … ON CONFLICT: both databases have it, SQLAlchemy has one for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import Insert as PostgreSQLInsert
from sqlalchemy.dialects.sqlite import Insert as SQLiteInsert

__all__ = ["insert_into", "upsert"]


def insert_into(connection: Connection, table: Table) -> SQLiteInsert | PostgreSQLInsert:
    """An INSERT that knows ``on_conflict_do_update`` and ``excluded``."""
    return SQLiteInsert(table) if connection.dialect.name == "sqlite" else PostgreSQLInsert(table)


def upsert(
    connection: Connection, table: Table, key: Sequence[str], values: Mapping[str, Any]
) -> SQLiteInsert | PostgreSQLInsert:
    """Write ``values`` into the row with this ``key``, whether it is there or not."""
    others = {name: value for name, value in values.items() if name not in key}
    return insert_into(connection, table).values(values).on_conflict_do_update(index_elements=list(key), set_=others)
