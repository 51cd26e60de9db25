"""Bearer tokens of the API: only their hashes are known. A token is 32 random bytes, so that a plain hash is enough."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from flask import Blueprint, Response, abort, g, jsonify, request

from receiver.config import Token
from receiver.web.guard import guard
from receiver.web.limits import client_address
from receiver.web.world import world

__all__ = ["caller", "for_tokens", "owner_of"]

_SCHEME = "bearer "


def owner_of(token: str, known: Iterable[Token]) -> str:
    """The name of the token's owner; empty: nobody's. Every token is compared, so that time tells nothing."""
    given = b"sha256:" + hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest().encode()
    found = ""
    for each in known:
        if hmac.compare_digest(each.hash.encode(), given):
            found = each.name or "token"
    return found


def _refusal(status: int, words: str, header: str, value: str) -> Response:
    answer = jsonify(error=words)
    answer.status_code, answer.headers[header] = status, value
    return answer


def for_tokens(blueprint: Blueprint) -> Blueprint:
    """``blueprint``, whose routes answer only those who send a token; a cookie counts for nothing."""

    @blueprint.before_request
    def _check() -> Response | None:
        here = world()
        address = client_address(request, here.config.trusted_proxies)
        if wait := guard().failures.wait(address):
            return _refusal(429, "too many wrong tokens from this address; wait", "Retry-After", f"{wait + 1:.0f}")
        text = request.headers.get("Authorization", "")
        token = text[len(_SCHEME) :].strip() if text.lower().startswith(_SCHEME) else ""
        owner = owner_of(token, here.config.login.tokens) if token and here.config.login else ""
        if not owner:
            if token:
                guard().failures.fail(address)
            words = "send a token that receiver.toml knows: Authorization: Bearer TOKEN"
            return _refusal(401, words, "WWW-Authenticate", "Bearer")
        g.caller = owner
        return None

    return blueprint


def caller() -> str:
    """The name of the token that this request has sent."""
    if "caller" not in g:
        abort(401)
    return str(g.caller)
