"""The command line as people run it, against a real server."""

from __future__ import annotations
