"""The dashboard's buttons: deploy again, go back to a release, take a waiting job out of the queue."""

from __future__ import annotations

import re

from flask import Blueprint, abort, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from receiver import alarm
from receiver.config import App
from receiver.store import Source, history
from receiver.store.jobs import cancel
from receiver.store.jobs import request as request_job
from receiver.store.queueing import Request
from receiver.web import views
from receiver.web.access import for_people
from receiver.web.pages import configured_app
from receiver.web.sessions import current_user
from receiver.web.world import world

__all__ = ["blueprint", "is_release", "order"]

_RELEASE = re.compile(r"\d{8}T\d{6}Z-[0-9a-z]{1,40}")

blueprint = for_people(Blueprint("orders", __name__))


def is_release(text: str) -> bool:
    """Whether it could be a release's name."""
    return _RELEASE.fullmatch(text) is not None


def order(wanted: Request) -> int:
    """Store a job, and wake whoever does it. Returns its id. Raises StoreUnavailable."""
    number = request_job(world().database, wanted)
    alarm.knock(world().config.state)
    return number


@blueprint.post("/apps/<name>/deploy")
def deploy(name: str) -> AnyResponse:
    """Deploy a ref's newest commit, even if it is live."""
    app = configured_app(name)
    ref = request.form.get("ref", "")
    if not views.fits(app, ref):
        abort(400, "This ref is none of those that the app deploys.")
    number = order(Request(name, ref, Source.MANUAL, forced=True, requested_by=current_user()))
    return redirect(f"/deployments/{number}", 303)


@blueprint.post("/apps/<name>/rollback")
def roll_back(name: str) -> AnyResponse | str:
    """Go back to a release; whoever has not been asked yet is asked first."""
    app = configured_app(name)
    release = request.form.get("release", "")
    if not is_release(release):
        abort(400, "This is no release's name.")
    if request.form.get("confirmed") != "yes":
        return _question(name, app, release)
    number = order(Request(name, "", Source.MANUAL, kind="rollback", target=release, requested_by=current_user()))
    return redirect(f"/deployments/{number}", 303)


def _question(name: str, app: App, release: str) -> str:
    with world().database.reading() as connection:
        state = views.app_state(connection, name, app)
    return render_template("ask.html", state=state, release=release)


@blueprint.post("/deployments/<int:number>/cancel")
def call_off(number: int) -> AnyResponse:
    """Take a waiting job out of the queue; one that has begun meanwhile goes on."""
    with world().database.reading() as connection:
        if history.job(connection, number) is None:
            abort(404, "There is no deployment with this number.")
    if not cancel(world().database, number, current_user()):
        abort(409, "It has already begun: only what waits can be cancelled.")
    return redirect(f"/deployments/{number}", 303)
