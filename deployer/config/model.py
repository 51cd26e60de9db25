"""The configuration as frozen values; flags, variables, JSON Schema and the reference page are made from this module.

Each field's ``Meta`` carries what a person needs to know about it (``description``), the bounds of numbers, and in
``extra`` what the loader needs; see :func:`_about`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from deployer.config.checks import (
    APP_PATTERN,
    Check,
    check_address,
    check_app,
    check_host_key,
    check_key_file,
    check_not_empty,
    check_target,
    check_url,
    check_user,
)

__all__ = ["Config", "Health", "Host", "Probe", "Static"]

_DAY = 86_400  # seconds: the longest wait that is still not a mistake


def _about(
    description: str,
    flag: str = "",
    metavar: str = "",
    *,
    check: Check | None = None,
    example: object = None,
    path: bool = False,
    lines: bool = False,
    **constraints: Any,
) -> msgspec.Meta:
    """What is known of a key.

    An empty ``flag`` means that the key has none; ``path`` marks a path on this machine, ``lines`` a list that may also
    be given as one text of several lines; ``example`` is shown in the reference where the default says too little.
    """
    extra = {"flag": flag, "metavar": metavar, "check": check, "example": example, "path": path, "lines": lines}
    return msgspec.Meta(description=description, extra=extra, **constraints)


# Set by the loader, never by the file.
_DERIVED = msgspec.Meta(extra={"derived": True})


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The server, and how to log in to it."""

    local: Annotated[bool, _DERIVED] = False
    address: Annotated[
        str,
        _about("Host name or IP address; `local` is this machine.", check=check_address, example="example.org"),
    ] = ""
    port: Annotated[int, _about("SSH port.", ge=1, le=65_535)] = 22
    user: Annotated[
        str, _about("Login name; empty: the name of the user who runs deployer.", check=check_user, example="deploy")
    ] = ""
    key: Annotated[
        str,
        _about(
            "File of the private key; empty: the SSH agent's keys. The variable may hold the key itself.",
            "--key",
            "FILE",
            check=check_key_file,
            example="~/.ssh/id_ed25519",
            path=True,
        ),
    ] = ""
    host_key: Annotated[
        tuple[str, ...],
        _about(
            "The host's public keys, as lines of known_hosts or bare; a text or a list. Other keys are refused.",
            "--host-key",
            "LINE",
            check=check_host_key,
            example="ssh-ed25519 AAAA…",
            lines=True,
        ),
    ] = ()
    known_hosts: Annotated[
        str, _about("File of known_hosts lines, instead of or beside `host_key`.", "--known-hosts", "FILE", path=True)
    ] = ""
    connect_to: Annotated[
        str,
        _about(
            "Address that health checks and probe connect to, with the URL's name; empty: what the name resolves to.",
            "--connect-to",
            "ADDRESS",
            check=check_address,
        ),
    ] = ""
    connect_timeout: Annotated[
        float, _about("Seconds that one attempt to connect may take.", "--connect-timeout", "S", gt=0, le=_DAY)
    ] = 10
    command_timeout: Annotated[
        float, _about("Seconds that the host may take without any progress.", "--command-timeout", "S", gt=0, le=_DAY)
    ] = 600


class Static(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The files of a static site: where they come from and where they are served."""

    build: Annotated[
        str,
        _about("Command that makes the files, run here first; empty: none.", "--build", "CMD", example="make build"),
    ] = ""
    source: Annotated[
        str,
        _about(
            "Directory whose contents are uploaded.",
            "--source",
            "DIR",
            check=check_not_empty,
            example="public",
            path=True,
        ),
    ]
    target: Annotated[
        str,
        _about(
            "Absolute path on the host that the web server serves.",
            "--target",
            "PATH",
            check=check_target,
            example="/www/blog",
        ),
    ]
    exclude: Annotated[
        tuple[str, ...],
        _about(
            "Patterns of files that are not uploaded.", "--exclude", "GLOB", check=check_not_empty, example=["*.map"]
        ),
    ] = ()
    keep: Annotated[
        int, _about("Releases that stay on the host, the live one included.", "--keep", "N", ge=2, le=1_000)
    ] = 5


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The gate after the switch: failing it brings the previous release back."""

    url: Annotated[str, _about("URL to check; empty: the app's `url`.", "--health-url", "URL", check=check_url)] = ""
    status: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=100, le=599)], ...],
        _about("HTTP statuses that are good.", "--health-status", "CODE", min_length=1),
    ] = (200,)
    contains: Annotated[str, _about("Text that the answer must contain; empty: any.", "--health-contains", "TEXT")] = ""
    timeout: Annotated[
        float, _about("Seconds after the switch until the answer must be good.", "--timeout", "S", gt=0, le=_DAY)
    ] = 60


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The requests that measure whether a deploy drops any."""

    url: Annotated[str, _about("URL to ask; empty: the app's `url`.", "--probe-url", "URL", check=check_url)] = ""
    rate: Annotated[float, _about("Requests a second.", "--probe-rate", "N", gt=0, le=1_000)] = 20
    budget: Annotated[
        int, _about("Dropped requests that are still no failure.", "--probe-budget", "N", ge=0, le=1_000_000)
    ] = 0


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One app and how it is deployed, after file, environment, variables and flags.

    Paths on this machine (``host.key``, ``host.known_hosts``, ``static.source``) are absolute.
    """

    app: Annotated[
        str, _about("Name of the app.", "--app", "NAME", check=check_app, example="blog", pattern=f"^{APP_PATTERN}$")
    ]
    strategy: Annotated[Literal["static"], _about("How it is deployed.", "--strategy", "NAME")] = "static"
    url: Annotated[
        str,
        _about(
            "Where visitors find it; default of `health.url` and `probe.url`.",
            "--url",
            "URL",
            check=check_url,
            example="https://example.org/blog/",
        ),
    ] = ""
    lock_wait: Annotated[
        float, _about("Seconds to wait while another deploy holds the lock.", "--lock-wait", "S", ge=0, le=_DAY)
    ] = 60
    host: Annotated[
        Host,
        _about(
            "The server; `local` is this machine. Parts that are not named stay as they are in the file.",
            "--host",
            "[USER@]ADDRESS[:PORT]",
        ),
    ]
    static: Static
    health: Health = msgspec.field(default_factory=Health)
    probe: Probe = msgspec.field(default_factory=Probe)
    environment: Annotated[str, _DERIVED] = ""
    directory: Annotated[Path, _DERIVED] = Path()
    """Folder of deploy.toml, or the working directory where there is none; ``static.build`` runs in it."""

    @property
    def health_url(self) -> str:
        """The URL that the gate checks; empty when there is none."""
        return self.health.url or self.url

    @property
    def probe_url(self) -> str:
        """The URL that the probe asks; empty when there is none."""
        return self.probe.url or self.url
