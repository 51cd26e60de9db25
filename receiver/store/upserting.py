"""INSERT … ON CONFLICT: both databases have it, SQLAlchemy has one for each.

Statements that are used for every delivery are built once for each database, with parameters: to build one takes longer
than to execute it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import Insert as PostgreSQLInsert
from sqlalchemy.dialects.sqlite import Insert as SQLiteInsert

__all__ = ["Insert", "insert_into", "replacing", "upsert"]

Insert = SQLiteInsert | PostgreSQLInsert


def insert_into(dialect: str, table: Table) -> Insert:
    """An INSERT that knows ``on_conflict_do_update`` and ``excluded``."""
    return SQLiteInsert(table) if dialect == "sqlite" else PostgreSQLInsert(table)


def replacing(dialect: str, table: Table, key: Sequence[str]) -> Insert:
    """A statement with a parameter for each column, which writes the row with this ``key`` whether it is there or not."""
    insert = insert_into(dialect, table)
    others = {column.name: insert.excluded[column.name] for column in table.c if column.name not in key}
    return insert.on_conflict_do_update(index_elements=list(key), set_=others)


def upsert(connection: Connection, table: Table, key: Sequence[str], values: Mapping[str, Any]) -> None:
    """Write ``values`` into the row with this ``key``, whether it is there or not."""
    insert = insert_into(connection.dialect.name, table).values(values)
    others = {name: insert.excluded[name] for name in values if name not in key}
    connection.execute(insert.on_conflict_do_update(index_elements=list(key), set_=others))
