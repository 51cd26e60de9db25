"""What the receiver's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.github import GitHubApi
from receiver.store import Database
from tests.receiver.hub import Hub, Storage
from tests.receiver.hub_settings import connected, secrets, settings
from tests.receiver.postgres import PostgreSQL


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A real server, for all tests that ask for it."""
    with PostgreSQL() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        found = Database.open(f"sqlite:///{tmp_path / 'receiver.db'}")
    else:
        server = request.getfixturevalue("postgresql")
        server.statement("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
        found = Database.open(server.url)
    yield found
    found.close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    """GitHub on loopback, with a place for archives."""
    with Storage() as storage, Hub(storage) as memory:
        yield memory


@pytest.fixture
def api(hub: Hub) -> GitHubApi:
    """Our access to it, by a token."""
    return connected(settings(hub.url), secrets())
