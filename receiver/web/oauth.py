"""Login by GitHub: the two requests that turn a code into an account's name.

https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
"""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlencode, urlsplit

from deployer.secret import Secret
from receiver.config import OAuth
from receiver.errors import ReceiverError

__all__ = ["OAuthTrouble", "authorize_url", "name_of"]

SECONDS = 10.0
LARGEST_ANSWER = 1 << 20


class OAuthTrouble(ReceiverError):
    """GitHub could not be asked, or did not say who it is."""


def authorize_url(oauth: OAuth, redirect_uri: str, state: str) -> str:
    """Where the browser goes to be asked. No scope: the name is all that is wanted."""
    fields = {"client_id": oauth.client_id, "redirect_uri": redirect_uri, "state": state, "allow_signup": "false"}
    return f"{oauth.url.rstrip('/')}/login/oauth/authorize?{urlencode(fields)}"


def name_of(oauth: OAuth, client_secret: Secret, api_url: str, code: str, redirect_uri: str) -> str:
    """The account that has come back with ``code``. Its token is used for this one question. Raises OAuthTrouble."""
    fields = {
        "client_id": oauth.client_id,
        "client_secret": client_secret.reveal(),
        "code": code,
        "redirect_uri": redirect_uri,
    }
    answer = _ask("POST", f"{oauth.url.rstrip('/')}/login/oauth/access_token", urlencode(fields))
    token = answer.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise OAuthTrouble("GitHub did not accept the code")
    name = _ask("GET", f"{api_url.rstrip('/')}/user", token=token).get("login")
    if not isinstance(name, str) or not name:
        raise OAuthTrouble("GitHub did not say whose account it is")
    return name


def _ask(method: str, url: str, body: str | None = None, token: str = "") -> dict[str, Any]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=SECONDS)
    headers = {"Accept": "application/json", "User-Agent": "deployer"}
    headers |= {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request(method, parts.path, body, headers)
        answer = connection.getresponse()
        data = json.loads(answer.read(LARGEST_ANSWER))
    except (OSError, http.client.HTTPException, ValueError):
        raise OAuthTrouble(f"{parts.hostname} did not answer as GitHub does") from None
    finally:
        connection.close()
    if answer.status != 200 or not isinstance(data, dict):
        raise OAuthTrouble(f"{parts.hostname} answered with status {answer.status}")
    return data
