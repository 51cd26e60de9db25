"""The secrets: they come by environment variable only, and never enter the configuration."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from deployer.config.checks import holds_private_key
from deployer.secret import Secret

__all__ = ["Secrets", "load_secrets"]


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """What a deploy may use and nobody may see.

    ``key`` is a private key's contents, for when ``Config.host.key`` (its file) is empty: a flag's file beats it.
    """

    key: Secret | None = None
    key_passphrase: Secret | None = None


def load_secrets(variables: Mapping[str, str]) -> Secrets:
    """Take the secrets out of environment variables; an empty variable counts as unset."""
    key = variables.get("DEPLOYER_KEY", "")
    passphrase = variables.get("DEPLOYER_KEY_PASSPHRASE", "")
    return Secrets(
        key=Secret(key) if holds_private_key(key) else None,
        key_passphrase=Secret(passphrase) if passphrase else None,
    )
