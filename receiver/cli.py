"""The ``receiver`` command."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import click

from deployer import __version__
from receiver.config import DEFAULT_FILE, ReceiverConfig, Secrets, load, read_secrets

__all__ = ["command"]

_CONFIG = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    envvar="RECEIVER_CONFIG",
    default=DEFAULT_FILE,
    show_default=True,
    help="receiver.toml",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="receiver", message="%(prog)s %(version)s")
def command() -> None:
    """Deploy what is pushed: GitHub's webhook deliveries in, deploys out.

    \b
    receiver secret new                   a webhook secret for GitHub and receiver.toml
    receiver doctor                       what is wrong, and how to mend it
    receiver run                          everything in one process tree
    """  # noqa: D301  # \b is Click's


def _load(file: Path) -> tuple[ReceiverConfig, Secrets]:
    config = load(file)
    return config, read_secrets(config, os.environ)


@command.command()
@_CONFIG
def serve(file: Path) -> None:
    """Take deliveries and show the dashboard."""
    from receiver.reporting import start_logging
    from receiver.serving import serve as begin

    start_logging()
    begin(partial(_load, file))


@command.command()
@_CONFIG
def worker(file: Path) -> None:
    """Carry out what the deliveries ask for."""
    from receiver.reporting import hide, start_logging
    from receiver.worker import run_worker

    start_logging()
    config, secrets = _load(file)
    hide(secrets.all())
    sys.exit(run_worker(config, secrets, partial(_load, file)))


@command.command()
@_CONFIG
def run(file: Path) -> None:
    """Both of them, each in a process of its own that is started again when it dies."""
    from receiver.reporting import start_logging
    from receiver.supervision import supervise

    start_logging()
    _load(file)  # what is wrong with it is said once, before anything starts
    program = [sys.executable, "-m", "receiver"]
    sys.exit(supervise({name: [*program, name, "--config", str(file.absolute())] for name in ("serve", "worker")}))


@command.group()
def secret() -> None:
    """Make secrets."""


@secret.command("new")
@click.option("--token", is_flag=True, help="A bearer token of the API, and its hash for receiver.toml.")
@click.option("--key", is_flag=True, help="A key for secrets_key.")
@click.option("--encrypt", is_flag=True, help="Also print the secret as receiver.toml may hold it.")
@_CONFIG
def new(file: Path, *, token: bool, key: bool, encrypt: bool) -> None:
    """Print a new webhook secret, 32 random bytes; nothing is stored."""
    from receiver.secrets import new_key, new_token, new_webhook_secret

    if key:
        click.echo(new_key())
    elif token:
        click.echo("\n".join(new_token()))
    else:
        made = new_webhook_secret()
        click.echo(made.reveal())
        if encrypt:
            click.echo(_load(file)[1].box.encrypt(made))


@secret.command("encrypt")
@_CONFIG
def encrypt(file: Path) -> None:
    """Encrypt a secret from standard input with secrets_key, for `{ encrypted = "…" }`."""
    from deployer.secret import Secret

    click.echo(_load(file)[1].box.encrypt(Secret(sys.stdin.read().rstrip("\r\n"))))


@command.command("hash-password")
def hash_password() -> None:
    """Ask for a password (or read it from standard input) and print its hash for login.password_hash."""
    from receiver.secrets import hash_password as hashed

    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.read().rstrip("\r\n")
    click.echo(hashed(password))


@command.command()
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1_000))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@_CONFIG
def deliveries(file: Path, limit: int, *, as_json: bool) -> None:
    """List what GitHub has delivered, newest first."""
    from receiver.listing import list_deliveries

    list_deliveries(load(file), limit, as_json=as_json)


@command.command()
@click.argument("delivery")
@_CONFIG
def replay(file: Path, delivery: str) -> None:
    """Carry out a delivery again, by the id that GitHub shows."""
    from receiver.listing import replay as again

    again(load(file), delivery)


@command.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@_CONFIG
def doctor(file: Path, *, as_json: bool) -> None:
    """Look for everything that could keep a push from being deployed."""
    from receiver.doctor import look

    sys.exit(look(file, as_json=as_json))
