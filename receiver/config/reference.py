"""The reference page of receiver.toml, made from the model."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from receiver.config.model import (
    App,
    Artifact,
    GitHub,
    Login,
    OAuth,
    ReceiverConfig,
    Retention,
    SecretSource,
    Token,
)

__all__ = ["EXAMPLE", "TABLES", "page"]

_INTRODUCTION = """\
# receiver.toml

This page is generated from the model by `python -m receiver.config`; do not edit it.

One file says which apps the [receiver](receiver.md) deploys, whose deliveries it believes, and where it keeps what it knows.
It reads `/etc/deployer/receiver.toml`, or the file of `--config` or `RECEIVER_CONFIG`. How each app is deployed stands in
the app's own [deploy.toml](configuration.md), which lies beside it on the server: nothing in a repository decides where its
code goes.

- Relative paths start from the file's folder.
- Unknown keys, wrong types and values that cannot be right are errors (exit code 2) that name the key and the
  nearest valid one.
- A secret never stands in the file. Each is `{ env = "…" }`, `{ file = "…" }` or `{ encrypted = "…" }`, and none is
  optional: what is named and cannot be read keeps the receiver from starting.
- SIGHUP reads file and secrets anew. A file with a mistake is refused with one message in the log, and the old one stays in
  use. `bind`, `database`, `state_dir` and `log_streams` count at the next start.
- `receiver doctor` checks the file, and all that it names.

## A complete example
"""

EXAMPLE = """\
# receiver.toml
state_dir = "/var/lib/deployer"
bind = "127.0.0.1:9000"
public_url = "https://deploy.example.org"
concurrency = 2
stop_timeout = 300
database = ""
trusted_proxies = ["127.0.0.1/32"]
largest_delivery = 26214400
log_streams = 500
allow = ["github"]
secrets_key = { file = "/etc/deployer/secrets/key" }

[retention]
deliveries_days = 30
logs_days = 90

[login]
password_hash = { file = "/etc/deployer/secrets/password-hash" }
tokens = [{ name = "laptop", hash = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" }]
session_hours = 168

[login.github]
client_id = "Iv1.0123456789abcdef"
client_secret = { file = "/etc/deployer/secrets/oauth" }
users = ["you"]
url = "https://github.com"

[github]
app_id = 12345
private_key = { file = "/etc/deployer/secrets/app.pem" }
api_url = "https://api.github.com"
records = true
catch_up = 300

[apps.blog]                                   # built on its server
repository = "you/blog"
config = "blog.toml"
secrets = [{ file = "/etc/deployer/secrets/blog" }, { env = "BLOG_SECRET_OF_LAST_YEAR" }]
refs = ["refs/heads/main", "refs/tags/v*"]
clone_url = "git@github.com:you/blog.git"
deploy_key = { file = "/etc/deployer/secrets/blog-deploy-key" }
timeout = 1800
variables = { BASE_URL = "https://example.org/", API_KEY = { file = "/etc/deployer/secrets/blog-api-key" } }

[apps.site]                                   # what the workflow build.yml has built
repository = "you/site"
config = "site.toml"
environment = "production"
events = ["workflow_run"]
secrets = [{ file = "/etc/deployer/secrets/site" }]
artifact = { workflow = "build.yml", name = "site" }
"""

_REFS = """\
`*` in `refs` stops at slashes, `**` does not, as in a workflow's filters. What is deployed is what the ref points at when
its job starts; the delivery only says that somebody should look.
"""

TABLES: tuple[tuple[str, type[msgspec.Struct], str], ...] = (
    ("The top of the file", ReceiverConfig, ""),
    (
        "[apps.NAME]",
        App,
        _REFS,
    ),
    ("[apps.NAME.artifact]", Artifact, "The events `workflow_run` and this table need each other.\n"),
    ("[login]", Login, "It needs at least one of `password_hash`, `github` and `tokens`.\n"),
    ("[[login.tokens]]", Token, ""),
    ("[login.github]", OAuth, ""),
    ("[github]", GitHub, "Either `app_id` with `private_key`, or `token`, or nothing of it.\n"),
    ("[retention]", Retention, ""),
    ("A secret", SecretSource, ""),
)
"""Each heading, the table that it is about, and what has to be said beside the table."""


def page() -> str:
    """The whole page, as Markdown."""
    parts = [_INTRODUCTION, f"```toml\n{EXAMPLE}```\n"]
    for heading, table, beside in TABLES:
        parts.append(f"## {heading}\n")
        if heading.startswith("[") or table is SecretSource:
            parts.append(f"{(table.__doc__ or '').splitlines()[0]}\n")
        parts += [beside, "".join(_rows(table))]
    return "\n".join(part for part in parts if part)


def _rows(table: type[msgspec.Struct]) -> Iterator[str]:
    yield "| key | type | default | meaning |\n|---|---|---|---|\n"
    for field in msgspec.structs.fields(table):
        kind, meta = _plain(field.type)
        meaning = meta.description if meta else f"See [{field.name}](#{field.name})."
        yield f"| `{field.name}` | {_type(kind, meta)} | {_default(field)} | {meaning} |\n"


def _plain(annotation: Any) -> tuple[Any, msgspec.Meta | None]:
    """The type that is written, and what is said of it."""
    meta = next((each for each in getattr(annotation, "__metadata__", ()) if isinstance(each, msgspec.Meta)), None)
    kind = annotation.__origin__ if meta else annotation
    if get_origin(kind) in {Union, types.UnionType}:
        (kind,) = (each for each in get_args(kind) if each is not type(None))
    return kind, meta


def _type(kind: Any, meta: msgspec.Meta | None) -> str:
    if kind is bool:
        return "`true` or `false`"
    if kind is int:
        low, high = (meta.ge, meta.le) if meta else (None, None)
        return f"whole number from {low:,} to {high:,}" if high is not None else f"whole number from {low}"
    if get_origin(kind) is tuple:
        (item, _) = get_args(kind)
        if get_origin(item) is Literal:
            return "list: " + ", ".join(f"`{choice}`" for choice in get_args(item))
        return {str: "list of texts", SecretSource: "list of secrets"}.get(item, "list of tables")
    if get_origin(kind) is dict:
        return "tables, by name" if App in get_args(kind) else "texts or secrets, by name"
    return "text" if kind is str else "a secret" if kind is SecretSource else "table"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None or value == {}:
        return "none"
    if isinstance(value, msgspec.Struct):
        return "its own"
    if isinstance(value, tuple):
        value = list(value)
    return f"`{msgspec.json.format(msgspec.json.encode(value), indent=-1).decode()}`"
