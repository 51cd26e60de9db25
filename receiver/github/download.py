"""Fetching an archive from where the API has sent us: without the token, within bounds, into a file of our own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from receiver.github.calls import CALL_SECONDS, REQUEST_SECONDS, USER_AGENT
from receiver.github.patience import TookTooLong, within
from receiver.github.trouble import GitHubTrouble, GitHubUnavailable

__all__ = ["download"]

DOWNLOAD_SECONDS = 900.0
PIECE = 1 << 16
_HEADERS = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
_SHA256 = "sha256:"


def download(url: str, to: Path, largest: int, digest: str, failure: str, *, plain: bool) -> None:
    """Fetch ``url`` into the new file ``to`` (0600). What is too large, cut or of another ``digest`` is removed again.

    ``digest`` is ``sha256:`` and hex digits, or empty where nobody knows it. ``plain``: http will do, as for the API itself.
    ``failure`` begins the sentence of what goes wrong; the address never appears, for it is as good as a password. Raises
    GitHubTrouble.
    """
    allowed = {"https", "http"} if plain else {"https"}
    if urlsplit(url).scheme not in allowed:
        raise GitHubTrouble(f"{failure}: GitHub names a place for it that is not https")
    with contextlib.suppress(FileNotFoundError):
        to.unlink()
    try:
        descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123  # a descriptor has no path
            hashed, size = hashlib.sha256(), 0
            for piece in _pieces(url, failure):
                size += len(piece)
                if size > largest:
                    raise GitHubTrouble(f"{failure}: it is larger than the {largest} bytes that may be fetched")
                hashed.update(piece)
                _write(file.fileno(), piece)
        if digest.startswith(_SHA256) and hashed.hexdigest() != digest.removeprefix(_SHA256).lower():
            raise GitHubTrouble(f"{failure}: what arrived is not what GitHub describes (its SHA-256 is another)")
    except BaseException as error:
        with contextlib.suppress(OSError):
            to.unlink()
        if isinstance(error, OSError):
            raise GitHubTrouble(f"{failure}: it cannot be kept in {to.parent} ({error.strerror})") from None
        raise


def _write(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]


def _pieces(url: str, failure: str) -> Iterator[bytes]:
    """The body as it comes. Raises GitHubTrouble."""
    import requests
    import urllib3

    deadline = time.monotonic() + DOWNLOAD_SECONDS
    session = requests.Session()
    # Or ~/.netrc would be looked into for a password.
    session.auth = lambda request: request
    try:
        begin = partial(session.get, url, headers=_HEADERS, timeout=REQUEST_SECONDS, allow_redirects=False, stream=True)
        with within(CALL_SECONDS, begin) as response:
            if response.status_code != 200:
                kind = GitHubUnavailable if response.status_code >= 500 else GitHubTrouble
                raise kind(f"{failure}: its place answers {response.status_code}")
            while piece := response.raw.read1(PIECE, decode_content=False):
                yield piece
                if time.monotonic() > deadline:
                    raise GitHubUnavailable(f"{failure}: it did not arrive within {DOWNLOAD_SECONDS:g} s")
    except (TookTooLong, requests.RequestException, urllib3.exceptions.HTTPError) as error:
        # Their texts quote the address.
        raise GitHubUnavailable(f"{failure}: its place does not answer ({type(error).__name__})") from None
    finally:
        session.close()
