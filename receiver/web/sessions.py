"""Who is logged in: a signed cookie that says who, how and since when, and the token that every form carries."""

from __future__ import annotations

import hmac
import secrets
import time
from urllib.parse import urlsplit

from flask import Flask, abort, request, session
from flask.sessions import SecureCookieSessionInterface

from receiver.web.limits import is_https
from receiver.web.world import World, world

__all__ = [
    "DASHBOARD",
    "LARGEST_FORM",
    "check_form",
    "csrf_token",
    "current_user",
    "is_secure",
    "log_in",
    "log_out",
    "set_up",
]

COOKIE = "deployer"
DASHBOARD = "dashboard"
"""The name of whoever has logged in with the password."""
_HOUR = 3_600
LARGEST_FORM = 16 << 10


class _Sessions(SecureCookieSessionInterface):
    def get_cookie_secure(self, app: Flask) -> bool:
        """Only where the browser came over https: elsewhere it would not send the cookie back."""
        return is_secure()


def set_up(app: Flask, here: World) -> None:
    """Say what the cookie is like."""
    hours = here.config.login.session_hours if here.config.login else 1
    app.session_interface = _Sessions()
    app.config.update(
        SESSION_COOKIE_NAME=COOKIE,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=hours * _HOUR,
    )


def is_secure() -> bool:
    """Whether this request's browser speaks https."""
    config = world().config
    return config.public_url.startswith("https://") or is_https(request, config.trusted_proxies)


def log_in(user: str, method: str) -> None:
    """Begin a new session: nothing of the one before, which somebody else may have made, goes on."""
    session.clear()
    session.permanent = True
    session.update(user=user, method=method, since=time.time(), proof=_proof(method))
    csrf_token()


def log_out() -> None:
    """End the session."""
    session.clear()


def current_user() -> str:
    """Who is logged in; empty: nobody. A changed password, and a name taken off the list, end a session."""
    here, held = world(), session
    login, user, since = here.config.login, held.get("user"), held.get("since")
    if login is None or not isinstance(user, str) or not isinstance(since, float):
        return ""
    if time.time() - since >= login.session_hours * _HOUR:
        return ""
    if not hmac.compare_digest(str(held.get("proof")).encode(), _proof(str(held.get("method"))).encode()):
        return ""
    named = {name.lower() for name in login.github.users} if login.github else set()
    return user if held.get("method") == "password" or user.lower() in named else ""


def _proof(method: str) -> str:
    """What changes with the password, or with the OAuth app."""
    here = world()
    secret = here.secrets.password_hash if method == "password" else here.secrets.oauth_secret
    return hmac.digest(here.session_key, f"{method}:{secret.reveal()}".encode(), "sha256").hex()[:32] if secret else "-"


def csrf_token() -> str:
    """The session's own token, for each of its forms."""
    if not isinstance(session.get("csrf"), str):
        session["csrf"] = secrets.token_urlsafe(24)
    return str(session["csrf"])


def check_form() -> None:
    """Refuse what was not sent by a form of ours: before anything is done about a POST."""
    request.max_content_length = LARGEST_FORM
    origin, config = request.headers.get("Origin"), world().config
    ours = {request.host, urlsplit(config.public_url).netloc}
    if origin is not None and urlsplit(origin).netloc not in ours - {""}:
        abort(403, "This form was sent by another site.")
    expected = session.get("csrf")
    given = request.form.get("csrf", "")
    if not isinstance(expected, str) or not hmac.compare_digest(expected.encode(), given.encode()):
        abort(403, "This form is too old, or was not ours. Load the page again.")
