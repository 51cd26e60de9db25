"""The commands that look: releases, status, logs; and unlock, which looks first."""

from __future__ import annotations

import sys
from typing import TextIO

import click

from deployer import views
from deployer.host import requests
from deployer.plan import Plan
from deployer.reporting import print_logs, print_releases, print_status
from deployer.running import Invocation
from deployer.survey import Found, Visited, survey

__all__ = ["show_logs", "show_releases", "show_status", "unlock"]


def show_releases(invocation: Invocation) -> int:
    """Print the kept releases. Returns the exit code."""

    def look(host: Visited) -> Found:
        return {"app": host.config.app, "releases": views.releases(host.reply)}

    def show(found: Found, stream: TextIO) -> None:
        print_releases(found["releases"], stream)

    return survey(invocation, look, show)


def show_status(invocation: Invocation) -> int:
    """Print how the app is. Returns the exit code."""

    def look(host: Visited) -> Found:
        found = views.status(host.config, host.reply)
        gate = host.destination.gate(Plan("", ""))
        if gate is not None:
            reason = gate()
            found["health"] = {"ok": not reason, "url": host.config.health_url, "error": reason}
        return found

    return survey(invocation, look, print_status)


def show_logs(invocation: Invocation, release: str) -> int:
    """Print the journal and output of a deploy. Returns the exit code."""
    wanted = release

    def look(host: Visited) -> Found:
        nonlocal wanted
        name, journal = views.log_of(host.reply, wanted)
        output = ""
        if name:
            (answer,) = host.session.perform(requests.show_log(name))
            output = answer.text("log")
        wanted = name or wanted  # the last deploy is the same for all hosts
        return {"app": host.config.app, "release": name.partition(".")[0], "journal": journal, "output": output}

    return survey(invocation, look, print_logs)


def unlock(invocation: Invocation) -> int:
    """Show whose the lock is, ask if somebody is there to answer, and take it away. Returns the exit code."""

    def look(host: Visited) -> Found:
        app = host.config.app
        place = f"{app} on {host.destination.name}" if host.destination.name else app
        entry, owner = host.reply.text("lock_entry"), host.reply.text("lock")
        if not entry:
            click.echo(f"{place} is not locked", err=True)
            return {"app": app, "unlocked": False, "owner": None}
        click.echo(f"{place} is locked by {owner}", err=True)
        if sys.stdin.isatty() and not invocation.json and not click.confirm("Take the lock away?", err=True):
            return {"app": app, "unlocked": False, "owner": owner}
        host.session.perform(requests.break_lock(entry))
        click.echo("The lock is taken away; its owner can switch nothing any more.", err=True)
        return {"app": app, "unlocked": True, "owner": owner}

    return survey(invocation, look, None)
