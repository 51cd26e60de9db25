"""Who asks, and how often it may fail."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from werkzeug import Request

__all__ = ["FailureLimit", "client_address", "is_among", "is_https"]

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


class FailureLimit:
    """How often an address may fail within ``seconds``: a bucket of ``most`` failures that empties evenly.

    At most ``addresses`` are remembered; those that failed longest ago are forgotten first. Of IPv6 a /64 counts as one,
    because that is what one customer has.
    """

    def __init__(
        self, most: int, seconds: float, *, addresses: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._seconds, self._addresses, self._clock = most, seconds, addresses, clock
        self._lock = threading.Lock()
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until the address may try again; 0: now."""
        with self._lock:
            excess = self._level(_bucket(address)) - (self._most - 1)
        return max(0.0, excess * self._seconds / self._most)

    def fail(self, address: str) -> None:
        """Count a failure."""
        bucket = _bucket(address)
        with self._lock:
            self._levels[bucket] = (self._level(bucket) + 1, self._clock())
            self._levels.move_to_end(bucket)
            if len(self._levels) > self._addresses:
                self._levels.popitem(last=False)

    def _level(self, bucket: str) -> float:
        level, since = self._levels.get(bucket, (0.0, 0.0))
        return max(0.0, level - (self._clock() - since) * self._most / self._seconds) if level else 0.0


def _bucket(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)


def client_address(request: Request, trusted_proxies: Sequence[str]) -> str:
    """The address that the request comes from: X-Forwarded-For counts from its right end, as far as proxies are trusted.

    ``request.remote_addr`` is empty on a Unix socket, whose other end counts as trusted: it is this machine.
    """
    networks = _networks(tuple(trusted_proxies))
    address = request.remote_addr or ""
    hops = [hop.strip() for line in request.headers.getlist("X-Forwarded-For") for hop in line.split(",")]
    while hops and (not address or is_among(address, networks)):
        address = hops.pop()
    return address


def is_https(request: Request, trusted_proxies: Sequence[str]) -> bool:
    """Whether the browser's own connection is encrypted, as far as we, or a proxy that is trusted, can tell."""
    peer = request.remote_addr or ""
    if peer and not is_among(peer, _networks(tuple(trusted_proxies))):
        return request.is_secure
    return request.headers.get("X-Forwarded-Proto", request.scheme).rpartition(",")[2].strip() == "https"


def is_among(address: str, networks: Sequence[Network]) -> bool:
    """Whether the address is in one of the networks; what is no address is in none."""
    try:
        parsed: Address = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return any(parsed.version == network.version and parsed in network for network in networks)


@lru_cache(maxsize=64)
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)
