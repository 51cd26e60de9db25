"""What to deploy, from where and to where: deploy.toml, environment variables and flags as one frozen value."""

from __future__ import annotations

from typing import Any

from deployer.config.credentials import Secrets, load_secrets
from deployer.config.keys import OPTIONS, Option
from deployer.config.loader import find, load
from deployer.config.model import Config, Health, Hooks, Host, Jump, Probe, RetainAssets, Static
from deployer.config.rebuild import Rebuild, RolledService, Traefik

__all__ = [
    "OPTIONS",
    "Config",
    "Health",
    "Hooks",
    "Host",
    "Jump",
    "Option",
    "Probe",
    "Rebuild",
    "RetainAssets",
    "RolledService",
    "Secrets",
    "Static",
    "Traefik",
    "find",
    "json_schema",
    "load",
    "load_secrets",
]


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of deploy.toml."""
    from deployer.config import schema  # only needed when asked for

    return schema.json_schema()
