"""The connection to the database: SQLite by default, PostgreSQL where several receivers share one."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, insert, make_url, select
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from receiver.errors import InvalidConfig, StoreUnavailable
from receiver.store import schema

__all__ = ["Database"]

BUSY_SECONDS = 15
"""How long a transaction waits for another process's."""
LOOK_SECONDS = 0.002
_SET_UP = 0x6465706C6F79


class Database:
    """All access to the tables. Open it in the process that uses it: connections do not survive a fork."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> Database:
        """Connect to ``url`` and make the tables where there are none. Raises InvalidConfig or StoreUnavailable."""
        database = cls(_engine(url))
        with database.writing() as connection:
            if not database.is_sqlite:
                # Two receivers that start at the same time would both make the tables.
                connection.execute(select(func.pg_advisory_xact_lock(_SET_UP)))
            schema.metadata.create_all(connection)
            found = connection.execute(select(schema.facts.c.value).where(schema.facts.c.name == "version")).scalar()
            if found is None:
                connection.execute(insert(schema.facts).values(name="version", value=str(schema.VERSION)))
            elif int(found) > schema.VERSION:
                raise InvalidConfig(
                    f"the database was written by a newer receiver (schema {found}; this one knows {schema.VERSION})",
                    hint="start that receiver again, or restore a backup",
                )
        return database

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of this machine."""
        return self._engine.dialect.name == "sqlite"

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is durable when the block ends well, and never was when it does not.

        Raises StoreUnavailable when the database does not take it.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise _unavailable(error) from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view; it never waits for writers. Raises StoreUnavailable."""
        try:
            with self._engine.connect().execution_options(receiver_reads=True) as connection:
                yield connection
        except SQLAlchemyError as error:
            raise _unavailable(error) from error

    def now(self, connection: Connection) -> float:
        """The time that all who share the database go by."""
        if self.is_sqlite:
            return time.time()
        return float(connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    def forget(self) -> None:
        """In a forked child: drop the parent's connections without closing them."""
        self._engine.dispose(close=False)


def _unavailable(error: SQLAlchemyError | sqlite3.Error) -> StoreUnavailable:
    # The driver's own words; SQLAlchemy's would quote the statement and its values.
    driver = error if isinstance(error, sqlite3.Error) else getattr(error, "orig", None)
    words = str(driver or type(error).__name__).strip().splitlines()
    return StoreUnavailable(f"the database: {words[0] if words else type(error).__name__}")


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(parsed.database or "", create_engine(parsed, connect_args={"timeout": BUSY_SECONDS}))
        return create_engine(parsed, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise InvalidConfig(f"database: this is no URL that can be used ({error})") from None


def _sqlite(file: str, engine: Engine) -> Engine:
    """WAL with a full sync at each commit; writers queue at BEGIN, so that none fails in its middle."""
    if file and not Path(file).exists():
        # Deliveries name private repositories and branches.
        try:
            os.close(os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreUnavailable(f"the database: {file} cannot be made: {error.strerror}") from None

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            f"busy_timeout = {BUSY_SECONDS}000",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        if connection.get_execution_options().get("receiver_reads", False):
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_writing(connection)

    return engine


def _begin_writing(connection: Connection) -> None:
    """BEGIN IMMEDIATE, as soon as no other process writes.

    SQLite itself waits in ever longer sleeps, and whoever comes meanwhile passes. And its sleeps would be everybody's in a
    process that serves many requests with one thread; ours are only this one's.
    """
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute("PRAGMA busy_timeout = 0")
    deadline = time.monotonic() + BUSY_SECONDS
    try:
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_SECONDS)
            else:
                return
    finally:
        driver.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS}000")
