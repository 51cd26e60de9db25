"""Which networks may deliver: those of receiver.toml, and GitHub's own as its API names them."""

from __future__ import annotations

import json
import threading
import time
from ipaddress import ip_network

from receiver.errors import StoreUnavailable
from receiver.store import history
from receiver.web.limits import Network, is_among
from receiver.web.world import World

__all__ = ["GITHUB_NETWORKS", "Networks"]

GITHUB_NETWORKS = "github_hooks"
"""The stored value that catch-up keeps up to date."""
FRESH_SECONDS = 60


class Networks:
    """What ``allow`` means at the moment. Without GitHub's own networks, which catch-up fetches, nobody of them may."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = -float(FRESH_SECONDS)
        self._known: tuple[Network, ...] = ()

    def allow(self, here: World, address: str) -> bool:
        """Whether this address may deliver."""
        own = tuple(ip_network(text) for text in here.config.allow if text != "github")
        if is_among(address, own):
            return True
        return "github" in here.config.allow and is_among(address, self._github(here))

    def _github(self, here: World) -> tuple[Network, ...]:
        with self._lock:
            if time.monotonic() - self._read_at >= FRESH_SECONDS:
                try:
                    with here.database.reading() as connection:
                        text = history.fact(connection, GITHUB_NETWORKS)
                    self._known = tuple(ip_network(network) for network in json.loads(text or "[]"))
                    self._read_at = time.monotonic()
                except StoreUnavailable:
                    return self._known
            return self._known
