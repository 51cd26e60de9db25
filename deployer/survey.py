"""Looking at every host of a configuration: all are asked at once, and one that is away does not hide the others."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TextIO

import click
import msgspec

from deployer.clock import SystemClock
from deployer.composition import destinations_for, label, program_for
from deployer.config import Config
from deployer.errors import DeployerError
from deployer.fleet import Destination
from deployer.host import requests
from deployer.parallel import outcomes
from deployer.plan import Reply, Request
from deployer.ports import Session
from deployer.reporting import choose, print_error, print_host, print_unseen
from deployer.running import Invocation

__all__ = ["Found", "Visited", "survey"]

LOOK_SECONDS = 5.0
Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Visited:
    """A host that was asked, and what it said."""

    config: Config
    destination: Destination
    session: Session
    reply: Reply


def survey(
    invocation: Invocation,
    look: Callable[[Visited], Found],
    show: Callable[[Found, TextIO], None] | None,
) -> int:
    """Look at each host and tell what was found. Returns the exit code.

    ``look`` gives what there is to say of a host, and ``show`` prints that for people where ``look`` does not. Of a host
    among several that could not be looked at, there is nothing but its ``error``. Raises DeployerError where there is
    only one host and that cannot be looked at.
    """
    config, visits = _visit(invocation)
    found: list[tuple[str, Found]] = []
    errors: list[DeployerError] = []
    try:
        for destination, visited in visits:
            try:
                if isinstance(visited, BaseException):
                    raise visited
                found.append((destination.transport.host, look(visited)))
            except DeployerError as error:
                if len(visits) == 1:
                    raise
                errors.append(error)
                found.append((destination.transport.host, {"error": error.message}))
    finally:
        for _, visited in visits:
            if isinstance(visited, Visited):
                visited.session.close(wait=False)
    if invocation.json:
        click.echo(json.dumps(found[0][1] if len(visits) == 1 else _of_all(config.app, found)))
    elif show is not None:
        _print(found, show)
    for each in errors:
        print_error(each, sys.stderr)
    return errors[0].exit_code if errors else 0


def _of_all(app: str, found: Sequence[tuple[str, Found]]) -> Found:
    hosts = [{"host": host, **{key: value for key, value in each.items() if key != "app"}} for host, each in found]
    return {"app": app, "hosts": hosts}


def _print(found: Sequence[tuple[str, Found]], show: Callable[[Found, TextIO], None]) -> None:
    for host, each in found:
        if len(found) > 1:
            print_host(host, sys.stdout)
        if "error" in each:
            # For those who read only this stream; the reason follows on the other one.
            print_unseen(sys.stdout)
        else:
            show(each, sys.stdout)


def _visit(invocation: Invocation) -> tuple[Config, list[tuple[Destination, Visited | BaseException]]]:
    config, credentials = invocation.load()
    # A look, not a wait for something to get better.
    health = msgspec.structs.replace(config.health, timeout=min(config.health.timeout, LOOK_SECONDS))
    config = msgspec.structs.replace(config, health=health)
    destinations = destinations_for(config, credentials, SystemClock(), choose(sys.stderr, quiet=True))
    site = requests.site(config.app, config.place, secrets.token_hex(6), label(os.environ))
    asked = dict(outcomes([partial(_ask, config, each, (site, requests.inspect())) for each in destinations]))
    return config, [(destination, asked[number]) for number, destination in enumerate(destinations)]


def _ask(config: Config, destination: Destination, opening: tuple[Request, ...]) -> Visited:
    session = destination.transport.open(program_for(config))
    try:
        replies = session.perform(*opening)
    except BaseException:
        session.close(wait=False)
        raise
    return Visited(config, destination, session, replies[-1])
