"""The questions of ``init``, in the order in which they help each other, and the configuration that comes out."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from deployer.config import OPTIONS, Config, Host
from deployer.config.checks import Refused, check_not_empty, check_user
from deployer.config.keys import KEYS, Key, KeyPath, is_of
from deployer.errors import ConnectionRefused, InvalidInput
from deployer.init.answers import Answers
from deployer.init.checkout import Buildable
from deployer.init.pinning import Lines, Scanned, check_given, scan_hosts, trusted_lines
from deployer.init.rebuilding import ask_for_checkout
from deployer.init.repository import Remote
from deployer.init.site import Site

__all__ = ["Described", "Proposals", "interview", "proposed_name"]

_SERVER = "Server, as [user@]address[:port]"
_SSH_PORT = 22
_LONGEST_NAME = 63
# All that a checkout holds beside the site, when the site is the whole folder.
_NOT_THE_SITE = (".git*", "deploy.toml")


@dataclass(frozen=True, slots=True)
class Described:
    """A site and its servers: the checked configuration, and what deploy.toml is to say in TOML's types."""

    config: Config
    values: dict[KeyPath, object]
    hosts: tuple[dict[str, object], ...]


def proposed_name(text: str) -> str:
    """A repository's or folder's name as an app's; empty when nothing is left of it."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST_NAME].rstrip("-")


@dataclass(frozen=True, slots=True)
class Proposals:
    """What was found out: a name for the app, how the site is made here, and how a server would build it."""

    name: str
    site: Site
    buildable: Buildable
    remote: Remote | None


def interview(answers: Answers, proposals: Proposals, folder: Path, fingerprints: Sequence[str]) -> Described:
    """Ask, or take from flags, what deploy.toml in ``folder`` needs.

    Raises InvalidInput, and ConnectionRefused for a server that is not there or whose key is not the right one.
    """
    site = proposals.site
    answers.settle("app", "Name of the app", proposals.name)
    # With a person, at once: a server that is not there is asked for again, and no other answer is lost.
    lines = _ask_for_servers(answers, fingerprints) if answers.interactive else None
    answers.settle("host", _SERVER)
    if answers.strategy == "rebuild":
        ask_for_checkout(answers, proposals.buildable, proposals.remote)
    else:
        _ask_for_files(answers, site)
    answers.settle("url", "URL that visitors use", site.url, optional=True)
    if answers.missing and not fingerprints and not {"host.host_key", "host.known_hosts"} & answers.values.keys():
        answers.missing.append("--host-key or --accept-fingerprint")
    answers.require()
    _name_users(answers)
    if lines is None:
        lines = _pin(answers, fingerprints)
    config = answers.config()
    return Described(config, _values(answers, config, folder), _hosts(answers, config, folder, lines))


def _ask_for_files(answers: Answers, site: Site) -> None:
    answers.settle("static.source", "Directory with the finished site", site.source)
    answers.settle("static.build", "Command that builds it", site.build, optional=True)
    target = f"/www/{answers.text('app')}"
    answers.settle("static.target", "Directory on the server that is served", target, unattended=False)


def _ask_for_servers(answers: Answers, fingerprints: Sequence[str]) -> Lines:
    asked = "host" not in answers.values
    while True:
        answers.settle("host", _SERVER)
        _name_users(answers)
        try:
            scanned = _scan(answers, fingerprints)
            break
        except ConnectionRefused as error:
            if not asked:
                raise
            click.echo(f"{error}\n", err=True)
            del answers.values["host"]
    return trusted_lines(answers.draft().hosts, scanned, confirmed=bool(fingerprints), interactive=True)


def _pin(answers: Answers, fingerprints: Sequence[str]) -> Lines:
    scanned = _scan(answers, fingerprints)
    return trusted_lines(answers.draft().hosts, scanned, confirmed=bool(fingerprints), interactive=False)


def _scan(answers: Answers, fingerprints: Sequence[str]) -> Scanned:
    hosts = answers.draft().hosts
    if not check_given(hosts):
        return scan_hosts(hosts, fingerprints)
    if fingerprints:
        raise InvalidInput(
            "--accept-fingerprint is for a key that is scanned, and nothing is to scan here",
            hint="Leave it out: the host key is given, or this machine is the only host.",
        )
    return {}


def _name_users(answers: Answers) -> None:
    """Name who logs in: the default, who runs deployer, is somebody else in a workflow."""
    hosts = tuple(str(host) for host in _texts(answers.values.get("host")))
    if all(host == "local" or "@" in host for host in hosts):
        return
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        return  # whoever this is has no name
    if answers.interactive:
        user = click.prompt("Login name there", default=user, value_proc=_check_user, err=True)
    answers.values["host"] = tuple(host if host == "local" or "@" in host else f"{user}@{host}" for host in hosts)


def _check_user(text: str) -> str:
    try:
        return check_user(check_not_empty(text.strip()))
    except Refused as reason:
        raise click.UsageError(f"it must be {reason.expected}") from None


def _texts(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _values(answers: Answers, config: Config, folder: Path) -> dict[KeyPath, object]:
    """Everything but the hosts, in TOML's types."""
    values = {path: value for path, value in _typed(answers, folder).items() if path[0] != "host"}
    exclude = ("static", "exclude")
    if answers.strategy != "static" or exclude in values:
        return values
    if Path(os.path.realpath(config.static.source)) == Path(os.path.realpath(folder)):
        values[exclude] = list(_NOT_THE_SITE)
    return values


def _hosts(answers: Answers, config: Config, folder: Path, lines: Lines) -> tuple[dict[str, object], ...]:
    shared = {path[-1]: value for path, value in _typed(answers, folder).items() if path[0] == "host"}
    return tuple(_host(host, shared, lines.get(index, "")) for index, host in enumerate(config.hosts))


def _host(host: Host, shared: dict[str, object], line: str) -> dict[str, object]:
    if host.local:
        return {"address": "local"}
    parts: dict[str, object] = {"address": host.address}
    if host.port != _SSH_PORT:
        parts["port"] = host.port
    if host.user:
        parts["user"] = host.user
    return parts | shared | ({"host_key": line} if line else {})


def _typed(answers: Answers, folder: Path) -> dict[KeyPath, object]:
    found: dict[KeyPath, object] = {}
    for option in OPTIONS:
        path, value = option.path(answers.strategy), answers.values.get(option.key)
        if value is not None and path in KEYS and is_of(answers.strategy, path):
            found[path] = _as_toml(KEYS[path], value, folder)
    return found


def _as_toml(key: Key, value: object, folder: Path) -> object:
    if key.repeat:
        found = [_one(key, item, folder) for item in _texts(value)]
        return found[0] if key.lines and len(found) == 1 else found
    return _one(key, value, folder)


def _one(key: Key, value: object, folder: Path) -> object:
    if isinstance(value, bool):
        return value
    text = str(value)
    if key.kind == "integer":
        return int(text)
    if key.kind == "number":
        return float(text)
    if key.local_path and not text.startswith("~"):
        # Relative paths in flags start from the working directory, those in the file from its folder.
        text = _from_folder(Path(text).absolute(), folder)
    if not text.isascii() and not _is_utf8(text):
        raise InvalidInput(f"{key.name} is not UTF-8, which deploy.toml has to be", hint="Rename what it names.")
    return text


def _from_folder(path: Path, folder: Path) -> str:
    """A path as the file should have it: others who use the file have another checkout and another home."""
    resolved = Path(os.path.realpath(path))
    if resolved.is_relative_to(folder):
        return str(resolved.relative_to(folder))
    try:
        home = Path.home()
    except RuntimeError:
        return str(path)
    return str(Path("~", path.relative_to(home))) if path.is_relative_to(home) else str(path)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
