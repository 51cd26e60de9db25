"""``/deployments/ID/log``: a job's log as server-sent events, while it grows.

https://html.spec.whatwg.org/multipage/server-sent-events.html. An event's id is the position behind its line, so that a
browser that lost its connection goes on where it was.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import msgspec
from flask import Blueprint, Flask, Response, abort, current_app, request

from receiver.logs import read_log
from receiver.store import Job, history
from receiver.web.access import for_people
from receiver.web.texts import several_lines
from receiver.web.watching import Follower, Watch
from receiver.web.world import World, world

__all__ = ["blueprint", "close_streams", "set_up", "shown_line"]

HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 2_000
BUSY_SECONDS = "10"
_KEY = "receiver-streams"
_KINDS = frozenset({"attempt", "step", "done", "output", "note", "warning", "error", "end"})
_LATEST = 1 << 37
"""Seconds: more is no time that a page could show."""

blueprint = for_people(Blueprint("streams", __name__))


@dataclass(slots=True)
class _Streams:
    watch: Watch
    most: int
    open: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self) -> bool:
        """Whether there is room for another one."""
        with self.lock:
            if self.open >= self.most or self.watch.closed:
                return False
            self.open += 1
            return True

    def leave(self) -> None:
        """Make room."""
        with self.lock:
            self.open -= 1


def set_up(app: Flask, here: World) -> None:
    """Give ``app`` its streams."""
    app.extensions[_KEY] = _Streams(Watch(here.database, here.config.log_folder), here.config.log_streams)


def close_streams(app: Flask) -> None:
    """End all streams of ``app`` within a moment: browsers come back to whoever serves next. Safe in a signal's handler."""
    streams = app.extensions.get(_KEY)
    if streams is not None:
        # A handler may have interrupted the very thread that holds the lock.
        threading.Thread(target=streams.watch.close, daemon=True).start()


@blueprint.get("/deployments/<int:number>/log")
def follow(number: int) -> Response:
    """The log from ``Last-Event-ID`` (or ``?from=``) on."""
    streams, here = cast("_Streams", current_app.extensions[_KEY]), world()
    with here.database.reading() as connection:
        job = history.job(connection, number)
    if job is None:
        abort(404)
    if not streams.enter():
        return Response("too many logs are open\n", 503, {"Retry-After": BUSY_SECONDS}, mimetype="text/plain")
    wanted = request.headers.get("Last-Event-ID") or request.args.get("from", "0")
    position = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 16 else 0
    events = _events(streams.watch, here.config.log_folder, job, position)
    response = Response(events, mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(streams.leave)
    return response


def _events(watch: Watch, folder: Path, job: Job, position: int) -> Iterator[bytes]:
    yield b"retry: %d\n\n" % RETRY_MILLISECONDS
    with watch.following(job.id, over=job.status.over) as follower:
        while not follower.ended:
            size, over = follower.size, follower.over
            events, behind = _piece(folder, job.id, position, size)
            if behind != position:
                position = behind
                yield events
            elif over:
                yield b"event: end\ndata: {}\n\n"
                return
            elif not _waited(follower, size):
                yield b": still here\n\n"


@lru_cache(16)
def _piece(folder: Path, number: int, position: int, _size: int) -> tuple[bytes, int]:
    """The events from ``position`` on, and where to go on. All who wait at one place are served by one look at the file."""
    piece = read_log(folder, number, position)
    return b"".join(_event(behind, line) for behind, line in piece.lines), piece.position


def _waited(follower: Follower, size: int) -> bool:
    """Whether something has happened before the next heartbeat is due."""
    follower.wait(size, HEARTBEAT_SECONDS)
    return follower.size != size or follower.over or follower.ended


def _event(position: int, line: dict[str, Any]) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (position, msgspec.json.encode(shown_line(line)))


def shown_line(line: dict[str, Any]) -> dict[str, object]:
    """A line of a log as pages show it; what is missing or of a wrong type is empty."""
    at, kind, seconds = line.get("at"), line.get("kind"), line.get("seconds")
    text, name = str(line.get("text") or ""), str(line.get("name") or "")
    return {
        "at": at if isinstance(at, int | float) and 0 <= at < _LATEST else 0,
        "kind": kind if isinstance(kind, str) and kind in _KINDS else "output",
        "text": several_lines(": ".join(filter(None, (name, text)))),
        "name": several_lines(name),
        "seconds": seconds if isinstance(seconds, int | float) else None,
    }
