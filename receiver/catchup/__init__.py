"""What makes up for deliveries that never came: GitHub is asked to deliver again, and branches are looked at."""

from __future__ import annotations

from receiver.catchup.round import catch_up

__all__ = ["catch_up"]
