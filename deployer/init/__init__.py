"""A room of its own for ``deployer init``: looks at a repository and a server, asks, and writes what a deploy needs."""

from __future__ import annotations

__all__: list[str] = []
