"""Deploy to the servers you own, and measure on every deploy whether a request was dropped."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
