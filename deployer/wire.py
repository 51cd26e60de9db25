"""One HTTP/1.1 exchange over a socket: taking URLs apart, TLS, one deadline, and answers that break off.

``http.client`` and ``ssl`` do the talking; :mod:`deployer.web` decides which connections to open.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import http.client
import io
import os
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

__all__ = [
    "Answer",
    "Fault",
    "Place",
    "WebError",
    "Wire",
    "exchange",
    "place_of",
    "resolve",
    "seconds_until",
    "secured",
]

RESERVED = "%/:?#[]@!$&'()*+,;=-._~"  # RFC 3986, 2.2 and 2.3; "%" because the URL may be encoded already


class Fault(enum.Enum):
    """Why there is no answer."""

    BAD_URL = "not a usable URL"
    UNREACHABLE = "cannot connect"
    TIMED_OUT = "timed out"
    TLS = "TLS error"
    REDIRECTS = "redirect loop"
    INCOMPLETE = "incomplete answer"
    NOT_HTTP = "not HTTP"


class WebError(Exception):
    """No complete answer. ``str()`` is the reason in one line; ``fault`` is its kind."""

    def __init__(self, fault: Fault, reason: str) -> None:
        super().__init__(" ".join(reason.split()))
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer.

    ``headers`` have lower-case names; ``body`` holds its first bytes only, ``sha256`` (hexadecimal) and ``size`` are
    of all of it; ``seconds`` is the time from the beginning, redirects included, to the last byte.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    sha256: str
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Place:
    """A URL, taken apart: ``target`` is what the request line names, ``authority`` what the Host field does."""

    scheme: str
    host: str
    port: int
    authority: str
    target: str


def place_of(url: str) -> Place:
    """Take an http:// or https:// URL apart. Raises WebError."""
    try:
        parts = urlsplit(quote(url, safe=RESERVED))
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        name = urlsplit(url).hostname or ""
        host = name if name.isascii() else name.encode("idna").decode()
    except (KeyError, ValueError):
        raise WebError(Fault.BAD_URL, "the URL is not a valid http:// or https:// one") from None
    if not re.fullmatch(r"[\w.:-]+", host) or parts.username is not None:
        raise WebError(Fault.BAD_URL, "the URL must name a host, and no user or password")
    name = f"[{host}]" if ":" in host else host
    authority = name if parts.port is None else f"{name}:{port}"
    return Place(parts.scheme, host, port, authority, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def seconds_until(deadline: float) -> float:
    """How long until then, by time.monotonic(). Raises TimeoutError when it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def resolve(host: str, port: int, seconds: float) -> list[Any]:
    """The addresses of a host, as of ``socket.getaddrinfo``. Raises WebError.

    getaddrinfo has no time-out of its own, so it runs in a thread that may be left behind.
    """
    found: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            found.put(error)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        answer = found.get(timeout=seconds)
    except queue.Empty:
        raise WebError(Fault.TIMED_OUT, f"timed out while looking up the name {host}") from None
    if isinstance(answer, Exception):
        raise WebError(Fault.UNREACHABLE, f"cannot connect to {host}: the name cannot be resolved") from answer
    return answer


@functools.lru_cache(maxsize=4)
def _trust(*_variables: str | None) -> ssl.SSLContext:
    """The default trust store; reading it takes 20 ms, so it is read once for each value of OpenSSL's variables."""
    return ssl.create_default_context()


def secured(connection: socket.socket, place: Place, deadline: float) -> socket.socket:
    """The connection itself, or TLS on it for https, verified by the default trust store. Raises WebError."""
    if place.scheme != "https":
        return connection
    trust = _trust(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    try:
        connection.settimeout(seconds_until(deadline))
        return trust.wrap_socket(connection, server_hostname=place.host)
    except TimeoutError:
        raise WebError(Fault.TIMED_OUT, f"timed out during the TLS handshake with {place.authority}") from None
    except ssl.SSLCertVerificationError as error:
        words = f"the certificate of {place.authority} is not valid: {error.verify_message.rstrip('.')}"
        raise WebError(Fault.TLS, words) from error
    except (ssl.SSLEOFError, ConnectionError) as error:
        words = f"cannot connect to {place.authority}: closed during the TLS handshake"
        raise WebError(Fault.UNREACHABLE, words) from error
    except OSError as error:
        words = getattr(error, "reason", None) or error.strerror or "handshake failed"
        raise WebError(Fault.TLS, f"TLS error with {place.authority}: {words.replace('_', ' ').lower()}") from error


class Wire:
    """A connected socket under a deadline, shaped as http.client wants it; it counts what arrives."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self.connection = connection
        self.deadline = deadline  # of the exchange at hand, by time.monotonic()
        self.received = 0  # bytes of the exchange at hand
        self.ended = False  # the other side will send no more

    def hurry(self) -> socket.socket:
        """The socket, allowed to block no longer than until the deadline."""
        self.connection.settimeout(seconds_until(self.deadline))
        return self.connection

    def sendall(self, data: bytes) -> None:
        """Send all of it before the deadline."""
        self.hurry().sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What arrives, for one answer."""
        return io.BufferedReader(_Incoming(self))

    def close(self) -> None:
        """Nothing: http.client calls this before the body is read. Who opened the wire hangs up."""

    def hang_up(self) -> None:
        """Close the connection."""
        self.connection.close()


class _Incoming(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._wire.hurry().recv_into(buffer)
        self._wire.received += count
        self._wire.ended = self._wire.ended or count == 0
        return count


class _Conversation(http.client.HTTPConnection):
    """http.client's requests and answers on a wire that is already connected."""

    auto_open = 0

    def __init__(self, place: Place, wire: Wire) -> None:
        super().__init__(place.host, place.port)
        self.sock = wire


def exchange(wire: Wire, place: Place, fields: Mapping[str, str], most_bytes: int) -> tuple[Answer, bool]:
    """One request and its whole answer, and whether the connection can take another request. Raises WebError.

    The answer's ``url`` and ``seconds`` are for the caller to fill in: it knows where it all began.
    """
    headers = {"Host": place.authority, "User-Agent": "deployer", "Accept": "*/*", **fields}
    name = place.authority
    try:
        conversation = _Conversation(place, wire)
        conversation.request("GET", place.target, headers=headers)
        response = conversation.getresponse()
        if wire.ended:  # http.client takes the end of the stream for the end of the header fields
            raise WebError(Fault.INCOMPLETE, f"incomplete answer: {name} broke off in the header fields")
        answer = _read(response, most_bytes)
        if response.length or (response.chunked and wire.ended):
            raise WebError(Fault.INCOMPLETE, f"incomplete answer: {name} broke off in the body")
    except TimeoutError:
        raise WebError(Fault.TIMED_OUT, f"timed out while waiting for the answer of {name}") from None
    except http.client.IncompleteRead:
        raise WebError(Fault.INCOMPLETE, f"incomplete answer: {name} broke off in the body") from None
    except OSError as error:  # RemoteDisconnected among them
        words = "broke off the answer" if wire.received else "closed the connection without an answer"
        raise WebError(Fault.INCOMPLETE, f"incomplete answer: {name} {words}") from error
    except (http.client.HTTPException, ValueError) as error:
        raise WebError(Fault.NOT_HTTP, f"not HTTP: {name} sent something else ({type(error).__name__})") from error
    return answer, not (response.will_close or wire.ended)


def _read(response: http.client.HTTPResponse, most_bytes: int) -> Answer:
    digest, kept, size = hashlib.sha256(), bytearray(), 0
    while piece := response.read(1 << 16):
        digest.update(piece)
        kept += piece[: most_bytes - len(kept)]
        size += len(piece)
    headers = {name.lower(): ", ".join(response.headers.get_all(name, ())) for name in response.headers}
    return Answer("", response.status, headers, bytes(kept), digest.hexdigest(), size, 0.0)
