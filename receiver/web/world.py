"""What every request may use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar, cast

from flask import current_app

from receiver.committing import Committer
from receiver.config import ReceiverConfig, Secrets
from receiver.store import Database

__all__ = ["Aside", "World", "world"]

_Result = TypeVar("_Result")
_Given = ParamSpec("_Given")

_KEY = "receiver"


class Aside(Protocol):
    """Calls what computes for long, and lets other requests go on meanwhile."""

    def __call__(self, act: Callable[_Given, _Result], *arguments: _Given.args, **more: _Given.kwargs) -> _Result:
        """What ``act`` returns or raises."""
        ...


def _here(act: Callable[_Given, _Result], *arguments: _Given.args, **more: _Given.kwargs) -> _Result:
    return act(*arguments, **more)


@dataclass(frozen=True, slots=True)
class World:
    """One process's configuration, secrets, database and writer; ``session_key`` signs its cookies."""

    config: ReceiverConfig
    secrets: Secrets
    database: Database
    committer: Committer
    session_key: bytes
    aside: Aside = _here


def world() -> World:
    """That of the application that handles this request."""
    return cast("World", current_app.extensions[_KEY])
