"""A blogger's whole server in containers, deployed to both ways while many visitors ask: ``python -m demo.docker``."""

from __future__ import annotations
