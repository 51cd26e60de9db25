"""The tables of a server: the host that is deployed to, and those on the way to it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from deployer.config.about import about
from deployer.config.checks import check_address, check_host_key, check_key_file, check_user, parse_jumps

__all__ = ["DERIVED", "Host", "Jump"]

_DAY = 86_400  # seconds: the longest wait that is still not a mistake

DERIVED = msgspec.Meta(extra={"derived": True})
"""Set by the loader, never by the file."""


class Jump(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A host on the way to another one; an empty ``user`` is the name of the user who runs deployer."""

    address: str
    port: int = 22
    user: str = ""


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server, and how to log in to it."""

    local: Annotated[bool, DERIVED] = False
    address: Annotated[
        str,
        about("Host name or IP address; `local` is this machine.", check=check_address, example="example.org"),
    ] = ""
    port: Annotated[int, about("SSH port.", "--ssh-port", "N", ge=1, le=65_535)] = 22
    user: Annotated[
        str,
        about(
            "Login name; empty: the name of the user who runs deployer.",
            "--ssh-user",
            "NAME",
            check=check_user,
            example="deploy",
        ),
    ] = ""
    key: Annotated[
        str,
        about(
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
        about(
            "The host's public keys, and its jump hosts', as lines of known_hosts; a text or a list. "
            "Other keys are refused. With one host and no jump, they may be bare.",
            "--host-key",
            "LINE",
            check=check_host_key,
            example="ssh-ed25519 AAAA…",
            lines=True,
        ),
    ] = ()
    known_hosts: Annotated[
        str, about("File of known_hosts lines, instead of or beside `host_key`.", "--known-hosts", "FILE", path=True)
    ] = ""
    jump: Annotated[
        tuple[Jump, ...],
        about(
            "Host to go through; several in a row are separated by commas; empty: none. Its key is pinned the same way.",
            "--jump",
            "[USER@]HOST[:PORT]",
            parse=parse_jumps,
        ),
    ] = ()
    """The way to the host, in the order in which it is gone."""
    connect_to: Annotated[
        str,
        about(
            "Address that health checks and probe connect to, with the URL's name; empty: what the name resolves to.",
            "--connect-to",
            "ADDRESS",
            check=check_address,
        ),
    ] = ""
    connect_timeout: Annotated[
        float, about("Seconds that one attempt to connect may take.", "--connect-timeout", "S", gt=0, le=_DAY)
    ] = 10
    command_timeout: Annotated[
        float, about("Seconds that the host may take without any progress.", "--command-timeout", "S", gt=0, le=_DAY)
    ] = 600
