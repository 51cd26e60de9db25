"""The secrets: they come by environment variable only, and never enter the configuration."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from deployer.config.checks import holds_private_key, is_visible
from deployer.errors import InvalidInput
from deployer.secret import Secret

__all__ = ["Secrets", "load_secrets"]


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """What a deploy may use and nobody may see.

    ``key`` is a private key's contents, for when ``Host.key`` (its file) is empty: a flag's file beats it.
    ``github_token`` is one word. ``repository_key`` is the contents of a private key that may read the repository, with
    line ends as OpenSSH wants them; neither is ever needed to log in to a host.
    """

    key: Secret | None = None
    key_passphrase: Secret | None = None
    github_token: Secret | None = None
    repository_key: Secret | None = None


def load_secrets(variables: Mapping[str, str]) -> Secrets:
    """Take the secrets out of environment variables; an empty variable counts as unset. Raises InvalidInput."""
    key = variables.get("DEPLOYER_KEY", "")
    passphrase = variables.get("DEPLOYER_KEY_PASSPHRASE", "")
    return Secrets(
        key=Secret(key) if holds_private_key(key) else None,
        key_passphrase=Secret(passphrase) if passphrase else None,
        github_token=_token(variables.get("DEPLOYER_GITHUB_TOKEN", "").strip()),
        repository_key=_repository_key(variables.get("DEPLOYER_REPOSITORY_KEY", "").strip()),
    )


def _token(text: str) -> Secret | None:
    if not text.isascii() or not is_visible(text):
        message = "DEPLOYER_GITHUB_TOKEN must be one token without spaces and line breaks"
        raise InvalidInput(message, hint="copy the token alone, as GitHub shows it; a private key goes elsewhere")
    return Secret(text) if text else None


def _repository_key(text: str) -> Secret | None:
    if text and not (holds_private_key(text) and "PRIVATE KEY-----" in text):
        message = "DEPLOYER_REPOSITORY_KEY must be a private key itself, all its lines, unchanged"
        raise InvalidInput(
            message, hint="it begins with -----BEGIN; neither its file's path nor the public key will do"
        )
    return Secret(text.replace("\r\n", "\n") + "\n") if text else None
