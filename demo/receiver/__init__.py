"""The demo of the webhook receiver: signed deliveries of real pushes, on this machine."""

from __future__ import annotations
