"""What is behind the receiver's port: GitHub's endpoint, the dashboard, the JSON API, health and metrics."""

from __future__ import annotations

from receiver.web.application import create_app
from receiver.web.world import World

__all__ = ["World", "create_app"]
