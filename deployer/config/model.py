"""The configuration as frozen values; flags, variables, JSON Schema and the reference page are made from this module.

Each field's ``Meta`` carries what a person needs to know about it (``description``), the bounds of numbers, and in
``extra`` what the loader needs; see :mod:`deployer.config.about`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from deployer.config.about import about
from deployer.config.checks import (
    APP_PATTERN,
    check_app,
    check_image,
    check_not_empty,
    check_pattern,
    check_shared,
    check_target,
    check_url,
    disjoint,
)
from deployer.config.rebuild import Rebuild, Traefik
from deployer.config.server import DERIVED, Host, Jump

__all__ = ["Config", "Health", "Hooks", "Host", "Jump", "Probe", "RetainAssets", "Static"]

_DAY = 86_400  # seconds: the longest wait that is still not a mistake


class RetainAssets(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Old files that stay reachable after a switch, for pages that visitors have open."""

    patterns: Annotated[
        tuple[str, ...],
        about(
            "Patterns of files whose old versions stay; a new file of the same path wins.",
            "--retain-assets",
            "GLOB",
            check=check_pattern,
            example=["assets/*"],
        ),
    ] = ()
    days: Annotated[
        int, about("Days that they stay after the release that dropped them.", "--retain-days", "N", ge=1, le=3_650)
    ] = 7


class Static(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The files of a static site: where they come from and where they are served."""

    build: Annotated[
        str,
        about("Command that makes the files, run here first; empty: none.", "--build", "CMD", example="make build"),
    ] = ""
    build_image: Annotated[
        str,
        about(
            "Container image that `build` runs in; empty: it runs on this machine.",
            "--build-image",
            "IMAGE",
            check=check_image,
            example="node:22-alpine",
        ),
    ] = ""
    source: Annotated[
        str,
        about(
            "Directory, or archive (.tar.gz, .zip), whose contents are uploaded.",
            "--source",
            "DIR",
            check=check_not_empty,
            required=True,
            example="public",
            path=True,
        ),
    ] = ""
    target: Annotated[
        str,
        about(
            "Absolute path on the host that the web server serves.",
            "--target",
            "PATH",
            check=check_target,
            required=True,
            example="/www/blog",
        ),
    ] = ""
    exclude: Annotated[
        tuple[str, ...],
        about(
            "Patterns of files that are not uploaded.", "--exclude", "GLOB", check=check_not_empty, example=["*.map"]
        ),
    ] = ()
    shared: Annotated[
        tuple[str, ...],
        about(
            "Paths in the site that belong to the server: linked into every release, never uploaded over or deleted.",
            "--shared",
            "PATH",
            check=check_shared,
            together=disjoint,
            example=["uploads"],
        ),
    ] = ()
    keep: Annotated[
        int, about("Releases that stay on the host, the live one included.", "--keep", "N", ge=2, le=1_000)
    ] = 5
    retain_assets: RetainAssets = msgspec.field(default_factory=RetainAssets)


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The gate after the switch: failing it brings the previous release back."""

    url: Annotated[str, about("URL to check; empty: the app's `url`.", "--health-url", "URL", check=check_url)] = ""
    status: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=100, le=599)], ...],
        about("HTTP statuses that are good.", "--health-status", "CODE", min_length=1),
    ] = (200,)
    contains: Annotated[str, about("Text that the answer must contain; empty: any.", "--health-contains", "TEXT")] = ""
    timeout: Annotated[
        float, about("Seconds after the switch until the answer must be good.", "--timeout", "S", gt=0, le=_DAY)
    ] = 60


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The requests that measure whether a deploy drops any."""

    url: Annotated[str, about("URL to ask; empty: the app's `url`.", "--probe-url", "URL", check=check_url)] = ""
    rate: Annotated[float, about("Requests a second.", "--probe-rate", "N", gt=0, le=1_000)] = 20
    budget: Annotated[
        int, about("Dropped requests that are still no failure.", "--probe-budget", "N", ge=0, le=1_000_000)
    ] = 0


class Hooks(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Commands that run where deployer runs, with DEPLOYER_* facts in their environment."""

    after: Annotated[
        str,
        about(
            "Command to run after a deploy; its failure is a warning; empty: none.",
            "--hook-after",
            "CMD",
            example="make purge",
        ),
    ] = ""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One app and how it is deployed, after file, environment, variables and flags.

    There is at least one host. The tables of the other strategy are there, too, as far as they were given. Paths on this
    machine (a host's ``key`` and ``known_hosts``, ``static.source``) are absolute.
    """

    app: Annotated[
        str, about("Name of the app.", "--app", "NAME", check=check_app, example="blog", pattern=f"^{APP_PATTERN}$")
    ]
    strategy: Annotated[
        Literal["static", "rebuild"],
        about("Files that are uploaded, or a checkout on the server.", "--strategy", "static|rebuild"),
    ] = "static"
    url: Annotated[
        str,
        about(
            "Where visitors find it; default of `health.url` and `probe.url`.",
            "--url",
            "URL",
            check=check_url,
            example="https://example.org/blog/",
        ),
    ] = ""
    lock_wait: Annotated[
        float, about("Seconds to wait while another deploy holds the lock.", "--lock-wait", "S", ge=0, le=_DAY)
    ] = 60
    hosts: Annotated[
        tuple[Host, ...],
        about(
            "A server; `local` is this machine. Parts that are not named stay as they are in the file.",
            "--host",
            "[USER@]ADDRESS[:PORT]",
            min_length=1,
        ),
    ] = msgspec.field(name="host")
    static: Static = msgspec.field(default_factory=Static)
    rebuild: Rebuild = msgspec.field(default_factory=Rebuild)
    traefik: Traefik = msgspec.field(default_factory=Traefik)
    health: Health = msgspec.field(default_factory=Health)
    probe: Probe = msgspec.field(default_factory=Probe)
    hooks: Hooks = msgspec.field(default_factory=Hooks)
    environment: Annotated[str, DERIVED] = ""
    directory: Annotated[Path, DERIVED] = Path()
    """Folder of deploy.toml, or the working directory where there is none; ``static.build`` runs in it."""

    @property
    def place(self) -> str:
        """Where on the host the app is, for messages: the target, or the checkout's path as it was given."""
        return self.rebuild.path if self.strategy == "rebuild" else self.static.target

    @property
    def health_url(self) -> str:
        """The URL that the gate checks; empty when there is none."""
        return self.health.url or self.url

    @property
    def probe_url(self) -> str:
        """The URL that the probe asks; empty when there is none."""
        return self.probe.url or self.url
