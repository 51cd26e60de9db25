"""Ways to a host. Each gives a session of the same protocol; Fabric is imported only when SSH is used."""

from __future__ import annotations

__all__: list[str] = []
