"""``GET /health``: whether deliveries can be stored, and what else is wrong."""

from __future__ import annotations

import os
import threading
import time
from typing import cast

from flask import Blueprint, Flask, Response, current_app, jsonify, request

from receiver.errors import StoreUnavailable
from receiver.store import history
from receiver.store.upkeep import remember
from receiver.web.world import World, world

__all__ = ["blueprint", "problems", "set_up"]

QUEUE_SECONDS = 3_600
LEAST_FREE = 64 << 20
"""Bytes."""
FRESH_SECONDS = 5
"""How often the disk is really written to, however many ask."""

_KEY = "receiver-health"

blueprint = Blueprint("health", __name__)


class _Write:
    """The last try to write: nobody who asks for our health may wear out the disk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at = -FRESH_SECONDS
        self._problem = ""

    def problem(self, here: World) -> str:
        with self._lock:
            if time.monotonic() - self._at >= FRESH_SECONDS:
                self._problem = _try(here)
                self._at = int(time.monotonic())
            return self._problem


def set_up(app: Flask) -> None:
    """Give ``app`` its memory of the last try."""
    app.extensions[_KEY] = _Write()


def _try(here: World) -> str:
    try:
        remember(here.database, "health", str(int(time.time())))
    except StoreUnavailable as error:
        return error.message
    return ""


@blueprint.get("/health")
def health() -> tuple[Response, int]:
    """503 when deliveries cannot be stored, and with ``?strict`` when anything is wrong."""
    here = world()
    failing = cast("_Write", current_app.extensions[_KEY]).problem(here)
    others = [] if failing else problems(here)
    status = "failing" if failing else "degraded" if others else "ok"
    bad = failing or (others and "strict" in request.args)
    return jsonify(status=status, problems=[failing] if failing else others), 503 if bad else 200


def problems(here: World) -> list[str]:
    """What is wrong though deliveries are stored: in sentences without secrets."""
    found, now = [], time.time()
    try:
        with here.database.reading() as connection:
            alive, queue = history.has_worker(connection, now), history.queue(connection)
            trouble = history.fact(connection, "catch_up_error")
    except StoreUnavailable as error:
        return [error.message]
    if not alive:
        found.append("no worker is running: deliveries are stored, and nothing is deployed")
    if queue.waiting and now - queue.oldest > QUEUE_SECONDS:
        found.append(f"{queue.waiting} jobs wait, the oldest for {(now - queue.oldest) / 3600:.1f} hours")
    free = os.statvfs(here.config.state)
    if free.f_bavail * free.f_frsize < LEAST_FREE:
        found.append("the disk of the state folder is almost full")
    if trouble:
        found.append(f"catch-up: {trouble}")
    return found
