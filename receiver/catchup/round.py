"""One round of catch-up: deliveries, heads, and GitHub's networks."""

from __future__ import annotations

import json
from ipaddress import ip_network

from receiver import alarm
from receiver.catchup.deliveries import ask_again
from receiver.catchup.heads import Servers, compare_heads
from receiver.config import ReceiverConfig, Secrets
from receiver.errors import StoreUnavailable
from receiver.github import GitHubApi, GitHubTrouble, GitHubUnavailable, hook_networks
from receiver.store import Database
from receiver.store.history import fact
from receiver.store.upkeep import remember

__all__ = ["catch_up"]

NETWORKS_FACT = "github_hooks"
"""JSON: a list of networks. ``…_at`` has when they were fetched."""
NETWORKS_SECONDS = 86_400.0


def catch_up(config: ReceiverConfig, secrets: Secrets, database: Database, api: GitHubApi | None) -> str:
    """Make up for what was lost. Returns what went wrong in one sentence; empty: nothing.

    Failed deliveries are asked for again, heads that nobody has dealt with are queued, and GitHub's networks are kept
    where ``allow`` names them. Never raises for a trouble of GitHub, of git or of the database. Stores the facts
    ``catch_up_at`` (seconds since 1970) and ``catch_up_error``.
    """
    try:
        with database.reading() as connection:
            now = database.now(connection)
        error = "; ".join(dict.fromkeys(_round(config, secrets, database, api, now)))
        remember(database, "catch_up_error", error)
        remember(database, "catch_up_at", str(now))
    except StoreUnavailable as trouble:
        return trouble.message
    return error


def _round(
    config: ReceiverConfig, secrets: Secrets, database: Database, api: GitHubApi | None, now: float
) -> list[str]:
    troubles = []
    servers = Servers(config, secrets, api)
    if api is not None:
        try:
            troubles += ask_again(config, database, api, now)
        except GitHubUnavailable as trouble:
            servers.down = trouble
            troubles.append(trouble.message)
    queued, more = compare_heads(config, database, servers)
    if queued:
        alarm.knock(config.state)
    troubles += more
    if servers.down is None:
        try:
            _keep_networks(config, database, api, now)
        except GitHubTrouble as trouble:
            troubles.append(trouble.message)
    return troubles


def _keep_networks(config: ReceiverConfig, database: Database, api: GitHubApi | None, now: float) -> None:
    """Once a day. What cannot be fetched leaves the old ones as they are. Raises GitHubTrouble or StoreUnavailable."""
    if "github" not in config.allow:
        return
    with database.reading() as connection:
        fetched = float(fact(connection, f"{NETWORKS_FACT}_at") or 0)
    if 0 <= now - fetched < NETWORKS_SECONDS:
        return
    networks = hook_networks(config, api)
    try:
        kept = [str(ip_network(network)) for network in networks]
    except ValueError:
        raise GitHubTrouble("GitHub's networks are not known: its API names one that is none") from None
    if not kept:
        raise GitHubTrouble("GitHub's networks are not known: its API names none")
    remember(database, NETWORKS_FACT, json.dumps(kept))
    remember(database, f"{NETWORKS_FACT}_at", str(now))
