"""Deliveries that GitHub could not bring: asked for again, each a few times at most."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from receiver.catchup.choosing import LONGEST_AGO, lost
from receiver.config import ReceiverConfig
from receiver.github import GitHubApi, GitHubTrouble, GitHubUnavailable, Mailbox
from receiver.store import Database
from receiver.store.history import delivery, fact
from receiver.store.upkeep import remember

__all__ = ["ask_again"]

ADDRESS = "/hooks/github"
LAST_FACT = "catch_up_deliveries_at"
ASKED_FACT = "catch_up_asked"
MOST_AT_ONCE = 50
"""How many are asked for in one round: GitHub allows eighty such requests a minute, and there will be another round."""
REMEMBERED = 1_000
OVERLAP = 3_600.0
"""Seconds by which GitHub's clock and ours may differ, and a delivery may have been under way."""


class _Asked(msgspec.Struct):
    """How often, and when last, a delivery was asked for again."""

    times: int
    at: float


@dataclass
class _Look:
    """One look at all hooks."""

    database: Database
    api: GitHubApi
    now: float
    since: float
    asked: dict[str, _Asked]
    troubles: list[str] = field(default_factory=list)
    left: int = MOST_AT_ONCE
    complete: bool = True

    def at(self, mailbox: Mailbox) -> None:
        attempts = self.api.attempts(mailbox)
        times = {guid: asked.times for guid, asked in self.asked.items()}
        found = lost(attempts, self.since, times, self._is_known)
        self.complete &= len(found) <= self.left
        for attempt in found[: self.left]:
            self.left -= 1
            # Counted first: a round that is killed must not ask for ever.
            self.asked[attempt.guid] = _Asked(times.get(attempt.guid, 0) + 1, self.now)
            self._remember()
            try:
                self.api.deliver_again(mailbox, attempt)
            except GitHubUnavailable:
                raise
            except GitHubTrouble as trouble:
                self.troubles.append(trouble.message)

    def _is_known(self, guid: str) -> bool:
        with self.database.reading() as connection:
            return bool(delivery(connection, guid))

    def _remember(self) -> None:
        recent = {guid: asked for guid, asked in self.asked.items() if self.now - asked.at < 2 * LONGEST_AGO}
        kept = dict(sorted(recent.items(), key=lambda item: item[1].at)[-REMEMBERED:])
        remember(self.database, ASKED_FACT, msgspec.json.encode(kept).decode())


def ask_again(config: ReceiverConfig, database: Database, api: GitHubApi, now: float) -> list[str]:
    """Ask for what failed since the last good look. Returns what went wrong. Raises GitHubUnavailable, StoreUnavailable."""
    if not config.public_url:
        return []
    with database.reading() as connection:
        last, asked = fact(connection, LAST_FACT), fact(connection, ASKED_FACT)
    since = max(now - LONGEST_AGO, float(last or 0) - OVERLAP)
    look = _Look(database, api, now, since, _asked(asked))
    address = config.public_url.rstrip("/") + ADDRESS
    repositories = dict.fromkeys(app.repository for app in config.apps.values())
    for mailbox in _mailboxes(api, repositories, address, look.troubles):
        try:
            look.at(mailbox)
        except GitHubUnavailable:
            raise
        except GitHubTrouble as trouble:
            look.troubles.append(trouble.message)
    if look.complete and not look.troubles:
        remember(database, LAST_FACT, str(now))
    return look.troubles


def _asked(text: str) -> dict[str, _Asked]:
    try:
        return msgspec.convert(json.loads(text or "{}"), dict[str, _Asked])
    except (ValueError, msgspec.ValidationError):
        return {}


def _mailboxes(api: GitHubApi, repositories: Iterable[str], address: str, troubles: list[str]) -> Iterator[Mailbox]:
    """The hooks that deliver here: the App's own, and those of the repositories."""
    own = None
    if api.has_app:
        try:
            own = api.app_mailbox(address)
        except GitHubUnavailable:
            raise
        except GitHubTrouble as trouble:
            troubles.append(trouble.message)
    if own is not None:
        yield own
    for repository in repositories:
        try:
            yield from api.repository_mailboxes(repository, address)
        except GitHubUnavailable:
            raise
        except GitHubTrouble as trouble:
            # An App that has a hook of its own needs no right to see others.
            if own is None:
                troubles.append(trouble.message)
