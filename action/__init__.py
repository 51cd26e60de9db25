"""What runs before the composite action has its packages."""

from __future__ import annotations
