"""Making secrets and their hashes."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets

from deployer.secret import Secret
from receiver.errors import InvalidConfig

__all__ = ["hash_password", "hash_token", "new_key", "new_token", "new_webhook_secret"]

SHORTEST_PASSWORD = 10


def new_webhook_secret() -> Secret:
    """32 random bytes as text."""
    return Secret(secrets.token_urlsafe(32))


def new_token() -> tuple[str, str]:
    """A bearer token, and its hash for receiver.toml."""
    token = secrets.token_urlsafe(32)
    return token, hash_token(token)


def hash_token(token: str) -> str:
    """A token is random, so that a plain hash keeps it; passwords need more."""
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def new_key() -> str:
    """A Fernet key: 32 random bytes in URL-safe Base64."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def hash_password(password: str) -> str:
    """A salted scrypt hash. Raises InvalidConfig for a password that is too short."""
    from werkzeug.security import generate_password_hash

    if len(password) < SHORTEST_PASSWORD:
        raise InvalidConfig(f"the password is too short: {SHORTEST_PASSWORD} characters at least")
    return generate_password_hash(password)
