"""Pages are for people who are logged in, and their forms for our own pages."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, Response, abort, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from receiver.web.sessions import check_form, current_user

__all__ = ["for_people"]


def for_people(blueprint: Blueprint) -> Blueprint:
    """``blueprint``, whose routes answer only those who are logged in. Returned as it is, for whoever names it."""

    @blueprint.before_request
    def _check() -> AnyResponse | None:
        if not current_user():
            return _elsewhere()
        if request.method not in {"GET", "HEAD", "OPTIONS"}:
            check_form()
        return None

    return blueprint


def _elsewhere() -> AnyResponse:
    """To the login for a page; the script, which has no use for one, is told."""
    if request.method not in {"GET", "HEAD"}:
        abort(401, "You are no longer logged in. Log in, and send the form again.")
    if request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate" or request.path.startswith("/live/"):
        return Response("log in first\n", 401, mimetype="text/plain")
    here = request.full_path.rstrip("?")
    return redirect("/login" if here == "/" else _login(here))


def _login(target: str) -> str:
    return f"/login?{urlencode({'next': target})}"
