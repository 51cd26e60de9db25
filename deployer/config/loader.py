"""One configuration out of file, environment, variables and flags; the later of these beats the earlier."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from deployer.config.checks import holds_private_key
from deployer.config.document import read_document
from deployer.config.keys import KEYS, OPTIONS, TABLES, KeyPath, Option
from deployer.config.model import Config
from deployer.config.tables import Settings, host_settings, read_layers, similar
from deployer.config.values import accept
from deployer.errors import InvalidInput

__all__ = ["FILE_NAME", "find", "load"]

FILE_NAME = "deploy.toml"
_ENVIRONMENT_VARIABLE = "DEPLOYER_ENVIRONMENT"
_HOST: KeyPath = ("host",)
_HOST_KEY_FILE: KeyPath = ("host", "key")


def find(start: Path) -> Path | None:
    """The nearest deploy.toml in ``start`` or above it."""
    start = start.absolute()
    candidates = (folder / FILE_NAME for folder in (start, *start.parents))
    # os.path says no where Path.is_file raises: in folders above that may not be looked into.
    return next((file for file in candidates if os.path.isfile(file)), None)  # noqa: PTH113


def load(
    file: Path | None,
    *,
    environment: str = "",
    flags: Mapping[str, object],
    variables: Mapping[str, str],
    directory: Path,
) -> Config:
    """Read and check the configuration.

    ``file`` is deploy.toml, or None where there is none. ``flags`` are keyed by ``Option.key``; absent ones, None and
    empty lists are not given. ``directory`` is the working directory: relative paths in flags and variables start from
    it, those in the file from the file's folder. Without ``environment`` the variable DEPLOYER_ENVIRONMENT chooses.
    Raises InvalidInput.
    """
    directory = directory.absolute()
    document = read_document(file, directory) if file else None
    settings, environments = read_layers(document) if document else ({}, {})
    environment = environment or variables.get(_ENVIRONMENT_VARIABLE, "").strip()
    if environment:
        settings |= _choose(environment, environments, document.name if document else "")
    settings |= _read_variables(variables, directory) | _read_flags(flags, directory)
    _require(settings, document.name if document else "")
    tree = _nest(settings) | {"environment": environment, "directory": document.folder if document else directory}
    return msgspec.convert(tree, Config)


def _choose(name: str, environments: dict[str, Settings], file: str) -> Settings:
    if name in environments:
        return environments[name]
    if not environments:
        place = f"{file} has no environments" if file else f"there is no {FILE_NAME}"
        raise InvalidInput(f"environment {name!r} does not exist: {place}", hint=f"add a table [environments.{name}]")
    nearest = similar(name, list(environments))
    guess = f"; did you mean {nearest}?" if nearest else ""
    raise InvalidInput(
        f"environment {name!r} does not exist in {file}{guess}", hint=f"environments there: {', '.join(environments)}"
    )


def _read_variables(variables: Mapping[str, str], directory: Path) -> Settings:
    settings: Settings = {}
    for option in OPTIONS:
        # Secrets and multi-line inputs of CI systems like to end in a newline that nobody meant.
        text = variables.get(option.variable, "").strip("\r\n")
        if not text.strip():
            continue
        if option.repeat:
            lines = tuple(line.strip() for line in text.splitlines() if line.strip())
            settings |= _read_option(option, lines, option.variable, directory)
        elif _path(option) == _HOST_KEY_FILE and holds_private_key(text):
            settings[_HOST_KEY_FILE] = ""  # the key itself: load_secrets takes it, and the file's key gives way
        else:
            settings |= _read_option(option, text, option.variable, directory)
    return settings


def _read_flags(flags: Mapping[str, object], directory: Path) -> Settings:
    settings: Settings = {}
    for option in OPTIONS:
        value = flags.get(option.key)
        if value not in (None, (), []):
            settings |= _read_option(option, value, option.flag, directory)
    return settings


def _read_option(option: Option, value: object, subject: str, directory: Path) -> Settings:
    path = _path(option)
    if path == _HOST:
        return host_settings(_only_host(value, subject), subject)
    return {path: accept(KEYS[path], value, subject=subject, folder=directory, typed=False)}


def _only_host(value: object, subject: str) -> str:
    values = value if isinstance(value, list | tuple) else (value,)
    if len(values) != 1:
        raise InvalidInput(f"{subject} names {len(values)} hosts, but this version deploys to exactly one")
    return str(values[0])


def _path(option: Option) -> KeyPath:
    return tuple(option.key.split("."))


def _require(settings: Settings, file: str) -> None:
    given = {path for path, value in settings.items() if value}
    if given & {(*_HOST, "address"), (*_HOST, "local")}:
        given.add(_HOST)
    required = {_HOST} | {path for path, key in KEYS.items() if key.required}
    missing = [option for option in OPTIONS if _path(option) in required - given]
    if missing:
        ways = [f"{option.key}: by {file or FILE_NAME}, {option.flag} or {option.variable}" for option in missing]
        names = ", ".join(option.key for option in missing)
        raise InvalidInput(f"{file or 'the configuration'} lacks {names}", hint="\n".join(ways))
    if settings.get(("health", "contains")) and not settings.get(("url",)) and not settings.get(("health", "url")):
        raise InvalidInput("health.contains needs a URL to look at", hint="give url or health.url")


def _nest(settings: Settings) -> dict[str, Any]:
    tree: dict[str, Any] = {path[-1]: {} for path in TABLES if len(path) == 1}
    for path, value in settings.items():
        table = tree
        for name in path[:-1]:
            table = table.setdefault(name, {})
        table[path[-1]] = value
    return tree
