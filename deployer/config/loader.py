"""One configuration out of file, environment, variables and flags; the later of these beats the earlier."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from deployer.config.agreement import agree
from deployer.config.checks import holds_private_key
from deployer.config.document import read_document
from deployer.config.hosts import HostParts, Hosts, check_hosts, combine, is_named
from deployer.config.keys import KEYS, OPTIONS, TABLES, KeyPath, Option, is_of
from deployer.config.model import Config
from deployer.config.tables import Layer, Settings, host_parts, read_layers, similar
from deployer.config.values import accept
from deployer.errors import InvalidInput

__all__ = ["FILE_NAME", "find", "load"]

FILE_NAME = "deploy.toml"
_ENVIRONMENT_VARIABLE = "DEPLOYER_ENVIRONMENT"
_HOST: KeyPath = ("host",)
_STRATEGY: KeyPath = ("strategy",)
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
    name, folder = (document.name, document.folder) if document else ("", directory)
    layer, environments = read_layers(document) if document else (Layer({}), {})
    environment = environment or variables.get(_ENVIRONMENT_VARIABLE, "").strip()
    if environment:
        chosen = _choose(environment, environments, name)
        layer = Layer(layer.settings | chosen.settings, combine(layer.hosts, chosen.hosts))
    strategy = _strategy(layer, flags, variables)
    given = [_read_variables(variables, directory, strategy), _read_flags(flags, directory, strategy)]
    settings, hosts = _override(layer, given)
    _require(settings, hosts, name, strategy)
    agree(settings, strategy)
    if hosts:
        check_hosts(hosts)
    tree = _nest(settings, hosts) | {"environment": environment, "directory": folder}
    return msgspec.convert(tree, Config)


def _strategy(layer: Layer, flags: Mapping[str, object], variables: Mapping[str, str]) -> str:
    """The strategy, still unchecked: it says which key a flag of several strategies sets."""
    option = next(option for option in OPTIONS if option.path("") == _STRATEGY)
    given = flags.get(option.key), variables.get(option.variable, "").strip(), layer.settings.get(_STRATEGY)
    return str(next((value for value in given if value), KEYS[_STRATEGY].default))


def _choose(name: str, environments: dict[str, Layer], file: str) -> Layer:
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


def _override(layer: Layer, given: list[Layer]) -> tuple[Settings, Hosts | None]:
    """Lay variables and flags over the file: parts of a host that are given without its name are for all hosts."""
    named = next((source.hosts for source in reversed(given) if source.hosts), None)
    hosts, settings = combine(layer.hosts, named), layer.settings
    for source in given:
        settings = settings | source.settings
    parts: HostParts = {path[-1]: value for path, value in settings.items() if path[:1] == _HOST}
    others = {path: value for path, value in settings.items() if path[:1] != _HOST}
    return others, combine(hosts, Hosts("", (parts,))) if parts else hosts


def _read_variables(variables: Mapping[str, str], directory: Path, strategy: str) -> Layer:
    values: dict[Option, tuple[str, object]] = {}
    for option in OPTIONS:
        # Secrets and multi-line inputs of CI systems like to end in a newline that nobody meant.
        text = variables.get(option.variable, "").strip("\r\n")
        if not text.strip():
            continue
        value: object = text
        if option.repeat:
            value = tuple(line.strip() for line in text.splitlines() if line.strip())
        elif option.path(strategy) == _HOST_KEY_FILE and holds_private_key(text):
            value = ""  # the key itself: load_secrets takes it, and the file's key gives way
        values[option] = (option.variable, value)
    return _read_options(values, directory, strategy)


def _read_flags(flags: Mapping[str, object], directory: Path, strategy: str) -> Layer:
    values = {option: (option.flag, flags.get(option.key)) for option in OPTIONS}
    given = {option: pair for option, pair in values.items() if pair[1] not in (None, (), [])}
    return _read_options(given, directory, strategy)


def _read_options(values: Mapping[Option, tuple[str, object]], directory: Path, strategy: str) -> Layer:
    settings: Settings = {}
    hosts = None
    for option, (subject, value) in values.items():
        path = option.path(strategy)
        if path == _HOST:
            texts = value if isinstance(value, list | tuple) else (value,)
            hosts = Hosts(subject, tuple(host_parts(str(text), subject) for text in texts))
        else:
            settings[path] = accept(KEYS[path], value, subject=subject, folder=directory, typed=False)
    return Layer(settings, hosts)


def _require(settings: Settings, hosts: Hosts | None, file: str, strategy: str) -> None:
    given = {path for path, value in settings.items() if value}
    if hosts and all(is_named(entry) for entry in hosts.entries):
        given.add(_HOST)
    required = {_HOST} | {path for path, key in KEYS.items() if key.required and is_of(strategy, path)}
    missing = [option for option in OPTIONS if option.path(strategy) in required - given]
    if missing:
        ways = [f"{option.key}: by {file or FILE_NAME}, {option.flag} or {option.variable}" for option in missing]
        names = ", ".join(option.key for option in missing)
        raise InvalidInput(f"{file or 'the configuration'} lacks {names}", hint="\n".join(ways))


def _nest(settings: Settings, hosts: Hosts | None) -> dict[str, Any]:
    tree: dict[str, Any] = {path[-1]: {} for path in TABLES if len(path) == 1}
    tree |= {"host": hosts.entries if hosts else ()}
    for path, value in settings.items():
        table = tree
        for name in path[:-1]:
            table = table.setdefault(name, {})
        table[path[-1]] = value
    return tree
