"""What GitHub sends, and what it means: pure functions over bytes and values."""

from __future__ import annotations

from receiver.hooks.decisions import Ignored, Wanted, decide, exact_refs, fits
from receiver.hooks.events import EVENTS, Event, MalformedPayload, parse_event
from receiver.hooks.signature import owners_of, sign

__all__ = [
    "EVENTS",
    "Event",
    "Ignored",
    "MalformedPayload",
    "Wanted",
    "decide",
    "exact_refs",
    "fits",
    "owners_of",
    "parse_event",
    "sign",
]
