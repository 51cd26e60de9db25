"""Dashboard and API, put together: what ``create_app`` registers where ``[login]`` is set."""

from __future__ import annotations

import time
from typing import Any

from flask import Flask, Response, jsonify, render_template, request
from werkzeug.exceptions import HTTPException

from receiver.errors import StoreUnavailable
from receiver.web import api, assets, guard, headers, login, orders, pages, places, sessions, streams, texts
from receiver.web.world import World

__all__ = ["register"]

_FOR_PROGRAMS = ("/api/", "/hooks/", "/health", "/metrics")


def register(app: Flask, here: World) -> None:
    """Add to ``app`` what ``here.config.login`` asks for: pages where people can log in, the API where there are tokens."""
    headers.protect(app)
    wanted = here.config.login
    if wanted is None:
        return
    guard.set_up(app)
    sessions.set_up(app, here)
    app.register_blueprint(api.blueprint)
    with_pages = bool(wanted.password_hash or wanted.github)
    _handle_errors(app, with_pages=with_pages)
    if with_pages:
        _prepare_templates(app, here)
        streams.set_up(app, here)
        for part in (assets, login, pages, orders, streams):
            app.register_blueprint(part.blueprint)


def _prepare_templates(app: Flask, here: World) -> None:
    environment = app.jinja_env
    environment.finalize = texts.shown
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters.update(texts.FILTERS)
    environment.globals.update(asset=assets.asset_url, github=places.GitHubLinks(here.config))

    @app.context_processor
    def _add() -> dict[str, Any]:
        return {"user": sessions.current_user(), "csrf_token": sessions.csrf_token, "now": time.time()}


def _handle_errors(app: Flask, *, with_pages: bool) -> None:
    """One sentence: on a page for people, as JSON for programs."""

    def answer(status: int, message: str) -> Any:
        if with_pages and not request.path.startswith(_FOR_PROGRAMS):
            shown = Response(render_template("problem.html", status=status, message=message))
        else:
            shown = jsonify(error=message)
        shown.status_code = status
        if status == 503:
            shown.headers["Retry-After"] = "10"
        return shown

    @app.errorhandler(HTTPException)
    def _refused(error: HTTPException) -> Any:
        status = error.code or 500
        return error if status < 400 or error.response else answer(status, error.description or error.name)

    @app.errorhandler(StoreUnavailable)
    def _unavailable(error: StoreUnavailable) -> Any:
        return answer(503, f"The database cannot be used at the moment: {error.message}")
