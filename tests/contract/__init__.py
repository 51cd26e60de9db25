"""One suite for each protocol, run on every implementation of it."""

from __future__ import annotations
