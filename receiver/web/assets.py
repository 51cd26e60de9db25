"""Style sheet, script and icon: read once, and named by their contents, so that browsers ask for each of them once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from flask import Blueprint, Response, abort, request
from werkzeug.wrappers import Response as AnyResponse

__all__ = ["asset_url", "blueprint"]

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_FOREVER = "public, max-age=31536000, immutable"

blueprint = Blueprint("assets", __name__)


@dataclass(frozen=True, slots=True)
class _Asset:
    contents: bytes
    digest: str
    kind: str


@cache
def _assets() -> dict[str, _Asset]:
    found = {}
    for file in files("receiver.web").joinpath("static").iterdir():
        contents = file.read_bytes()
        digest = hashlib.sha256(contents).hexdigest()[:16]
        found[file.name] = _Asset(contents, digest, _TYPES[file.name.rpartition(".")[2]])
    return found


def asset_url(name: str) -> str:
    """Where the asset is."""
    return f"/static/{_assets()[name].digest}/{name}"


@blueprint.get("/static/<digest>/<name>")
def send(digest: str, name: str) -> AnyResponse:
    """One asset. Its name has its hash: another hash is of another version, which is not here."""
    asset = _assets().get(name)
    if asset is None or digest != asset.digest:
        abort(404)
    response = Response(asset.contents, content_type=asset.kind)
    response.headers["Cache-Control"] = _FOREVER
    response.set_etag(asset.digest)
    return response.make_conditional(request)
