"""receiver.toml: which apps there are, who may ask for their deploys, and where everything is kept."""

from __future__ import annotations

from receiver.config.loader import DEFAULT_FILE, load
from receiver.config.model import App, Artifact, GitHub, Login, OAuth, ReceiverConfig, Retention, SecretSource, Token
from receiver.config.secrets import SecretBox, Secrets, read_secrets

__all__ = [
    "DEFAULT_FILE",
    "App",
    "Artifact",
    "GitHub",
    "Login",
    "OAuth",
    "ReceiverConfig",
    "Retention",
    "SecretBox",
    "SecretSource",
    "Secrets",
    "Token",
    "load",
    "read_secrets",
]
