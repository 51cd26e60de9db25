"""Which host keys are trusted: given ones, or scanned ones that a person or a fingerprint confirms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from deployer.config import Host
from deployer.errors import ConnectionRefused, InvalidInput
from deployer.init.host_key import compare_command, find_key, scan
from deployer.transports.hop import Jump, hops, place
from deployer.transports.host_keys import PublicKey, read_pins

__all__ = ["Lines", "Scanned", "check_given", "scan_hosts", "trusted_lines"]

_OWN_KNOWN_HOSTS = Path("~/.ssh/known_hosts")

Scanned = dict[int, PublicKey]
"""The keys that hosts have shown, by the hosts' places in their list."""
Lines = dict[int, str]
"""The known_hosts lines of keys that are trusted, in the same way."""


def check_given(hosts: Sequence[Host]) -> bool:
    """Whether host keys are given for every host; then they are readable and speak for it. Raises InvalidInput."""
    remote = [host for host in hosts if not host.local]
    if not any(host.host_key or host.known_hosts for host in remote):
        if any(host.jump for host in remote):
            raise InvalidInput(
                "a server behind a jump host cannot be scanned without logging in to the jump host",
                hint="Give the keys of both by --host-key, as known_hosts lines: `NAME ssh-ed25519 AAAA…`",
            )
        return not remote
    for host in remote:
        way = (*(Jump(jump.address, jump.port, jump.user) for jump in host.jump), Jump(host.address, host.port, ""))
        files = [(Path(host.known_hosts), True)] if host.known_hosts else []
        for hop in hops(way, host.host_key, files):
            if not hop.pins.accepted:
                hint = f"Its known_hosts line begins with {hop.pins.name}"
                raise InvalidInput(f"the given host keys hold none for {hop.pins.name}", hint=hint)
    return True


def scan_hosts(hosts: Sequence[Host], fingerprints: Sequence[str]) -> Scanned:
    """Let every host show a key: with ``fingerprints``, one that has such. Raises ConnectionRefused."""
    scanned: Scanned = {}
    for index, host in enumerate(hosts):
        if host.local:
            continue
        if fingerprints:
            scanned[index] = find_key(host.address, host.port, fingerprints, timeout=host.connect_timeout)
        else:
            scanned[index] = scan(host.address, host.port, timeout=host.connect_timeout)
    return scanned


def trusted_lines(hosts: Sequence[Host], scanned: Scanned, *, confirmed: bool, interactive: bool) -> Lines:
    """The known_hosts line of each scanned key, after a person has said yes to those that are not ``confirmed``.

    Raises ConnectionRefused for a no, and InvalidInput where there is nobody to ask.
    """
    lines: Lines = {}
    for index, key in scanned.items():
        host = hosts[index]
        if not confirmed:
            _confirm(host, key, interactive=interactive)
        lines[index] = f"{read_pins(host.address, host.port, ()).name} {key.line}"
    return lines


def _confirm(host: Host, key: PublicKey, *, interactive: bool) -> None:
    name = place(host.address, host.port)
    compare = (
        "Compare it with what the server itself says, reached another way (the provider's console, say):\n"
        f"  {compare_command(key)}"
    )
    if not interactive:
        hint = f"{compare}\nIf it is the same, give it: --accept-fingerprint {key.fingerprint}"
        raise InvalidInput(f"nobody has confirmed the host key of {name}, {key}", hint=hint)
    known = read_pins(host.address, host.port, (), [(_OWN_KNOWN_HOSTS, False)])
    if key in known.revoked or any(pinned.type == key.type and pinned != key for pinned in known.accepted):
        known.check(key)
    click.echo(f"\nThe host key of {name} is {key}", err=True)
    if key in known.accepted:
        click.echo(f"  It is the one that {_OWN_KNOWN_HOSTS} has for this host.", err=True)
    click.echo(compare, err=True)
    if not click.confirm("Is it the same?", default=False, err=True):
        hint = "Compare it, and run `deployer init` again."
        raise ConnectionRefused(f"the host key of {name} was not confirmed; nothing was written", hint=hint)
