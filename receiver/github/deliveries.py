"""GitHub's own list of what it delivered, and asking it to deliver again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from receiver.github.calls import Caller, Errand, Nothing
from receiver.github.paths import repository_path

__all__ = ["Attempt", "Mailbox", "app_mailbox", "attempts", "deliver_again", "repository_mailboxes"]

LISTED = 100
"""How many of the newest attempts are looked at."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A hook that delivers to this receiver: ``path`` is its place in the API, ``repository`` is empty for the App's own."""

    path: str
    repository: str = ""

    @property
    def name(self) -> str:
        """For messages."""
        return f"the hook of {self.repository}" if self.repository else "the GitHub App's hook"


class Attempt(msgspec.Struct, frozen=True):
    """One try to deliver; all tries of one delivery share its ``guid``. ``status_code`` is 0 where there was no answer."""

    id: int
    guid: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    delivered_at: datetime
    status_code: int
    redelivery: bool = False

    @property
    def failed(self) -> bool:
        """Whether GitHub counts it as not delivered."""
        return not 200 <= self.status_code < 300


class _HookConfig(msgspec.Struct):
    url: str | None = None


class _Hook(msgspec.Struct):
    id: int
    active: bool
    config: _HookConfig


def repository_mailboxes(caller: Caller, repository: str, address: str) -> tuple[Mailbox, ...]:
    """The repository's active hooks that deliver to ``address``. Raises GitHubTrouble."""
    errand = _errand(f"the hooks of {repository}")
    place = f"{repository_path(repository)}/hooks"
    hooks = caller.ask(errand, "GET", place, list[_Hook], parameters={"per_page": 100})
    ours = (hook for hook in hooks if hook.active and _same(hook.config.url or "", address))
    return tuple(Mailbox(f"{place}/{hook.id}", repository) for hook in ours)


def app_mailbox(caller: Caller, address: str) -> Mailbox | None:
    """The App's own hook, if it delivers to ``address``. Raises GitHubTrouble."""
    config = caller.ask(_errand("the GitHub App's hook"), "GET", "/app/hook/config", _HookConfig)
    return Mailbox("/app/hook") if _same(config.url or "", address) else None


def attempts(caller: Caller, mailbox: Mailbox) -> tuple[Attempt, ...]:
    """The newest hundred, newest first. Raises GitHubTrouble."""
    errand = _errand(f"the deliveries of {mailbox.name}")
    found = caller.ask(errand, "GET", f"{mailbox.path}/deliveries", list[Attempt], parameters={"per_page": LISTED})
    return tuple(sorted(found, key=lambda attempt: (attempt.delivered_at, attempt.id), reverse=True))


def deliver_again(caller: Caller, mailbox: Mailbox, attempt: Attempt) -> None:
    """Have GitHub deliver it once more, with the same guid. Raises GitHubTrouble."""
    errand = _errand(f"the delivery {attempt.guid} of {mailbox.name}", "cannot be asked for again", again=False)
    caller.ask(errand, "POST", f"{mailbox.path}/deliveries/{attempt.id}/attempts", Nothing)


def _errand(what: str, failure: str = "cannot be read", *, again: bool = True) -> Errand:
    return Errand(
        f"{what} {failure}",
        "GitHub does not allow it",
        "it needs the permission Webhooks: read and write (a classic token: admin:repo_hook)",
        again=again,
    )


def _same(one: str, other: str) -> bool:
    """Whether two addresses are one: neither case of the host nor a slash at the end matters."""

    def plain(address: str) -> tuple[str, str, str, str]:
        parts = urlsplit(address)
        return parts.scheme.lower(), parts.netloc.lower(), parts.path.rstrip("/"), parts.query

    return plain(one) == plain(other)
