"""Logging in, by password or by GitHub, and out."""

from __future__ import annotations

import hmac
import secrets

from flask import Blueprint, Response, abort, redirect, render_template, request, session
from werkzeug.security import check_password_hash
from werkzeug.wrappers import Response as AnyResponse

from deployer.secret import Secret
from receiver.config import OAuth
from receiver.web.guard import guard
from receiver.web.limits import client_address
from receiver.web.oauth import OAuthTrouble, authorize_url, name_of
from receiver.web.sessions import DASHBOARD, check_form, csrf_token, current_user, log_in, log_out
from receiver.web.world import world

__all__ = ["blueprint", "safe_target"]

LONGEST_PASSWORD = 1_024
CHECK_SECONDS = 10.0

blueprint = Blueprint("login", __name__)


def safe_target(target: str) -> str:
    """Where to go after the login: a page of ours, whatever the address says."""
    local = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if local and len(target) < 500 else "/"


@blueprint.get("/login")
def ask() -> AnyResponse:
    """The form."""
    target = safe_target(request.args.get("next", "/"))
    return redirect(target) if current_user() else _form(target)


def _form(target: str, problem: str = "", status: int = 200) -> Response:
    login = world().config.login
    page = render_template(
        "login.html",
        target=target,
        problem=problem,
        with_password=bool(login and login.password_hash),
        with_github=bool(login and login.github),
        csrf=csrf_token(),
    )
    return Response(page, status, headers={"Retry-After": "60"} if status == 429 else None)


@blueprint.post("/login")
def check() -> AnyResponse:
    """The password."""
    check_form()
    target = safe_target(request.form.get("next", "/"))
    address = client_address(request, world().config.trusted_proxies)
    if not guard().checks.acquire(timeout=CHECK_SECONDS):
        abort(503, "Too many logins at once. Try again.")
    try:
        # Asked where only two can be at once: a hundred wrong ones must not all come before the first is counted.
        if guard().failures.wait(address):
            return _form(target, "Too many failed logins from your address. Wait a minute.", 429)
        if not _fits(request.form.get("password", ""), world().secrets.password_hash):
            guard().failures.fail(address)
            return _form(target, "This is not the password.", 401)
    finally:
        guard().checks.release()
    log_in(DASHBOARD, "password")
    return redirect(target, 303)


def _fits(password: str, expected: Secret) -> bool:
    if not expected or len(password) > LONGEST_PASSWORD:
        return False
    try:
        return world().aside(check_password_hash, expected.reveal(), password)
    except ValueError:  # no hash at all: nothing fits
        return False


@blueprint.get("/login/github")
def go_to_github() -> AnyResponse:
    """Send the browser to GitHub, with a state that only this browser can bring back."""
    session["state"] = secrets.token_urlsafe(24)
    session["next"] = safe_target(request.args.get("next", "/"))
    return redirect(authorize_url(_oauth(), _callback(), session["state"]))


@blueprint.get("/login/github/callback")
def come_back() -> AnyResponse:
    """The browser is back with a code, which GitHub turns into a name."""
    here, oauth = world(), _oauth()
    state, target = session.pop("state", None), safe_target(str(session.pop("next", "/")))
    address = client_address(request, here.config.trusted_proxies)
    if guard().failures.wait(address):
        return _form(target, "Too many failed logins from your address. Wait a minute.", 429)
    given = request.args.get("state", "")
    if not isinstance(state, str) or not hmac.compare_digest(state.encode(), given.encode()):
        return _form(target, "This login was not begun in this browser, or took too long. Try again.", 403)
    if "code" not in request.args:
        return _form(target, "GitHub says that the login was cancelled.", 403)
    try:
        name = name_of(oauth, here.secrets.oauth_secret, here.config.github.api_url, request.args["code"], _callback())
    except OAuthTrouble as error:
        guard().failures.fail(address)
        return _form(target, f"{error.message}.", 502)
    if name.lower() not in {user.lower() for user in oauth.users}:
        guard().failures.fail(address)
        return _form(target, f"The GitHub account {name} may not log in here.", 403)
    log_in(name, "github")
    return redirect(target, 303)


def _oauth() -> OAuth:
    login = world().config.login
    if login is None or login.github is None:
        abort(404)
    return login.github


def _callback() -> str:
    base = world().config.public_url or request.host_url
    return f"{base.rstrip('/')}/login/github/callback"


@blueprint.post("/logout")
def leave() -> AnyResponse:
    """End the session."""
    check_form()
    log_out()
    return redirect("/login", 303)
