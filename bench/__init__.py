"""Deployer beside its peers: the same made site, the same slow link, the same OpenSSH server, one run.

``python -m bench`` prints every case with its ratios and says which targets are met.
"""

from __future__ import annotations

__all__: list[str] = []
