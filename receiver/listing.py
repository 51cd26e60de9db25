"""Deliveries on the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

import click

from receiver.alarm import knock
from receiver.config import ReceiverConfig
from receiver.errors import InvalidConfig
from receiver.store import Database, Delivery, Source, history
from receiver.store.jobs import request
from receiver.store.queueing import Request

__all__ = ["list_deliveries", "replay"]


def list_deliveries(config: ReceiverConfig, limit: int, *, as_json: bool) -> None:
    """Print the newest deliveries. Raises StoreUnavailable."""
    with Database.open(config.database_url).reading() as connection:
        found = history.deliveries_before(connection, None, limit)
    for entry in found:
        click.echo(json.dumps(asdict(entry)) if as_json else _line(entry))
    if not found and not as_json:
        click.echo("nothing was delivered yet", err=True)


def _line(entry: Delivery) -> str:
    moment = datetime.fromtimestamp(entry.received_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    what = f"{entry.event} {entry.ref.removeprefix('refs/')} {entry.commit[:7]}".strip()
    fate = f"{entry.verdict} {f'#{entry.job}' if entry.job else ''} {entry.reason}"
    return f"{moment}  {entry.guid}  {what}  {entry.app or '-'}: {' '.join(fate.split())}"


def replay(config: ReceiverConfig, guid: str) -> None:
    """Queue what the delivery asked for, once more. Raises InvalidConfig or StoreUnavailable."""
    database = Database.open(config.database_url)
    with database.reading() as connection:
        found = history.delivery(connection, guid)
    if not found:
        raise InvalidConfig(f"delivery {guid} is not known", hint="receiver deliveries lists those that are")
    again = [entry for entry in found if entry.app in config.apps and entry.job]
    if not again:
        raise InvalidConfig(f"delivery {guid} has led to no job: {found[0].reason or 'no app wanted it'}")
    for entry in again:
        wanted = Request(entry.app, entry.ref, Source.REPLAY, hint=entry.commit, forced=True, requested_by="replay")
        click.echo(f"{entry.app}: job {request(database, wanted)}")
    knock(config.state)
