"""The JSON API: what the dashboard shows and does, for programs. docs/receiver-api.md describes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from flask import Blueprint, Response, abort, jsonify, request

from receiver.config import App
from receiver.logs import read_log
from receiver.store import Job, Source, history
from receiver.store.jobs import cancel
from receiver.store.queueing import Request
from receiver.web import views
from receiver.web.orders import is_release, order
from receiver.web.pages import configured_app
from receiver.web.sessions import LARGEST_FORM
from receiver.web.tokens import caller, for_tokens
from receiver.web.world import world

__all__ = ["blueprint"]

MOST, USUAL = 200, 50
_JOB = (
    "id app kind ref source forced target requested_by status created_at due_at started_at finished_at attempt commit "
    "release exit_code error"
).split()
_DELIVERY = "guid event action repository ref commit received_at repeats".split()
_FATE = "app verdict reason job".split()

blueprint = for_tokens(Blueprint("api", __name__, url_prefix="/api"))


def _wishes(allowed: str) -> str:
    """The value of the one key that the body may have; empty without it. 400 for anything else."""
    request.max_content_length = LARGEST_FORM
    body = request.get_data()
    try:
        given = msgspec.json.decode(body, type=dict[str, str]) if body.strip() else {}
    except (msgspec.DecodeError, RecursionError):
        abort(400, f'the body is not JSON like {{"{allowed}": "…"}}')
    if set(given) - {allowed}:
        abort(400, f"the only key of the body is {allowed}")
    return given.get(allowed, "")


def _number(name: str, otherwise: int, most: int) -> int:
    text = request.args.get(name, "")
    if not text:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        abort(400, f"{name} is not a number")
    return min(int(text), most)


def _page() -> tuple[int | None, int]:
    before = _number("before", 0, 1 << 62)
    return before or None, max(1, _number("limit", USUAL, MOST))


def _job(job: Job, *, whole: bool = False) -> dict[str, Any]:
    told = {name: getattr(job, name) for name in _JOB} | {"url": f"/deployments/{job.id}"}
    if whole:
        told["result"] = _decoded(job.result)
    return told


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text) if text else None
    except msgspec.DecodeError:
        return None


def _state(state: views.AppState) -> dict[str, Any]:
    live = state.live
    return {
        "name": state.name,
        "repository": state.app.repository,
        "refs": list(state.app.refs),
        "state": state.state,
        "live": {name: getattr(live, name) for name in ("ref", "commit", "release", "job", "since")} if live else None,
        "probe": msgspec.to_builtins(state.probe) if state.probe else None,
        "running": _job(state.running) if state.running else None,
        "waiting": [_job(job) for job in state.waiting],
        "last": _job(state.last) if state.last else None,
    }


@blueprint.get("/apps")
def apps() -> Response:
    """All apps."""
    here = world()
    with here.database.reading() as connection:
        states = views.app_states(connection, here.config)
        trouble = views.warnings(connection, here.database.now(connection))
    return jsonify(apps=[_state(state) for state in states], warnings=trouble)


@blueprint.get("/apps/<name>")
def app(name: str) -> Response:
    """One app, with its releases."""
    wanted = configured_app(name)
    with world().database.reading() as connection:
        state = views.app_state(connection, name, wanted)
        releases = views.kept_releases(connection, name)
    live = state.live.release if state.live else ""
    told = [
        {"release": each.name, "commit": each.commit, "job": each.job, "at": each.at, "live": each.name == live}
        for each in releases
    ]
    return jsonify(_state(state) | {"releases": told})


def _delivery(row: views.DeliveryRow) -> dict[str, Any]:
    fates = [{name: getattr(fate, name) for name in _FATE} for fate in row.fates]
    return {name: getattr(row.delivery, name) for name in _DELIVERY} | {"apps": fates}


@blueprint.get("/deliveries")
def deliveries() -> Response:
    """Deliveries, newest first."""
    before, limit = _page()
    with world().database.reading() as connection:
        rows = views.by_delivery(connection, history.deliveries_before(connection, before, limit))
    following = rows[-1].delivery.id if len(rows) == limit else None
    return jsonify(deliveries=[_delivery(row) for row in rows], next=following)


@blueprint.get("/deliveries/<guid>")
def delivery(guid: str) -> Response:
    """One delivery."""
    with world().database.reading() as connection:
        rows = views.by_delivery(connection, history.delivery(connection, guid))
    if not rows:
        abort(404, "there is no delivery with this id")
    return jsonify(_delivery(rows[0]))


@blueprint.get("/deployments")
def deployments() -> Response:
    """Jobs, newest first."""
    before, limit = _page()
    with world().database.reading() as connection:
        jobs = history.jobs_before(connection, before, limit, request.args.get("app", ""))
    return jsonify(deployments=[_job(job) for job in jobs], next=jobs[-1].id if len(jobs) == limit else None)


def _known(number: int) -> tuple[Job, list[str]]:
    """The job, and the ids of the deliveries that led to it; or 404."""
    with world().database.reading() as connection:
        job = history.job(connection, number)
        if job is None:
            abort(404, "there is no deployment with this number")
        led = history.deliveries_of_job(connection, number)
        return job, list(dict.fromkeys(entry.guid for entry in led))


@blueprint.get("/deployments/<int:number>")
def deployment(number: int) -> Response:
    """One job, with its result and the deliveries that led to it."""
    job, guids = _known(number)
    return jsonify(_job(job, whole=True) | {"deliveries": guids})


@blueprint.get("/deployments/<int:number>/log")
def log(number: int) -> Response:
    """What is in the log from a position on: a line of JSON each, with the position behind it."""
    _known(number)
    start = _number("from", 0, 1 << 53)
    return Response(_lines(world().config.log_folder, number, start), mimetype="application/x-ndjson")


def _lines(folder: Path, number: int, position: int) -> Iterator[bytes]:
    while (piece := read_log(folder, number, position)).position != position:
        position = piece.position
        yield b"".join(msgspec.json.encode(line | {"position": behind}) + b"\n" for behind, line in piece.lines)


@blueprint.post("/apps/<name>/deploy")
def deploy(name: str) -> tuple[Response, int]:
    """Deploy a ref's newest commit, even if it is live."""
    wanted = configured_app(name)
    ref = _wishes("ref") or _usual_ref(wanted)
    if not views.fits(wanted, ref):
        abort(400, "the ref is none of those that the app deploys")
    return _ordered(Request(name, ref, Source.MANUAL, forced=True, requested_by=caller()))


def _usual_ref(wanted: App) -> str:
    exact = next((ref for ref in wanted.refs if not set("*?") & set(ref)), "")
    return exact or abort(400, "the app names only patterns of refs: say which ref")


@blueprint.post("/apps/<name>/rollback")
def roll_back(name: str) -> tuple[Response, int]:
    """Go back to a release, or to the one before."""
    configured_app(name)
    release = _wishes("release")
    if release and not is_release(release):
        abort(400, "this is no release's name")
    return _ordered(Request(name, "", Source.MANUAL, kind="rollback", target=release, requested_by=caller()))


def _ordered(wanted: Request) -> tuple[Response, int]:
    number = order(wanted)
    job, _ = _known(number)
    return jsonify(_job(job)), 202


@blueprint.post("/deployments/<int:number>/cancel")
def call_off(number: int) -> Response:
    """Take a waiting job out of the queue."""
    _known(number)
    if not cancel(world().database, number, caller()):
        abort(409, "it does not wait: only what waits can be cancelled")
    return jsonify(_job(_known(number)[0]))
