"""Everything that the receiver asks of GitHub, behind one name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from deployer.secret import Secret
from receiver.config import Artifact, ReceiverConfig, Secrets
from receiver.github import artifacts, deliveries, heads
from receiver.github.calls import Caller, Errand, Nothing
from receiver.github.credentials import AppTokens, Credentials, OneToken
from receiver.github.deliveries import Attempt, Mailbox
from receiver.github.paths import repository_path, segment

__all__ = ["GitHubApi", "State", "connect", "hook_networks"]

State = Literal["pending", "success", "failure", "error"]
LONGEST_DESCRIPTION = 140


class GitHubApi:
    """GitHub's API with the credentials of receiver.toml. Every method asks at once, and raises GitHubTrouble.

    An answer that does not come is waited for 30 seconds at most, a failure is asked about once more. The first method that
    asks imports PyGithub, which costs a process 25 MB and some tenths of a second: do it in one that ends.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    @property
    def has_app(self) -> bool:
        """Whether it is a GitHub App, which may have a hook of its own."""
        return isinstance(self._credentials, AppTokens)

    def token(self, repository: str) -> Secret:
        """For git and for Deployment records: the configured token, or one of the App's installation in ``repository``."""
        return self._credentials.token(repository)

    def status(
        self, repository: str, commit: str, state: State, *, context: str, description: str = "", url: str = ""
    ) -> None:
        """Set the commit's status. A description is cut after 140 characters, which is all that GitHub takes."""
        errand = Errand(
            f"the status of {commit[:12]} is not set",
            f"statuses of {repository} may not be written",
            "it needs the permission Commit statuses: write",
        )
        body = {"state": state, "context": context, "description": _short(description), "target_url": url}
        path = f"{repository_path(repository)}/statuses/{segment(commit)}"
        given = {name: value for name, value in body.items() if value}
        self._credentials.caller(repository).ask(errand, "POST", path, Nothing, body=given)

    def fetch_artifact(
        self, repository: str, commit: str, artifact: Artifact, run_id: int, to: Path, largest: int
    ) -> int:
        """Download what the configured workflow left for ``commit`` into the file ``to``. Returns the run's id.

        See :func:`receiver.github.artifacts.fetch_artifact`. Raises NoSuchRun where there is no such run, or none yet.
        """
        caller = self._credentials.caller(repository)
        return artifacts.fetch_artifact(caller, repository, commit, artifact, run_id, to, largest)

    def head(self, repository: str, ref: str) -> str:
        """The commit at ``ref`` (a full name); empty: there is no such ref."""
        return heads.head(self._credentials.caller(repository), repository, ref)

    def repository_mailboxes(self, repository: str, address: str) -> tuple[Mailbox, ...]:
        """The repository's active hooks that deliver to ``address``."""
        return deliveries.repository_mailboxes(self._credentials.caller(repository), repository, address)

    def app_mailbox(self, address: str) -> Mailbox | None:
        """The App's own hook, if there is an App and its hook delivers to ``address``."""
        caller = self._credentials.app()
        return deliveries.app_mailbox(caller, address) if caller else None

    def attempts(self, mailbox: Mailbox) -> tuple[Attempt, ...]:
        """What was delivered, or not: the newest hundred attempts, newest first."""
        return deliveries.attempts(self._at(mailbox), mailbox)

    def deliver_again(self, mailbox: Mailbox, attempt: Attempt) -> None:
        """Have GitHub deliver it once more, with the same guid."""
        deliveries.deliver_again(self._at(mailbox), mailbox, attempt)

    def caller(self, repository: str) -> Caller:
        """For what has no method here."""
        return self._credentials.caller(repository)

    def _at(self, mailbox: Mailbox) -> Caller:
        if mailbox.repository:
            return self._credentials.caller(mailbox.repository)
        caller = self._credentials.app()
        assert caller is not None, "only an App has a hook of its own"
        return caller


def connect(config: ReceiverConfig, secrets: Secrets) -> GitHubApi | None:
    """GitHub's API, asked as the configured App or else with the configured token; None: there is neither. Asks nothing."""
    github = config.github
    if github.app_id:
        return GitHubApi(AppTokens(github.api_url, github.app_id, secrets.github_key))
    return GitHubApi(OneToken(github.api_url, secrets.github_token)) if secrets.github_token else None


class _Meta(msgspec.Struct):
    hooks: list[str]


def hook_networks(config: ReceiverConfig, api: GitHubApi | None) -> tuple[str, ...]:
    """The networks from which GitHub delivers; it tells everybody. Raises GitHubTrouble."""
    errand = Errand("GitHub's networks are not known", "GitHub does not tell them", "look at github.api_url")
    repository = next(iter(config.apps.values())).repository
    caller = api.caller(repository) if api else Caller(config.github.api_url, Secret(""))
    return tuple(caller.ask(errand, "GET", "/meta", _Meta).hooks)


def _short(description: str) -> str:
    return description if len(description) <= LONGEST_DESCRIPTION else description[: LONGEST_DESCRIPTION - 1] + "…"
