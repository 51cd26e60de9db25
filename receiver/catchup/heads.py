"""Branches that have moved on without a delivery."""

from __future__ import annotations

from collections.abc import Mapping

from deployer.secret import Secret
from receiver.catchup.choosing import is_missed, refs_of_interest
from receiver.config import App, ReceiverConfig, Secrets
from receiver.errors import ReceiverError, StoreUnavailable
from receiver.github import GitHubApi, GitHubUnavailable
from receiver.remote import list_refs
from receiver.store import Database, Source
from receiver.store.history import heads_of, jobs_before
from receiver.store.intake import Request
from receiver.store.jobs import request

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
    """Where heads are asked for: the app's own clone_url by git, or else GitHub's API, or without a token git again.

    ``down`` is why GitHub answers nothing at the moment: every further question would wait as long for nothing.
    """

    def __init__(self, secrets: Secrets, api: GitHubApi | None) -> None:
        self._secrets = secrets
        self._api = api
        self.down: GitHubUnavailable | None = None

    def heads(self, name: str, app: App, refs: tuple[str, ...]) -> Mapping[str, str]:
        """The commits at those of ``refs`` that are there. Raises GitHubTrouble or RemoteTrouble."""
        if self._api is None or app.clone_url:
            return list_refs(app.remote, refs, key=self._secrets.deploy_keys.get(name, Secret("")))
        if self.down is not None:
            raise self.down
        try:
            return {ref: self._api.head(app.repository, ref) for ref in refs}
        except GitHubUnavailable as trouble:
            self.down = trouble
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
