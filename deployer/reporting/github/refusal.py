"""Why GitHub did not do something, in words that say what to do. All pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["is_limited", "is_passing", "words_for"]

LONGEST = 200


def is_passing(status: int) -> bool:
    """Whether the same request may be answered well a moment later."""
    return status >= 500


def is_limited(status: int, said: object, headers: Mapping[str, str]) -> bool:
    """Whether too much was asked: the same request may be answered well later. ``headers`` have names in lower case."""
    spent = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"
    return status == 429 or (status == 403 and (spent or "rate limit" in _text(said).lower()))


def words_for(status: int, said: object, headers: Mapping[str, str], *, may_not: str, needs: str) -> str:
    """The reason for an answer with this HTTP status.

    ``said`` is its decoded body; the names of ``headers`` are in lower case. ``may_not`` is what 403 and 404 mean here, and
    ``needs`` what would help against them.
    """
    answer = f"{status} {text}" if (text := _text(said)) else str(status)
    if is_limited(status, said, headers):
        return f"the rate limit of GitHub's API is used up ({answer})"
    match status:
        case 401:
            return f"GitHub does not accept the token ({answer}); it may be misspelt, expired or revoked"
        case 403 | 404:
            return f"{may_not} ({answer}); {needs}"
        case 409 | 422:
            return f"GitHub refuses it ({answer})"
        case _ if is_passing(status):
            return f"GitHub's API fails ({answer})"
        case _:
            return f"GitHub's API answers {answer}"


def _text(said: object) -> str:
    """GitHub's own words on one line: the message, and for a 422 what is wrong with which field."""
    if not isinstance(said, Mapping):
        return ""
    details = said.get("errors")
    parts = [said.get("message"), *map(_detail, details if isinstance(details, list) else [details])]
    text = " ".join("; ".join(part for part in parts if isinstance(part, str) and part).split())
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def _detail(error: Any) -> str:
    if isinstance(error, Mapping):
        return str(error.get("message") or " ".join(str(error[key]) for key in ("field", "code") if error.get(key)))
    return error if isinstance(error, str) else ""
