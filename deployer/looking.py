"""The commands that look: releases, status, logs; and unlock, which looks first."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable
from typing import Any

import click
import msgspec

from deployer.clock import SystemClock
from deployer.composition import gate_for, label, transport_for
from deployer.config import Config
from deployer.plan import Plan, Reply, Request
from deployer.ports import Session
from deployer.reporting import choose, print_logs, print_releases, print_status
from deployer.running import Invocation
from deployer.static import requests, views
from deployer.static.host import program

__all__ = ["show_logs", "show_releases", "show_status", "unlock"]

LOOK_SECONDS = 5.0


def show_releases(invocation: Invocation) -> int:
    """Print the kept releases. Returns the exit code."""

    def show(config: Config, _session: Session, reply: Reply) -> dict[str, Any]:
        found = views.releases(reply)
        if not invocation.json:
            print_releases(found, sys.stdout)
        return {"app": config.app, "releases": found}

    return _look(invocation, show)


def show_status(invocation: Invocation) -> int:
    """Print how the app is. Returns the exit code."""

    def show(config: Config, _session: Session, reply: Reply) -> dict[str, Any]:
        found = views.status(config, reply)
        # A look, not a wait for something to get better.
        health = msgspec.structs.replace(config.health, timeout=min(config.health.timeout, LOOK_SECONDS))
        impatient = msgspec.structs.replace(config, health=health)
        gate = gate_for(impatient, SystemClock(), choose(sys.stderr, quiet=True))(Plan("", ""))
        if gate is not None:
            reason = gate()
            found["health"] = {"ok": not reason, "url": config.health_url, "error": reason}
        if not invocation.json:
            print_status(found, sys.stdout)
        return found

    return _look(invocation, show)


def show_logs(invocation: Invocation, release: str) -> int:
    """Print the journal and output of a deploy. Returns the exit code."""

    def show(config: Config, session: Session, reply: Reply) -> dict[str, Any]:
        name, journal = views.log_of(reply, release)
        output = ""
        if name:
            (answer,) = session.perform(requests.show_log(name))
            output = answer.text("log")
        found = {"app": config.app, "release": name.partition(".")[0], "journal": journal, "output": output}
        if not invocation.json:
            print_logs(found, sys.stdout)
        return found

    return _look(invocation, show)


def unlock(invocation: Invocation) -> int:
    """Show whose the lock is, ask if somebody is there to answer, and take it away. Returns the exit code."""

    def show(config: Config, session: Session, reply: Reply) -> dict[str, Any]:
        entry, owner = reply.text("lock_entry"), reply.text("lock")
        if not entry:
            click.echo(f"{config.app} is not locked", err=True)
            return {"app": config.app, "unlocked": False, "owner": None}
        click.echo(f"{config.app} is locked by {owner}", err=True)
        if sys.stdin.isatty() and not invocation.json and not click.confirm("Take the lock away?", err=True):
            return {"app": config.app, "unlocked": False, "owner": owner}
        session.perform(requests.break_lock(entry))
        click.echo("The lock is taken away; its owner can switch nothing any more.", err=True)
        return {"app": config.app, "unlocked": True, "owner": owner}

    return _look(invocation, show)


def _look(invocation: Invocation, show: Callable[[Config, Session, Reply], dict[str, Any]]) -> int:
    config, credentials = invocation.load()
    session = transport_for(config, credentials, choose(sys.stderr, quiet=invocation.quiet).note).open(program())
    try:
        _, reply = session.perform(*_opening(config))
        found = show(config, session, reply)
    finally:
        session.close(wait=False)
    if invocation.json:
        click.echo(json.dumps(found))
    return 0


def _opening(config: Config) -> tuple[Request, ...]:
    site = requests.site(config.app, config.static.target, secrets.token_hex(6), label(os.environ))
    return (site, requests.inspect())
