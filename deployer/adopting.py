"""`deployer proxy adopt`: services move from files of Traefik that people wrote into the one that deployer writes."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
from dataclasses import dataclass
from typing import Any

import click

from deployer.clock import SystemClock
from deployer.composition import destinations_for, label
from deployer.config import Config
from deployer.errors import DeployerError, InvalidInput
from deployer.fleet import Destination
from deployer.plan import Text
from deployer.ports import Session
from deployer.rebuild import requests
from deployer.rebuild.adoption import Adoption, plan_adoption
from deployer.rebuild.host import program
from deployer.rebuild.watched import Directory, own_file, read_directory, unusable
from deployer.reporting import choose, print_error, print_host
from deployer.running import Invocation

__all__ = ["adopt"]


@dataclass(frozen=True, slots=True)
class _Site:
    """A host that is being asked, and what would be done there."""

    config: Config
    destination: Destination
    session: Session
    directory: Directory
    adoption: Adoption


def adopt(invocation: Invocation, *, yes: bool) -> int:
    """Show what would change on each host, ask, and do it. Returns the exit code."""
    config, credentials = invocation.load()
    if not config.traefik.directory:
        raise InvalidInput(
            "proxy adopt needs to know which directory Traefik watches",
            hint="give traefik.directory, and rebuild.roll for the services (--traefik-directory, --roll)",
        )
    reporter = choose(sys.stderr, quiet=True)
    found: list[dict[str, Any]] = []
    errors: list[DeployerError] = []
    destinations = destinations_for(config, credentials, SystemClock(), reporter)
    for destination in destinations:
        if len(destinations) > 1 and not invocation.json:
            print_host(destination.transport.host, sys.stderr)
        try:
            found.append({"host": destination.transport.host, **_visit(config, destination, invocation, yes=yes)})
        except DeployerError as error:
            # One host at a time, and no further than the first that did not go well.
            errors.append(error)
            found.append({"host": destination.transport.host, "error": error.message})
            break
    if invocation.json:
        several = len(destinations) > 1
        click.echo(json.dumps({"app": config.app, **({"hosts": found} if several else found[0])}))
    for each in errors:
        print_error(each, sys.stderr)
    return errors[0].exit_code if errors else 0


def _visit(config: Config, destination: Destination, invocation: Invocation, *, yes: bool) -> dict[str, Any]:
    session = destination.transport.open(program())
    try:
        site = requests.site(config.app, config.rebuild.path, secrets.token_hex(6), label(os.environ))
        _, reply = session.perform(site, requests.traefik(config.traefik.directory, config.traefik.api))
        directory = read_directory(reply)
        if directory is None or directory.state != "ok":
            raise InvalidInput(unusable(config.traefik.directory, directory))
        roll = tuple((service.name, service.port) for service in config.rebuild.services)
        adoption = plan_adoption(directory, config.app, roll, entry_point=config.traefik.entry_point)
        return _decide(_Site(config, destination, session, directory, adoption), invocation, yes=yes)
    finally:
        session.close()


def _decide(site: _Site, invocation: Invocation, *, yes: bool) -> dict[str, Any]:
    adoption = site.adoption
    about = {"adopted": list(adoption.services), "files": [edit.name for edit in adoption.edits]}
    own = f"{site.directory.path}/{own_file(site.config.app)}"
    if not adoption.edits:
        _say(invocation, f"{own} defines every service of rebuild.roll already: there is nothing to adopt.")
        return {**about, "changed": False}
    diff = "".join(edit.diff(site.directory.path) for edit in adoption.edits)
    if not invocation.json:
        click.echo(diff, nl=False)
    if not yes:
        if invocation.json or not sys.stdin.isatty():
            raise InvalidInput("nothing is changed without an answer", hint="To write this, add --yes.")
        if not click.confirm("Write this?", err=True):
            return {**about, "changed": False}
    _write(site)
    _say(invocation, f"Traefik has read it: {own} is deployer's from now on.")
    return {**about, "changed": True}


def _say(invocation: Invocation, text: str) -> None:
    if not invocation.json and not invocation.quiet:
        click.echo(text, err=True)


def _write(site: _Site) -> None:
    config, adoption = site.config, site.adoption
    texts = [edit.after for edit in adoption.originals]
    files = [
        (edit.name, hashlib.sha256((edit.before or "").encode()).hexdigest(), len(edit.after.encode()))
        for edit in adoption.originals
    ]
    traefik = config.traefik
    site.session.perform(
        requests.lock(config.lock_wait, label(os.environ)),
        requests.proxy(
            own_file(config.app),
            traefik.api,
            traefik.entry_point,
            traefik.timeout,
            Text(lambda: adoption.template),
        ),
        requests.adopt(files, Text(lambda: "".join(texts))),
    )
