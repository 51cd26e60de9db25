"""The web client of the gate and the probe: whole answers within one deadline, from the server that is meant.

What it adds to the standard library: another address than the URL's name says, one deadline for everything from the
name's look-up to the last byte, and connections kept alive the way browsers do. Proxies of the environment are not
used: what is measured is the server.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from deployer.wire import (
    RESERVED,
    Answer,
    Fault,
    Place,
    WebError,
    Wire,
    exchange,
    place_of,
    resolve,
    seconds_until,
    secured,
)

__all__ = ["Answer", "Client", "Fault", "Kept", "WebError", "fetch"]

MOST_BYTES = 1 << 20
MOST_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
NAMES_LAST = 60.0  # seconds that a Client trusts a resolved name: the resolver is not what is measured


def _address(text: str) -> tuple[str, int | None]:
    """``address``, ``address:port`` or ``[address]:port``, taken apart."""
    if text.count(":") > 1 and not text.startswith("["):
        return text, None
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise WebError(Fault.BAD_URL, f"connect_to must be an address or address:port, not {text!r}")
    return host, port


class Client:
    """Opens connections, to ``connect_to`` (an address, or address:port) where the URL's own host is meant.

    May be used by many threads at once. Raises WebError where ``connect_to`` is not an address.
    """

    def __init__(self, connect_to: str = "") -> None:
        self._instead = _address(connect_to) if connect_to else None
        self._known: dict[tuple[str, int], tuple[float, list[Any]]] = {}

    def fetch(
        self,
        url: str,
        *,
        timeout: float,
        follow: bool = True,
        until: Collection[int] = (),
        headers: Mapping[str, str] | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> Answer:
        """GET ``url`` on a fresh connection within ``timeout`` seconds in all and keep ``most_bytes`` of the body.

        Follows up to 10 redirects, except those whose status is in ``until``. On a redirect, the other address holds
        for the same host, its port only for the same port. Raises WebError.
        """
        began = time.monotonic()
        first, here = place_of(url), url
        fields = {"Connection": "close", **(headers or {})}
        for _ in range(MOST_REDIRECTS + 1):
            place = place_of(here)
            wire = self.open(place, began + timeout, first)
            try:
                answer, _kept = exchange(wire, place, fields, most_bytes)
            finally:
                wire.hang_up()
            onward = answer.headers.get("location", "") if answer.status in REDIRECTS else ""
            if not follow or not onward or answer.status in until:
                return replace(answer, url=here, seconds=time.monotonic() - began)
            here = urljoin(here, quote(onward.encode("latin-1", "replace"), safe=RESERVED))
        raise WebError(Fault.REDIRECTS, f"redirect loop: more than {MOST_REDIRECTS} redirects from {first.authority}")

    def open(self, place: Place, deadline: float, origin: Place) -> Wire:
        """A connected wire to ``place``, TLS included. Raises WebError."""
        host, port = self._whereto(place, origin)
        try:
            connection = self._connect(host, port, deadline)
        except TimeoutError:
            raise WebError(Fault.TIMED_OUT, f"timed out while connecting to {host} port {port}") from None
        except OSError as error:
            words = (error.strerror or type(error).__name__).lower()
            raise WebError(Fault.UNREACHABLE, f"cannot connect to {host} port {port}: {words}") from error
        try:
            return Wire(secured(connection, place, deadline), deadline)
        except WebError:
            connection.close()
            raise

    def _whereto(self, place: Place, origin: Place) -> tuple[str, int]:
        if self._instead is None or place.host != origin.host:
            return place.host, place.port
        host, port = self._instead
        return host, port if port and place.port == origin.port else place.port

    def _connect(self, host: str, port: int, deadline: float) -> socket.socket:
        """Try every address of the host in turn, each with its share of the time that is left."""
        now = time.monotonic()
        until, addresses = self._known.get((host, port), (now, []))
        if until <= now:
            addresses = resolve(host, port, seconds_until(deadline))
            self._known[host, port] = (now + NAMES_LAST, addresses)
        failure: OSError = OSError("no address")
        for behind, (family, kind, protocol, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(seconds_until(deadline) / behind)
                connection.connect(address)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                connection.close()
                failure = error
            else:
                return connection
        raise failure


class Kept:
    """One connection that stays open between requests to one URL; for one request at a time."""

    def __init__(self, client: Client, url: str) -> None:
        self._client = client
        self._place = place_of(url)
        self._url = url
        self._wire: Wire | None = None

    def fetch(self, *, timeout: float, most_bytes: int = 0) -> Answer:
        """GET the URL within ``timeout`` seconds, without following redirects. Raises WebError.

        A server may close an idle connection just when it is used again. So a reused connection that ends before the
        first byte of an answer (or with 408) is retried once on a fresh one, as browsers do (RFC 9110, 9.2.2 and
        15.5.9; RFC 9112, 9.3.1).
        """
        began = time.monotonic()
        deadline = began + timeout
        answer = self._reused(deadline, most_bytes) if self._wire else None
        if answer is None:
            self._wire = self._client.open(self._place, deadline, self._place)
            answer = self._converse(self._wire, most_bytes)
        return replace(answer, url=self._url, seconds=time.monotonic() - began)

    def close(self) -> None:
        """Hang up. The next fetch connects again."""
        if self._wire:
            self._wire.hang_up()
        self._wire = None

    def _reused(self, deadline: float, most_bytes: int) -> Answer | None:
        """The answer on the connection at hand; None where it was closed while idle."""
        wire = self._wire
        assert wire
        wire.deadline, wire.received = deadline, 0
        try:
            answer = self._converse(wire, most_bytes)
        except WebError as error:
            if error.fault is Fault.INCOMPLETE and wire.received == 0:
                return None
            raise
        if answer.status == HTTPStatus.REQUEST_TIMEOUT:
            self.close()
            return None
        return answer

    def _converse(self, wire: Wire, most_bytes: int) -> Answer:
        kept = False
        try:
            answer, kept = exchange(wire, self._place, {}, most_bytes)
        finally:
            if not kept:
                self.close()
        return answer


def fetch(
    url: str,
    *,
    connect_to: str = "",
    timeout: float,
    follow: bool = True,
    until: Collection[int] = (),
    headers: Mapping[str, str] | None = None,
    most_bytes: int = MOST_BYTES,
) -> Answer:
    """``Client(connect_to).fetch(...)``: one answer within ``timeout`` seconds. Raises WebError."""
    client = Client(connect_to)
    return client.fetch(url, timeout=timeout, follow=follow, until=until, headers=headers, most_bytes=most_bytes)
