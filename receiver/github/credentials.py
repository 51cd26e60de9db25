"""Who we are to GitHub: a GitHub App with a token for each repository, or one token for all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from deployer.secret import Secret
from receiver.github.calls import Caller, Errand, app_token
from receiver.github.paths import repository_path

__all__ = ["AppTokens", "Credentials", "OneToken"]

SPARE_SECONDS = 300
"""A token is not used any more for so long before its end: what begins with it has to end with it."""
APP_TOKEN_SECONDS = 240
"""The App's own lasts five minutes."""


class Credentials(Protocol):
    """What asks GitHub in a repository's name, and with which token."""

    def caller(self, repository: str) -> Caller:
        """For requests about that repository. Raises GitHubTrouble."""
        ...

    def token(self, repository: str) -> Secret:
        """The token of :meth:`caller`. Raises GitHubTrouble."""
        ...

    def app(self) -> Caller | None:
        """For requests about the App itself; None: there is none. Raises GitHubTrouble."""
        return None


class OneToken(Credentials):
    """A token that somebody made."""

    def __init__(self, api_url: str, token: Secret) -> None:
        self._token = token
        self._caller = Caller(api_url, token)

    def caller(self, repository: str) -> Caller:
        """The same for every repository."""
        return self._caller

    def token(self, repository: str) -> Secret:
        """The same for every repository."""
        return self._token


class _Installation(msgspec.Struct):
    id: int


class _Token(msgspec.Struct):
    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Held:
    caller: Caller
    token: Secret
    until: float


class AppTokens(Credentials):
    """A GitHub App: it asks for a token of its installation in each repository, good for that repository alone."""

    def __init__(self, api_url: str, app_id: int, key: Secret, clock: Callable[[], float] = time.time) -> None:
        self._api_url = api_url
        self._app_id = app_id
        self._key = key
        self._clock = clock
        self._held: dict[str, _Held] = {}

    def caller(self, repository: str) -> Caller:
        """With the installation's token."""
        return self._of(repository).caller

    def token(self, repository: str) -> Secret:
        """The installation's, for another five minutes at least."""
        return self._of(repository).token

    def app(self) -> Caller:
        """With the App's own token."""
        held = self._held.get("")
        if held is None or held.until <= self._clock():
            token = app_token(self._app_id, self._key)
            caller = Caller(self._api_url, token, is_app=True)
            held = self._held[""] = _Held(caller, token, self._clock() + APP_TOKEN_SECONDS)
        return held.caller

    def _of(self, repository: str) -> _Held:
        held = self._held.get(repository.lower())
        if held is None or held.until - SPARE_SECONDS <= self._clock():
            held = self._held[repository.lower()] = self._fetch(repository)
        return held

    def _fetch(self, repository: str) -> _Held:
        errand = Errand(
            f"the GitHub App has no token for {repository}",
            f"the App with the id {self._app_id} is not installed in {repository}",
            "install it there",
        )
        place = repository_path(repository)
        installation = self.app().ask(errand, "GET", f"{place}/installation", _Installation)
        path = f"/app/installations/{installation.id}/access_tokens"
        only = {"repositories": [repository.partition("/")[2]]}
        found = self.app().ask(errand, "POST", path, _Token, body=only)
        token = Secret(found.token)
        return _Held(Caller(self._api_url, token), token, found.expires_at.timestamp())
