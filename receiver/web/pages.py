"""The dashboard's pages."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, Response, abort, render_template, request

from receiver.config import App
from receiver.store import Job, history
from receiver.store.releases import commit_before
from receiver.web import views
from receiver.web.access import for_people
from receiver.web.chart import probe_chart
from receiver.web.logview import log_text, log_view
from receiver.web.outcome import Outcome, Step, outcome_of
from receiver.web.world import world

__all__ = ["blueprint", "configured_app"]

PAGE = 25
RECENT = 8
_IDLE_SECONDS, _BUSY_SECONDS = 10, 3

blueprint = for_people(Blueprint("pages", __name__))


def configured_app(name: str) -> App:
    """The app called ``name``, or 404."""
    app = world().config.apps.get(name)
    if app is None:
        abort(404, "There is no app of this name.")
    return app


def _before() -> int | None:
    """Where a page of a list begins."""
    text = request.args.get("before", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _overview() -> dict[str, Any]:
    here, now = world(), time.time()
    with here.database.reading() as connection:
        states = views.app_states(connection, here.config)
        return {
            "states": states,
            "jobs": history.jobs_before(connection, None, RECENT),
            "deliveries": views.by_delivery(connection, history.deliveries_before(connection, None, RECENT)),
            "apps": here.config.apps,
            "warnings": views.warnings(connection, now),
            "every": _BUSY_SECONDS if any(state.running or state.waiting for state in states) else _IDLE_SECONDS,
        }


@blueprint.get("/")
def overview() -> str:
    """All apps, and what happened lately."""
    return render_template("overview.html", **_overview())


@blueprint.get("/live/overview")
def live_overview() -> str:
    """The part of it that changes."""
    return render_template("parts/overview.html", **_overview())


def _app(name: str) -> dict[str, Any]:
    here, app = world(), configured_app(name)
    with here.database.reading() as connection:
        state = views.app_state(connection, name, app)
        jobs = history.jobs_before(connection, _before(), PAGE + 1, name)
        return {
            "state": state,
            "releases": views.kept_releases(connection, name),
            "refs": views.deployable(connection, name, app),
            "apps": here.config.apps,
            "jobs": jobs[:PAGE],
            "older": jobs[PAGE - 1].id if len(jobs) > PAGE else None,
            "newest": _before() is None,
            "every": _BUSY_SECONDS if state.running or state.waiting else _IDLE_SECONDS,
        }


@blueprint.get("/apps/<name>")
def app_page(name: str) -> str:
    """One app."""
    return render_template("app.html", **_app(name))


@blueprint.get("/live/apps/<name>")
def live_app(name: str) -> str:
    """The part of it that changes."""
    return render_template("parts/app.html", **_app(name))


@blueprint.get("/deliveries")
def deliveries() -> str:
    """All deliveries, a page at a time."""
    with world().database.reading() as connection:
        rows = views.by_delivery(connection, history.deliveries_before(connection, _before(), PAGE + 1))
    older = rows[PAGE - 1].delivery.id if len(rows) > PAGE else None
    return render_template("deliveries.html", deliveries=rows[:PAGE], older=older, newest=_before() is None)


@blueprint.get("/deliveries/<guid>")
def delivery(guid: str) -> str:
    """One delivery's fate."""
    with world().database.reading() as connection:
        rows = views.by_delivery(connection, history.delivery(connection, guid))
        if not rows:
            abort(404, "There is no delivery with this id. Old ones are forgotten after a while.")
        jobs = {fate.job: history.job(connection, fate.job) for fate in rows[0].fates if fate.job}
    return render_template("delivery.html", row=rows[0], jobs=jobs)


def _deployment(number: int) -> dict[str, Any]:
    here = world()
    with here.database.reading() as connection:
        job = history.job(connection, number)
        if job is None:
            abort(404, "There is no deployment with this number. Old ones are forgotten after a while.")
        live = history.live_app(connection, job.app)
        return {
            "job": job,
            "app": here.config.apps.get(job.app),
            "outcome": outcome_of(job),
            "is_live": views.is_live(job, live),
            "before": commit_before(connection, job.app, number) if job.commit else "",
            "deliveries": views.by_delivery(connection, history.deliveries_of_job(connection, number)),
        }


def _told(outcome: Outcome) -> str:
    probe = outcome.probe
    if probe is None:
        return "Latency of the probe's requests over time"
    switched = f" The switch was after {outcome.switch_at:.1f} s." if outcome.switch_at is not None else ""
    return f"Latency of {probe.requests} requests over time; {probe.dropped} were dropped.{switched}"


def _with_facts(facts: dict[str, Any], steps: tuple[Step, ...]) -> dict[str, Any]:
    outcome, job = facts["outcome"], facts["job"]
    chosen = outcome.steps or steps
    return facts | {
        "steps": chosen,
        "slowest": max((step.seconds or 0.0 for step in chosen), default=0.0),
        "chart": probe_chart(outcome.points, outcome.switch_at, _told(outcome)),
        "every": 0 if job.status.over else _BUSY_SECONDS,
    }


@blueprint.get("/deployments/<int:number>")
def deployment(number: int) -> str:
    """One deploy or rollback."""
    facts, log = _deployment(number), log_view(world().config.log_folder, number)
    return render_template("deployment.html", log=log, **_with_facts(facts, log.steps))


@blueprint.get("/live/deployments/<int:number>")
def live_deployment(number: int) -> str:
    """The part of it that changes; the log comes by itself."""
    facts = _deployment(number)
    job: Job = facts["job"]
    steps = () if job.status.over and facts["outcome"].steps else log_view(world().config.log_folder, number).steps
    return render_template("parts/deployment.html", **_with_facts(facts, steps))


@blueprint.get("/deployments/<int:number>/log.txt")
def whole_log(number: int) -> Response:
    """All of the log as plain text."""
    return Response(log_text(world().config.log_folder, number), mimetype="text/plain")
