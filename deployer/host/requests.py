"""The verbs that the programs of all strategies have."""

from __future__ import annotations

import math

from deployer.journal import members
from deployer.plan import Body, Effect, Request

__all__ = ["break_lock", "inspect", "lock", "log", "show_log", "site"]


def site(app: str, place: str, nonce: str, label: str) -> Request:
    """Name the app, what is deployed there, and this deploy; ``label`` tells others whose lock it is."""
    return Request("site", Effect.READ, (app, place, nonce, label))


def lock(wait: float, label: str) -> Request:
    """Take the lock, waiting up to ``wait`` seconds, and heal what a killed deploy left."""
    return Request("lock", Effect.WRITE, (str(math.ceil(wait)), members([("by", label)])))


def log(release: str, body: Body) -> Request:
    """Store the deploy's output."""
    return Request("log", Effect.WRITE, (release,), body)


def inspect() -> Request:
    """Ask for releases, lock, journal and disk space."""
    return Request("inspect", Effect.READ)


def show_log(release: str) -> Request:
    """Ask for the stored output of a deploy."""
    return Request("show_log", Effect.READ, (release,))


def break_lock(entry: str) -> Request:
    """Take away the lock entry of that name, and no other."""
    return Request("break", Effect.WRITE, (entry,))
