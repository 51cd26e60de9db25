"""The tables of strategy ``rebuild``: the checkout on the server, and the proxy in front of its containers."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import msgspec

from deployer.config.about import about
from deployer.config.rebuild_checks import (
    check_base_url,
    check_command,
    check_compose_file,
    check_ref,
    check_repository,
    check_roll,
    check_server_path,
    services_once,
    split_roll,
)

__all__ = ["Rebuild", "RolledService", "Traefik"]

_DAY = 86_400  # seconds: the longest wait that is still not a mistake


class RolledService(NamedTuple):
    """A service of the Compose file that is replaced without downtime, and the port that it listens on."""

    name: str
    port: int


class Rebuild(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The checkout on the server that is brought to a commit, built there and brought up."""

    path: Annotated[
        str,
        about(
            "Checkout on the server; absolute, or relative to the user's home.",
            "--path",
            "DIR",
            check=check_server_path,
            required=True,
            example="apps/blog",
        ),
    ] = ""
    repository: Annotated[
        str,
        about(
            "Where it comes from, without credentials: cloned when `path` does not exist; empty: the checkout's own remote.",
            "--repository",
            "URL",
            check=check_repository,
            example="https://github.com/owner/blog.git",
        ),
    ] = ""
    ref: Annotated[
        str,
        about(
            "Branch, tag or commit (40 digits) to deploy; empty: the branch that is checked out.",
            "--ref",
            "REF",
            check=check_ref,
            example="main",
        ),
    ] = ""
    update: Annotated[
        Literal["exact", "rebase"],
        about(
            "`exact`: the checkout becomes the commit; `rebase`: the server's own commits are carried over.",
            "--update",
            "exact|rebase",
        ),
    ] = "exact"
    stash: Annotated[
        bool, about("Put local changes to tracked files away, instead of stopping at them.", "--stash")
    ] = False
    build: Annotated[
        str,
        about("Command that builds, run in the checkout; empty: none.", "--build", "CMD", check=check_command),
    ] = "make build"
    before_up: Annotated[
        str,
        about(
            "Command to run after the build and before anything is replaced; empty: none.",
            "--before-up",
            "CMD",
            check=check_command,
            example="make migrate",
        ),
    ] = ""
    up: Annotated[
        str,
        about(
            "Command that brings the app up, run in the checkout; not run with `roll`; empty: none.",
            "--up",
            "CMD",
            check=check_command,
        ),
    ] = "make up"
    after_up: Annotated[
        str,
        about(
            "Command to run in the checkout once the app is up; empty: none.",
            "--after-up",
            "CMD",
            check=check_command,
            example="make warm",
        ),
    ] = ""
    no_rollback_past: Annotated[
        bool, about("This release may not be rolled back automatically.", "--no-rollback-past")
    ] = False
    compose_file: Annotated[
        str,
        about(
            "Compose file, relative to the checkout; empty: the one that has a usual name.",
            "--compose-file",
            "FILE",
            check=check_compose_file,
            example="docker-compose.yml",
        ),
    ] = ""
    roll: Annotated[
        tuple[str, ...],
        about(
            "Services of the Compose file to replace without downtime, each with the port that it listens on.",
            "--roll",
            "SERVICE:PORT",
            check=check_roll,
            together=services_once,
            example=["web:80"],
        ),
    ] = ()
    roll_batch: Annotated[
        int,
        about(
            "Containers of a service that are replaced at a time; 0: all at once.", "--roll-batch", "N", ge=0, le=1_000
        ),
    ] = 0
    drain: Annotated[
        int,
        about("Seconds that requests in flight may still take after the cut-over.", "--drain", "S", ge=0, le=_DAY),
    ] = 10
    settle: Annotated[
        int, about("Seconds that a new container has to stay up before it counts.", "--settle", "S", ge=0, le=_DAY)
    ] = 2
    keep: Annotated[
        int, about("Releases that stay on the host, the live one included.", "--keep", "N", ge=2, le=1_000)
    ] = 5
    build_timeout: Annotated[int, about("Seconds that `build` may take.", "--build-timeout", "S", ge=1, le=_DAY)] = (
        1_800
    )
    up_timeout: Annotated[
        int,
        about("Seconds that each of `before_up`, `up` and `after_up` may take.", "--up-timeout", "S", ge=1, le=_DAY),
    ] = 300

    @property
    def services(self) -> tuple[RolledService, ...]:
        """What ``roll`` names, in its order."""
        return tuple(RolledService(*split_roll(text)) for text in self.roll)


class Traefik(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The proxy that cuts over between containers of rebuild.roll, by a file in the directory that it watches."""

    directory: Annotated[
        str,
        about(
            "Directory on the server that Traefik watches; absolute, or relative to the user's home; empty: no Traefik.",
            "--traefik-directory",
            "DIR",
            check=check_server_path,
            example="proxy/traefik/conf",
        ),
    ] = ""
    api: Annotated[
        str,
        about(
            "URL of Traefik's API, asked on the server; empty: there is none.",
            "--traefik-api",
            "URL",
            check=check_base_url,
            example="http://127.0.0.1:8080",
        ),
    ] = ""
    entry_point: Annotated[
        str,
        about(
            "URL of Traefik's entry point, asked on the server where its API cannot be; empty: there is none.",
            "--traefik-entry-point",
            "URL",
            check=check_base_url,
            example="http://127.0.0.1:80",
        ),
    ] = ""
    timeout: Annotated[
        int, about("Seconds that Traefik may take to follow a change.", "--traefik-timeout", "S", ge=1, le=_DAY)
    ] = 15
