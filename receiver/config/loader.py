"""Reading receiver.toml: every mistake is one message that names the file, the key and what was expected."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec

from receiver.config.model import App, ReceiverConfig, SecretSource
from receiver.errors import InvalidConfig

__all__ = ["DEFAULT_FILE", "load"]

DEFAULT_FILE = Path("/etc/deployer/receiver.toml")
_APP_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`(?: - at `(?P<place>.*)`)?")


def load(file: Path) -> ReceiverConfig:
    """Read and check ``file``; its relative paths become absolute. Raises InvalidConfig."""
    try:
        document = tomllib.loads(file.read_text("utf-8"))
        config = msgspec.convert(_absolute(document, file.absolute().parent), ReceiverConfig)
    except OSError as error:
        raise InvalidConfig(f"{file} cannot be read: {error.strerror}", hint="name it with --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{file} is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise InvalidConfig(f"{file}: {_in_words(str(error))}") from None
    for problem in _problems(config):
        raise InvalidConfig(f"{file}: {problem}")
    return config


def _in_words(message: str) -> str:
    if unknown := _UNKNOWN.fullmatch(message):
        place = (unknown["place"] or "$").removeprefix("$").replace("[...]", ".*").strip(".")
        names = {field for table in _tables() for field in table.__struct_fields__}
        nearest = difflib.get_close_matches(unknown["key"], names, 1)
        guess = f"; did you mean {nearest[0]}?" if nearest else ""
        return f"unknown key {'.'.join(filter(None, [place, unknown['key']]))}{guess}"
    return message.replace("`$.", "`").replace("[...]", ".*")


def _tables() -> Iterator[type[msgspec.Struct]]:
    from receiver.config import model

    for name in model.__all__:
        yield getattr(model, name)


def _absolute(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Paths in the file start from its folder, wherever the receiver is started."""
    if isinstance(document.get("state_dir"), str):
        document["state_dir"] = str(folder / document["state_dir"])
    for app in _dicts(document.get("apps")):
        if isinstance(app.get("config"), str):
            app["config"] = str(folder / app["config"])
    _make_files_absolute(document, folder)
    return document


def _dicts(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield from (entry for entry in value.values() if isinstance(entry, dict))


def _make_files_absolute(value: object, folder: Path) -> None:
    if isinstance(value, list):
        for entry in value:
            _make_files_absolute(entry, folder)
    elif isinstance(value, dict):
        if set(value) == {"file"} and isinstance(value["file"], str) and value["file"]:
            value["file"] = str(folder / value["file"])
        for entry in value.values():
            _make_files_absolute(entry, folder)


def _problems(config: ReceiverConfig) -> Iterator[str]:
    if not config.apps:
        yield "apps is empty: there is nothing to deploy"
    for name, app in config.apps.items():
        yield from (f"apps.{name}{problem}" for problem in _app_problems(name, app))
    for place, networks in (("trusted_proxies", config.trusted_proxies), ("allow", config.allow)):
        yield from (f"{place}: {text!r} is no network such as 10.0.0.0/8" for text in networks if not _is_network(text))
    if config.github.app_id and not config.github.private_key:
        yield "github.app_id needs github.private_key"
    if config.login:
        bad = (token.name for token in config.login.tokens if not _HASH.fullmatch(token.hash))
        yield from (f"login.tokens: the hash of {name!r} is not sha256: and 64 digits" for name in bad)
        if not (config.login.password_hash or config.login.tokens or config.login.github):
            yield "login is empty: it needs password_hash, github or tokens"
    yield from (f"{place}: give exactly one of env, file and encrypted" for place, _ in _unclear_sources(config))


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return text == "github"
    return True


def _app_problems(name: str, app: App) -> Iterator[str]:
    if not _APP_NAME.fullmatch(name):
        yield ": a name is lower-case letters, digits and hyphens, 63 at most"
    if not _REPOSITORY.fullmatch(app.repository):
        yield f".repository: {app.repository!r} is not OWNER/NAME"
    if not app.secrets:
        yield ".secrets is empty: without a secret nobody could be believed"
    if not app.events:
        yield ".events is empty"
    yield from (f".refs: {ref!r} is no full name such as refs/heads/main" for ref in app.refs if not _is_ref(ref))
    if ("workflow_run" in app.events) != (app.artifact is not None):
        yield ": the event workflow_run and the table artifact need each other"
    if app.clone_url.startswith("-"):
        yield f".clone_url: {app.clone_url!r} is no URL"
    yield from (f".variables: {key!r} is no variable's name" for key in app.variables if not _VARIABLE.fullmatch(key))


def _is_ref(pattern: str) -> bool:
    return pattern.startswith(("refs/heads/", "refs/tags/")) and pattern.isprintable() and " " not in pattern


def _unclear_sources(value: object, place: str = "") -> Iterator[tuple[str, SecretSource]]:
    if isinstance(value, SecretSource):
        if sum(map(bool, (value.env, value.file, value.encrypted))) != 1:
            yield place, value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _unclear_sources(getattr(value, name), f"{place}.{name}".strip("."))
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from _unclear_sources(entry, f"{place}.{name}")
    elif isinstance(value, tuple):
        for at, entry in enumerate(value):
            yield from _unclear_sources(entry, f"{place}[{at}]")
