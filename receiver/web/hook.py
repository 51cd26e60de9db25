"""``POST /hooks/github``: verify, decide, store durably, answer.

Nothing is said about anything before the signature is verified, and 202 only when the delivery is on disk.
"""

from __future__ import annotations

import hashlib
import math
import re
import time
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import parse_qs

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from receiver.errors import StoreUnavailable
from receiver.hooks import EVENTS, Event, MalformedPayload, decide, owners_of, parse_event
from receiver.hooks.signature import HEADER
from receiver.store.intake import Arrival
from receiver.web.allowing import Networks
from receiver.web.limits import FailureLimit, client_address
from receiver.web.world import World, world

__all__ = ["blueprint", "set_up"]

STORE_SECONDS = 9.0
"""GitHub waits for ten seconds."""
READ_SIZE = 1 << 16
_KEY = "receiver-door"
_GUID = re.compile(r"[0-9A-Za-z-]{1,64}")
_EVENT = re.compile(r"[a-z0-9_]{1,50}")
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"

blueprint = Blueprint("hook", __name__)


@dataclass(frozen=True, slots=True)
class _Door:
    """Who may come in: one for each application."""

    failures: FailureLimit = field(default_factory=lambda: FailureLimit(30, 60))
    networks: Networks = field(default_factory=Networks)


def set_up(app: Flask) -> None:
    """Give ``app`` its door."""
    app.extensions[_KEY] = _Door()


def _door() -> _Door:
    return cast("_Door", current_app.extensions[_KEY])


@blueprint.post("/hooks/github")
def receive() -> tuple[Response, int]:
    """GitHub's deliveries."""
    here = world()
    client = client_address(request, here.config.trusted_proxies)
    if refusal := _refuse(here, client):
        return refusal
    body = read_body(here.config.largest_delivery)
    owners = owners_of(body, request.headers.get(HEADER, "").encode("utf-8", "surrogateescape"), here.secrets.webhook)
    if not owners:
        _door().failures.fail(client)
        return jsonify(error="the signature is missing or wrong"), 401
    name, guid = request.headers.get("X-GitHub-Event", ""), request.headers.get("X-GitHub-Delivery", "")
    if not _EVENT.fullmatch(name) or not _GUID.fullmatch(guid):
        return jsonify(error="X-GitHub-Event or X-GitHub-Delivery is missing or malformed"), 400
    try:
        event = parse_event(name, _payload(body))
    except MalformedPayload as error:
        return jsonify(error=str(error)), 400
    return _store(here, guid, body, event, owners)


def _refuse(here: World, client: str) -> tuple[Response, int] | None:
    """Before anything is read: those who may not deliver, and those who have failed too often."""
    if here.config.allow and not _door().networks.allow(here, client):
        return jsonify(error="deliveries are not taken from this address"), 403
    if wait := _door().failures.wait(client):
        answer = jsonify(error="too many deliveries with a wrong signature; come again later")
        answer.headers["Retry-After"] = str(math.ceil(wait))
        return answer, 429
    return None


def read_body(largest: int) -> bytes:
    """The whole body. Raises RequestEntityTooLarge: for a sized one before anything of it is read."""
    if (request.content_length or 0) > largest:
        raise RequestEntityTooLarge
    pieces, size = [], 0
    while piece := request.stream.read(READ_SIZE):
        size += len(piece)
        if size > largest:
            raise RequestEntityTooLarge
        pieces.append(piece)
    return b"".join(pieces)


def _payload(body: bytes) -> bytes:
    """The JSON text, as it is or as the one field of a form. Raises MalformedPayload."""
    if request.mimetype == _JSON:
        return body
    if request.mimetype != _FORM:
        raise MalformedPayload(f"the content type is neither {_JSON} nor {_FORM}")
    try:
        fields = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=8, errors="strict")
        (payload,) = fields["payload"]
        return payload.encode()
    except (ValueError, KeyError):
        raise MalformedPayload("the form has no single field called payload") from None


def _store(here: World, guid: str, body: bytes, event: Event, owners: frozenset[str]) -> tuple[Response, int]:
    concerned = {
        name: app for name, app in here.config.apps.items() if name in owners and _names(event, app.repository)
    }
    verdicts = tuple((name, decide(app, event)) for name, app in concerned.items())
    arrival = Arrival(guid, hashlib.sha256(body).hexdigest(), event, time.time(), verdicts)
    try:
        stored = here.committer.store(arrival, STORE_SECONDS)
    except StoreUnavailable:
        return jsonify(error="the delivery could not be stored; deliver it again"), 503
    fates = [
        {"app": fate.app, "verdict": fate.verdict, "reason": fate.reason, "job": fate.job} for fate in stored.fates
    ]
    known = event.name in EVENTS
    return jsonify(delivery=guid, event=event.name if known else "unknown", apps=fates), 202


def _names(event: Event, repository: str) -> bool:
    """An organisation's ping and events that nobody knows name no repository."""
    return event.repository.lower() in {"", repository.lower()}
