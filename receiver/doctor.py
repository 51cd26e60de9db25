"""``receiver doctor``: everything that could keep a push from being deployed, and what mends it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from deployer.config import load as load_app
from deployer.errors import InvalidInput
from deployer.finding import Finding, error, exit_code, fine, warning
from deployer.reporting import print_finding, print_sum
from receiver.config import App, ReceiverConfig, Secrets, load, read_secrets
from receiver.errors import InvalidConfig, ReceiverError
from receiver.store import Database, history

__all__ = ["look"]

LEAST_FREE = 1 << 30
"""Bytes: workspaces and logs grow."""


def look(file: Path, *, as_json: bool) -> int:
    """Print what was found as soon as it is known. Returns 0, or the worst finding's exit code."""
    found: list[Finding] = []
    for finding in _everything(file):
        found.append(finding)
        if not as_json:
            print_finding(finding.as_json(), sys.stderr, headed=False)
    if as_json:
        click.echo(json.dumps({"checks": [finding.as_json() for finding in found]}))
    else:
        print_sum([finding.as_json() for finding in found], sys.stderr)
    return exit_code(found)


def _everything(file: Path) -> Iterator[Finding]:
    try:
        config = load(file)
        secrets = read_secrets(config, os.environ)
    except InvalidConfig as reason:
        yield error("config", reason.message, reason.hint or "docs/receiver-toml.md has every key", reason.exit_code)
        return
    yield fine("config", f"{file}: {len(config.apps)} apps")
    yield from _secret_files(config)
    yield from _state(config)
    yield from _database(config)
    yield from _programs(config)
    for name, app in config.apps.items():
        yield from _app(name, app, secrets)
    yield from _dashboard(config)


def _secret_files(config: ReceiverConfig) -> Iterator[Finding]:
    files = {source.file for app in config.apps.values() for source in app.secrets if source.file}
    files |= {source.file for source in (config.github.private_key, config.github.token, config.secrets_key) if source}
    for file in sorted(filter(None, files)):
        mode = Path(file).stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IRGRP:
            yield warning("secrets", f"{file} can be used by everybody on this machine", f"chmod 600 {file}")
    if not files:
        return
    yield fine("secrets", f"{len(files)} files can be read")


def _state(config: ReceiverConfig) -> Iterator[Finding]:
    folder = config.state
    if not folder.is_dir():
        yield error("state", f"{folder} does not exist", f"install -d -m 700 {folder}")
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield error("state", f"{folder} cannot be written by uid {os.getuid()}", f"chown {os.getuid()} {folder}")
        return
    free = os.statvfs(folder)
    left = free.f_bavail * free.f_frsize
    if left < LEAST_FREE:
        yield warning("state", f"{folder} has {left >> 20} MiB left", "make room, or lower retention")
    else:
        yield fine("state", f"{folder}, {left / 2**30:.1f} GiB free")


def _database(config: ReceiverConfig) -> Iterator[Finding]:
    if not config.database and not config.state.is_dir():
        return
    try:
        database = Database.open(config.database_url)
        with database.reading() as connection:
            alive, queue = history.has_worker(connection, time.time()), history.queue(connection)
            trouble = history.fact(connection, "catch_up_error")
    except ReceiverError as reason:
        yield error("database", reason.message, reason.hint or "see docs/receiver-operations.md")
        return
    yield fine("database", f"it can be written; {queue.waiting} jobs wait, {queue.running} run")
    if alive:
        yield fine("worker", "one is running")
    else:
        yield warning("worker", "none is running: deliveries are stored, and nothing is deployed", "receiver worker")
    if trouble:
        yield warning("catch-up", trouble, "lost deliveries stay lost until this is mended")


def _programs(config: ReceiverConfig) -> Iterator[Finding]:
    for name in ("git", "ssh"):
        if shutil.which(name):
            yield fine(name, "found")
        else:
            yield error(
                name, f"there is no {name} in PATH", f"apt-get install {'openssh-client' if name == 'ssh' else name}"
            )
    if not config.github.app_id and config.github.token is None:
        yield warning(
            "github", "neither an app nor a token: lost deliveries are not asked for again", "add [github] with a token"
        )


def _app(name: str, app: App, secrets: Secrets) -> Iterator[Finding]:
    variables = {key: secret.reveal() for key, secret in secrets.variables[name].items()}
    try:
        file = Path(app.config)
        config = load_app(file, environment=app.environment, flags={}, variables=variables, directory=file.parent)
    except InvalidInput as reason:
        yield error(f"app {name}", " ".join(reason.message.split()), reason.hint, reason.exit_code)
        return
    where = ", ".join("local" if host.local else host.address for host in config.hosts)
    yield fine(f"app {name}", f"{config.strategy} to {where}, for {app.repository} {' '.join(app.refs)}")
    if app.artifact and config.strategy != "static":
        yield error(f"app {name}", "artifact needs the static strategy", 'strategy = "static" in its deploy.toml', 2)
    short = [secret for secret in secrets.webhook[name] if len(secret.reveal()) < 16]
    if short:
        yield warning(f"app {name}", "a webhook secret is so short that it can be guessed", "receiver secret new")


def _dashboard(config: ReceiverConfig) -> Iterator[Finding]:
    if config.login is None:
        yield warning("login", "the dashboard and the API are off", "add [login]: receiver hash-password")
    elif not config.public_url:
        yield warning("login", "public_url is empty: links and GitHub login do not work", 'public_url = "https://…"')
    else:
        yield fine("login", config.public_url)
