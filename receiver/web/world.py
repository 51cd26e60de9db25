"""What every request may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app

from receiver.committing import Committer
from receiver.config import ReceiverConfig, Secrets
from receiver.store import Database

__all__ = ["World", "world"]

_KEY = "receiver"


@dataclass(frozen=True, slots=True)
class World:
    """One process's configuration, secrets, database and writer; ``session_key`` signs its cookies."""

    config: ReceiverConfig
    secrets: Secrets
    database: Database
    committer: Committer
    session_key: bytes


def world() -> World:
    """That of the application that handles this request."""
    return cast("World", current_app.extensions[_KEY])
