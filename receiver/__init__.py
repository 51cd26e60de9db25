"""The webhook receiver: GitHub's deliveries in, deploys out."""

from __future__ import annotations

__all__: list[str] = []
