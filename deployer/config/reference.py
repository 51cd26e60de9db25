"""The reference page of the configuration, made from the model."""

from __future__ import annotations

from typing import Any

import msgspec

from deployer.config.keys import KEYS, OPTIONS, TABLES, Key, KeyPath, summary

__all__ = ["example", "page"]

_INTRODUCTION = """\
# Configuration

This page is generated from the model by `python -m deployer.config`; do not edit it.

deployer reads the nearest `deploy.toml` upwards from the working directory, or the file of `--config`. Every key can
also be given by a flag or an environment variable: **a flag beats a variable, a variable beats the file.** So a file
is not needed at all, and a workflow can hand over its secrets as variables.

- A list given by flags or by a variable replaces the file's. A flag is repeated for each entry; a variable has one
  entry a line.
- An empty variable counts as unset.
- Relative paths in the file start from the file's folder, those in flags and variables from the working directory.
  `~` is your home directory.
- What is true or false is `--stash` or `--no-stash` as a flag, and `true`, `false`, `1`, `0`, `yes` or `no` in a variable.
- `--build` and `--keep` set the key of the strategy that is chosen.
- Unknown keys, wrong types and values that cannot be right are errors (exit code 2) that name the line, the flag or the
  variable; those in environments that were not chosen too.
- Editors that know TOML and JSON Schema complete and check the file with `deploy.schema.json`, which is installed
  inside the `deployer` package.

## A complete example

Only `app` and `host` have no default, and for strategy `static` the keys `source` and `target` of its table, for strategy
`rebuild` the key `path`. It shows both strategies; a file needs the tables of its own only. Tables of the other one may
stand in it: they are checked, and not used.
"""

_HOST_FORMS = """\
`host = "local"` is this machine, and `host = "[user@]address[:port]"` is short for the table; `--host` and
`DEPLOYER_HOST` take the same forms. An IPv6 address stands in brackets there.

Several hosts are a list of texts, `host = ["deploy@one.example.org", "deploy@two.example.org"]`, or a table each:

```toml
[[host]]
address = "one.example.org"
user = "deploy"

[[host]]
address = "two.example.org"
user = "deploy"
```

- `--host` repeats, and `DEPLOYER_HOST` has a host a line; what they name takes the place of the file's hosts. The parts
  that they do not name are those of the file's host of the same address; where there is none, those of the file's host
  if it has exactly one.
- The flags and variables of all other keys of this table are for every host, and so is an environment's `host` table
  without an address. One with an address works as `--host` does; an environment's list replaces the file's.
- With several hosts or a jump host, every host key needs its host's name in front, as in a `known_hosts` file:
  `one.example.org ssh-ed25519 AAAA…`, or `[one.example.org]:2222 ssh-ed25519 AAAA…` for another port than 22.
- The same user, address and port twice is an error.
"""

_RETAIN_FORMS = """\
Inside `[static]`, this table may also be written on one line:
`retain_assets = { patterns = ["assets/*"], days = 7 }`.
"""

_REBUILD_FORMS = """\
For strategy `rebuild`. Where `ref` is empty, the branch that is checked out is brought to its remote branch, and a new clone
has the remote's default branch.

`build`, `before_up`, `up` and `after_up` are commands of one line for the server's `sh`, run in the checkout.
"""

_TRAEFIK_FORMS = """\
For strategy `rebuild`, with `roll`. Without this table, the cut-over is left to Compose's own DNS and a graceful stop.
`api` or `entry_point` has to be there: each change is made only after Traefik has been seen to follow the one before.
"""

_FORMS = {
    ("host",): _HOST_FORMS,
    ("static", "retain_assets"): _RETAIN_FORMS,
    ("rebuild",): _REBUILD_FORMS,
    ("traefik",): _TRAEFIK_FORMS,
}

_ENDING = """\
## [environments.NAME]

Overlays any of the above, table by table and key by key; lists are replaced. Chosen by `--environment NAME` or
`DEPLOYER_ENVIRONMENT`.

## Secrets

Secrets never stand in the file and are never flags.

| variable | meaning |
|---|---|
| `DEPLOYER_KEY` | the private key itself, unchanged (or, without `-----BEGIN`, the path of its file) |
| `DEPLOYER_KEY_PASSPHRASE` | the private key's passphrase |
| `DEPLOYER_GITHUB_TOKEN` | a token that may read a private repository by `https://`, for strategy `rebuild` |
| `DEPLOYER_REPOSITORY_KEY` | a private deploy key of the repository, all its lines, for the same by SSH |
"""

_OVERLAY = """\
[environments.staging]  # overlays any of the above, with --environment staging
url = "https://staging.example.org/blog/"
host = { address = "staging.example.org" }
static = { target = "/www/staging/blog" }
"""


def example() -> str:
    """A complete deploy.toml with a comment on every key."""
    sections = [_example_section(table) for table in TABLES]
    return "\n".join([*sections, _OVERLAY])


def page() -> str:
    """The whole page, as Markdown."""
    parts = [_INTRODUCTION, f"```toml\n{example()}```\n"]
    for table in TABLES:
        parts.append(f"## {_heading(table)}\n")
        parts.append(_FORMS.get(table, ""))
        parts.append(_rows(table))
    return "\n".join(part for part in [*parts, _ENDING] if part)


def _heading(table: KeyPath) -> str:
    return f"[{'.'.join(table)}]" if table else "The top of the file"


def _keys(table: KeyPath) -> list[Key]:
    return [key for path, key in KEYS.items() if path[:-1] == table]


def _example_section(table: KeyPath) -> str:
    assignments = [(f"{key.path[-1]} = {_toml(_shown(key))}", key.description.replace("`", "")) for key in _keys(table)]
    width = max(len(assignment) for assignment, _ in assignments)
    lines = [f"{assignment:{width}}  # {text}" for assignment, text in assignments]
    return "\n".join([f"[{'.'.join(table)}]  # {summary(table)}", *lines] if table else lines) + "\n"


def _shown(key: Key) -> Any:
    if key.example is not None:
        return key.example
    return key.choices[0] if key.choices else key.default


def _rows(table: KeyPath) -> str:
    head = "| key | flag | variable | type | default | meaning |\n|---|---|---|---|---|---|\n"
    about = f"{summary(table)}\n\n" if table else ""
    return about + head + "".join(_row(key) for key in _keys(table))


def _row(key: Key) -> str:
    flag, variable = f"`{key.flag} {key.metavar}`".replace(" `", "`").replace("|", "\\|"), f"`{key.variable}`"
    if not key.flag:  # a part of --host
        option = next(option for option in OPTIONS if option.key == key.path[0])
        flag, variable = f"in `{option.flag}`", f"in `{option.variable}`"
    default = "required" if key.required or key.path == ("host", "address") else f"`{_toml(key.default)}`"
    return f"| `{key.path[-1]}` | {flag} | {variable} | {_type(key)} | {default} | {key.description} |\n"


def _type(key: Key) -> str:
    if key.kind == "boolean":
        return "`true` or `false`"
    noun = {"text": "text", "integer": "whole number", "number": "number"}[key.kind]
    if key.choices:
        noun = ", ".join(f"`{choice}`" for choice in key.choices)
    elif key.low is not None:
        noun += f" from {key.low:g} to {key.high:.0f}"
    elif key.above is not None:
        noun += f" above {key.above:g}, at most {key.high:.0f}"
    return f"list: {noun}" if key.repeat else noun


def _toml(value: Any) -> str:
    """A value as TOML: JSON's texts, numbers and lists are TOML too."""
    return msgspec.json.format(msgspec.json.encode(value), indent=-1).decode() if value != () else "[]"
