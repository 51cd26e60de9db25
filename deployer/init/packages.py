"""JavaScript's package managers: which one a folder uses, and how that installs and builds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from deployer.init.site import Step

__all__ = ["Installer", "build_command", "installer_of", "setup_steps"]


@dataclass(frozen=True, slots=True)
class Installer:
    """``install`` takes exactly what the lock file says; ``execute`` runs a program of an installed package."""

    name: str
    locks: tuple[str, ...]
    install: str
    execute: str
    get: str = ""
    """The command that installs the manager itself, where Node.js does not bring it."""


# Corepack takes the version that package.json names; Node.js no longer brings it from version 25 on.
_COREPACK = "npm install --global --force corepack && corepack enable"
_INSTALLERS = (
    Installer("pnpm", ("pnpm-lock.yaml",), "pnpm install --frozen-lockfile", "pnpm exec", _COREPACK),
    Installer("yarn", ("yarn.lock",), "yarn install --frozen-lockfile", "yarn run", _COREPACK),
    Installer("bun", ("bun.lock", "bun.lockb"), "bun install --frozen-lockfile", "bunx", "npm install --global bun"),
    Installer("npm", ("package-lock.json", "npm-shrinkwrap.json"), "npm ci", "npx"),
)
_WITHOUT_LOCK = Installer("npm", (), "npm install", "npx")
# The second and later generations of yarn have this file, and another name for the same option.
_MODERN_YARN = Installer("yarn", ("yarn.lock",), "yarn install --immutable", "yarn run", _COREPACK)
_VERSION_FILES = (".nvmrc", ".node-version")


def installer_of(folder: Path) -> Installer:
    """The one whose lock file is there; npm, without a lock, where there is none."""
    found = (manager for manager in _INSTALLERS if any((folder / lock).is_file() for lock in manager.locks))
    manager = next(found, _WITHOUT_LOCK)
    return _MODERN_YARN if manager.name == "yarn" and (folder / ".yarnrc.yml").is_file() else manager


def build_command(folder: Path, program: str, arguments: str = "", *, package: str = "") -> str:
    """The package's own script ``build``, or else ``program``, which belongs to ``package`` when that has another name."""
    manager = installer_of(folder)
    try:
        described = json.loads((folder / "package.json").read_text("utf-8-sig"))
        has_script = bool(described["scripts"]["build"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        has_script = False
    if has_script:
        return f"{manager.name} run build"
    # What fetches a missing program looks for a package of its name, and anybody may have published one.
    name = package if package and manager.execute in {"npx", "bunx"} else program
    return f"{manager.execute} {name} {arguments}".rstrip()


def setup_steps(folder: Path, prefix: str) -> tuple[Step, ...]:
    """Install Node.js and the packages; ``prefix`` is the folder's path in the repository, empty or with a slash behind."""
    version_file = next((name for name in _VERSION_FILES if (folder / name).is_file()), "")
    version: dict[str, str] = (
        {"node-version-file": prefix + version_file} if version_file else {"node-version": "lts/*"}
    )
    manager = installer_of(folder)
    node = Step(uses="actions/setup-node@v6", inputs=version)
    get = (Step(f"Install {manager.name}", run=manager.get),) if manager.get else ()
    return (node, *get, Step("Install the packages", run=manager.install))
