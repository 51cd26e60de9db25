"""Branches that have moved on without a delivery."""

from __future__ import annotations

from collections.abc import Mapping

from deployer.secret import Secret
from receiver.catchup.choosing import is_missed, refs_of_interest
from receiver.config import App, ReceiverConfig, Secrets
from receiver.errors import ReceiverError, StoreUnavailable
from receiver.github import GitHubApi, GitHubUnavailable, is_at
from receiver.remote import RemoteSilent, list_refs, server_of
from receiver.store import Database, Source
from receiver.store.history import heads_of, jobs_before
from receiver.store.jobs import request
from receiver.store.queueing import Request

__all__ = ["Servers", "compare_heads"]

JOBS = 50
"""How many of an app's newest jobs are looked at."""


def compare_heads(config: ReceiverConfig, database: Database, servers: Servers) -> tuple[int, list[str]]:
    """Queue a deploy of each head that nobody has dealt with. Returns how many, and what went wrong.

    One app's trouble is not another's. Raises StoreUnavailable.
    """
    queued, troubles = 0, []
    for name, app in config.apps.items():
        try:
            queued += _compare(name, app, database, servers)
        except StoreUnavailable:
            raise
        except ReceiverError as trouble:
            troubles.append(trouble.message)
    return queued, troubles


class Servers:
    """Where heads are asked for: GitHub's API, or git where an app's commits are elsewhere or there is no token.

    ``down`` is why GitHub answers nothing at the moment: every further question would wait as long for nothing. The same
    goes for other servers that were silent.
    """

    def __init__(self, config: ReceiverConfig, secrets: Secrets, api: GitHubApi | None) -> None:
        self._api_url = config.github.api_url
        self._secrets = secrets
        self._api = api
        self._silent: dict[str, RemoteSilent] = {}
        self.down: GitHubUnavailable | None = None

    def heads(self, name: str, app: App, refs: tuple[str, ...]) -> Mapping[str, str]:
        """The commits at those of ``refs`` that are there. Raises GitHubTrouble or RemoteTrouble."""
        if self._api is None or not (app.clone_url == "" or is_at(app.clone_url, self._api_url, app.repository)):
            return self._by_git(name, app, refs)
        if self.down is not None:
            raise self.down
        try:
            return {ref: self._api.head(app.repository, ref) for ref in refs}
        except GitHubUnavailable as trouble:
            self.down = trouble
            raise

    def _by_git(self, name: str, app: App, refs: tuple[str, ...]) -> Mapping[str, str]:
        server = server_of(app.remote)
        if server in self._silent:
            raise self._silent[server]
        try:
            return list_refs(app.remote, refs, key=self._secrets.deploy_keys.get(name, Secret("")))
        except RemoteSilent as trouble:
            if server:
                self._silent[server] = trouble
            raise


def _compare(name: str, app: App, database: Database, servers: Servers) -> int:
    with database.reading() as connection:
        known = heads_of(connection, name)
    refs = refs_of_interest(app, known)
    if not refs:
        return 0
    found = servers.heads(name, app, refs)
    with database.reading() as connection:
        # Read again: asking took its time, and a delivery may have come meanwhile.
        known, jobs = heads_of(connection, name), jobs_before(connection, None, JOBS, name)
    missed = [ref for ref in refs if is_missed(found.get(ref, ""), ref, known, jobs)]
    for ref in missed:
        request(database, Request(name, ref, Source.CATCH_UP, hint=found[ref], requested_by="catch-up"))
    return len(missed)
