"""GitHub's signatures: HMAC-SHA256 over the raw body.

https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from deployer.secret import Secret

__all__ = ["HEADER", "owners_of", "sign"]

HEADER = "X-Hub-Signature-256"
_PREFIX = b"sha256="


def sign(secret: Secret, body: bytes) -> str:
    """The header's value for ``body``."""
    return (_PREFIX + hmac.digest(secret.reveal().encode(), body, "sha256").hex().encode()).decode()


def owners_of(body: bytes, signature: bytes, secrets: Mapping[str, tuple[Secret, ...]]) -> frozenset[str]:
    """The apps one of whose secrets has signed ``body``; empty: nobody did.

    Every distinct secret is tried, whichever fits, so that time tells nothing; what is compared are bytes, so that a header
    with other than ASCII characters is wrong and no error. An empty secret signs nothing.
    """
    owners: dict[bytes, set[str]] = {}
    for app, own in secrets.items():
        for secret in own:
            owners.setdefault(secret.reveal().encode(), set()).add(app)
    found: set[str] = set()
    for key, apps in owners.items():
        expected = _PREFIX + hmac.digest(key, body, "sha256").hex().encode()
        if hmac.compare_digest(expected, signature) and key:
            found |= apps
    return frozenset(found)
