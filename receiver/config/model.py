"""receiver.toml as frozen values; the reference page is made from this module's descriptions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

__all__ = [
    "App",
    "Artifact",
    "GitHub",
    "Login",
    "OAuth",
    "ReceiverConfig",
    "Retention",
    "SecretSource",
    "Token",
]

EventName = Literal["push", "release", "workflow_run", "deployment"]
_DAY = 86_400


def _says(description: str, **bounds: int) -> msgspec.Meta:
    return msgspec.Meta(description=description, ge=bounds.get("ge"), le=bounds.get("le"))


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of receiver.toml."""


class SecretSource(_Table, frozen=True):
    """Where a secret is: exactly one of these. The secret itself is never written into receiver.toml."""

    env: Annotated[str, _says("Environment variable that holds it.")] = ""
    file: Annotated[str, _says("File that holds it; line ends at its end do not count.")] = ""
    encrypted: Annotated[str, _says("The secret as `receiver secret new` has encrypted it; needs `secrets_key`.")] = ""


class Token(_Table, frozen=True):
    """A bearer token of the JSON API, of which only the hash is known here."""

    name: Annotated[str, _says("Who uses it, for the log.")]
    hash: Annotated[str, _says("What `receiver secret new --token` prints as its hash: `sha256:` and 64 digits.")]


class OAuth(_Table, frozen=True):
    """Login by GitHub, for the accounts that are named."""

    client_id: Annotated[str, _says("The OAuth app's client id.")]
    client_secret: Annotated[SecretSource, _says("The OAuth app's client secret.")]
    users: Annotated[tuple[str, ...], _says("GitHub accounts that may log in.")]
    url: Annotated[str, _says("Where browsers log in; another one for GitHub Enterprise.")] = "https://github.com"


class Login(_Table, frozen=True):
    """Who may use the dashboard and the API; without this table both are off."""

    password_hash: Annotated[SecretSource | None, _says("What `receiver hash-password` prints.")] = None
    tokens: Annotated[tuple[Token, ...], _says("Bearer tokens of the JSON API.")] = ()
    github: Annotated[OAuth | None, _says("Login by GitHub.")] = None
    session_hours: Annotated[int, _says("Hours until a browser has to log in again.", ge=1, le=24 * 90)] = 24 * 7


class GitHub(_Table, frozen=True):
    """How to ask GitHub: for statuses, Deployments, artifacts and deliveries that were lost."""

    app_id: Annotated[int, _says("The GitHub App's id; 0: none.", ge=0)] = 0
    private_key: Annotated[SecretSource | None, _says("The GitHub App's private key (PEM).")] = None
    token: Annotated[SecretSource | None, _says("A token instead of an app.")] = None
    api_url: Annotated[str, _says("Where the API is; another one for GitHub Enterprise.")] = "https://api.github.com"
    records: Annotated[bool, _says("Whether commit statuses and Deployments are written.")] = True
    catch_up: Annotated[
        int, _says("Seconds between two looks for lost deliveries and branches; 0: only at the start.", ge=0, le=_DAY)
    ] = 300


class Artifact(_Table, frozen=True):
    """What a workflow run leaves behind for this app."""

    workflow: Annotated[str, _says("File name of the workflow, such as `build.yml`.")]
    name: Annotated[str, _says("Name of the artifact.")]


class App(_Table, frozen=True):
    """One app: whose deliveries count for it, and how it is deployed."""

    repository: Annotated[str, _says("`OWNER/NAME` on GitHub.")]
    config: Annotated[str, _says("Its deploy.toml on this machine.")]
    secrets: Annotated[tuple[SecretSource, ...], _says("Webhook secrets, newest first; each of them counts.")]
    environment: Annotated[str, _says("Environment of deploy.toml.")] = ""
    events: Annotated[tuple[EventName, ...], _says("Events that deploy it.")] = ("push",)
    refs: Annotated[tuple[str, ...], _says("Patterns of full ref names.")] = ("refs/heads/main",)
    clone_url: Annotated[str, _says("Where its commits are; empty: `https://github.com/OWNER/NAME.git`.")] = ""
    deploy_key: Annotated[SecretSource | None, _says("Private key for a `clone_url` over SSH.")] = None
    artifact: Annotated[Artifact | None, _says('What is deployed for `events = ["workflow_run"]`.')] = None
    variables: Annotated[
        dict[str, str | SecretSource],
        _says("Environment of its deploys and builds, `DEPLOYER_` variables included; nothing else is passed on."),
    ] = {}
    timeout: Annotated[int, _says("Seconds that one deploy may take.", ge=1, le=_DAY)] = 3_600

    @property
    def remote(self) -> str:
        """Where its commits are."""
        return self.clone_url or f"https://github.com/{self.repository}.git"


class Retention(_Table, frozen=True):
    """How long is kept what happened; what is live is never forgotten."""

    deliveries_days: Annotated[int, _says("Days that deliveries and their jobs stay.", ge=1, le=3_650)] = 30
    logs_days: Annotated[int, _says("Days that logs of deploys stay.", ge=1, le=3_650)] = 90


class ReceiverConfig(_Table, frozen=True):
    """The whole file. Relative paths start from the file's folder."""

    apps: Annotated[dict[str, App], _says("The apps, by name.")]
    state_dir: Annotated[str, _says("Folder of database, logs and workspaces.")] = "/var/lib/deployer"
    database: Annotated[str, _says("URL; empty: SQLite in `state_dir`.")] = ""
    bind: Annotated[str, _says("Address and port, or `unix:PATH`.")] = "127.0.0.1:9000"
    public_url: Annotated[str, _says("How browsers and GitHub reach it; links and GitHub login need it.")] = ""
    concurrency: Annotated[int, _says("Deploys at once, over all apps.", ge=1, le=64)] = 2
    stop_timeout: Annotated[int, _says("Seconds that running deploys get to finish on SIGTERM.", ge=0, le=_DAY)] = 300
    trusted_proxies: Annotated[tuple[str, ...], _says("Networks whose `X-Forwarded-For` counts.")] = ()
    allow: Annotated[tuple[str, ...], _says("Networks that may deliver; `github`: those that GitHub names.")] = ()
    largest_delivery: Annotated[int, _says("Bytes; GitHub sends 25 MiB at most.", ge=1_024, le=1 << 30)] = 25 << 20
    log_streams: Annotated[int, _says("Open live logs at once.", ge=1, le=2_000)] = 500
    secrets_key: Annotated[SecretSource | None, _says("Keys of encrypted secrets, newest first, a line each.")] = None
    retention: Retention = msgspec.field(default_factory=Retention)
    login: Annotated[Login | None, _says("Without it, dashboard and API are off.")] = None
    github: GitHub = msgspec.field(default_factory=GitHub)

    @property
    def state(self) -> Path:
        """``state_dir`` as a path."""
        return Path(self.state_dir)

    @property
    def database_url(self) -> str:
        """The database's URL for SQLAlchemy."""
        return self.database or f"sqlite:///{self.state / 'receiver.db'}"

    @property
    def log_folder(self) -> Path:
        """Where the logs of deploys are: ``ID.log`` and ``ID.jsonl`` (probe and steps) for each job."""
        return self.state / "logs"

    @property
    def workspace_folder(self) -> Path:
        """Where the checkouts are, one for each app."""
        return self.state / "workspaces"
