"""Configurations of receivers that ask a GitHub on loopback."""

from __future__ import annotations

from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from deployer.secret import Secret
from receiver.config import App, GitHub, ReceiverConfig, SecretBox, Secrets
from receiver.github import GitHubApi, connect
from tests.receiver.hub import TOKEN

__all__ = ["ADDRESS", "NONE", "an_app", "app_key", "connected", "secrets", "settings"]

PUBLIC = "https://deploy.example"
ADDRESS = f"{PUBLIC}/hooks/github"
NONE = Secret("")


@cache
def app_key() -> str:
    """A private key such as GitHub gives to an App."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


def an_app(**changes: Any) -> App:
    """An app of octocat/example."""
    return App(**{"repository": "octocat/example", "config": "/nowhere/deploy.toml", "secrets": ()} | changes)


def settings(url: str, apps: dict[str, App] | None = None, *, app_id: int = 0, **more: Any) -> ReceiverConfig:
    """A receiver at https://deploy.example that asks the GitHub at ``url``."""
    github = GitHub(api_url=url, app_id=app_id)
    return ReceiverConfig(apps=apps or {"blog": an_app()}, github=github, public_url=PUBLIC, **more)


def secrets(*, token: str = TOKEN, key: str = "", deploy_keys: dict[str, Secret] | None = None) -> Secrets:
    """Only what GitHub and git are shown."""
    return Secrets({}, {}, deploy_keys or {}, SecretBox(()), NONE, NONE, Secret(key), Secret(token))


def connected(config: ReceiverConfig, given: Secrets) -> GitHubApi:
    """GitHub's API."""
    api = connect(config, given)
    assert api is not None
    return api
