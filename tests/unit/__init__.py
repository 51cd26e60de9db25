"""Decisions and values; no network, and no process but Python's own."""

from __future__ import annotations
