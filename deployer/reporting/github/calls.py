"""The calls to GitHub's API: the only place that imports PyGithub."""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from deployer import __version__
from deployer.reporting.github.refusal import is_passing, words_for
from deployer.reporting.github.subject import Ending, Subject

if TYPE_CHECKING:
    from github.Deployment import Deployment
    from github.Repository import Repository

__all__ = ["END_IS_MISSING", "NOTHING_IS_RECORDED", "OLD_IS_ACTIVE", "Tell", "keep_record"]

NOTHING_IS_RECORDED = "no Deployment is recorded on GitHub"
END_IS_MISSING = "the Deployment on GitHub stays in progress"
OLD_IS_ACTIVE = "the Deployment that was replaced stays active on GitHub"

REQUEST_SECONDS = 5
"""How long a connection or the next bytes of an answer may take."""
PAUSE_SECONDS = 1.0
LOOKED_AT = 10
"""How many earlier Deployments are looked at, and how many statuses of each."""
LONGEST_DESCRIPTION = 140
_TOKEN = re.compile(r"[!-~]+")

Tell = Callable[[str, str], None]
"""Gets what would be missing if this were the end, and why if it is; both empty: all is recorded."""
T = TypeVar("T")


class _UnusableToken(Exception):
    """The token cannot be sent; what it holds must not be said."""


def keep_record(subject: Subject, ending: Callable[[], Ending], tell: Tell) -> None:
    """Make the Deployment, wait for ``ending`` of the deploy, and record it. Never raises: ``tell`` gets what went wrong."""
    missing = NOTHING_IS_RECORDED

    def now_missing(text: str) -> None:
        nonlocal missing
        missing = text
        tell(text, "")

    try:
        now_missing(NOTHING_IS_RECORDED)
        _record(_Deployments(subject), ending, now_missing)
    except Exception as error:
        tell(missing, _hidden(_reason(error, subject), subject))


def _record(deployments: _Deployments, ending: Callable[[], Ending], now_missing: Callable[[str], None]) -> None:
    number = deployments.create()
    now_missing(END_IS_MISSING)
    deployments.begin(number)
    ended = ending()
    deployments.tell(number, ended)
    if ended.state == "success":
        now_missing(OLD_IS_ACTIVE)
        deployments.retire_before(number)
    now_missing("")


class _Deployments:
    """The Deployments of one repository, environment and task.

    Rules of the API's description that matter here: a ref behind the default branch is *merged* unless ``auto_merge`` is
    off; every commit status must be green unless ``required_contexts`` is empty; ``auto_inactive`` leaves production
    alone and takes every task for the same, so that it is off and what is replaced is looked for.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._repository = _repository(subject)

    def create(self) -> int:
        subject = self._subject
        made = _insist(
            lambda: self._repository.create_deployment(
                ref=subject.ref,
                task=subject.task,
                auto_merge=False,
                required_contexts=[],
                environment=subject.environment,
                description=_short(subject.description),
            )
        )
        if not isinstance(made.id, int):
            raise TypeError
        return made.id

    def begin(self, number: int) -> None:
        """Without this status the Deployment is merely pending, for which nobody needs a warning."""
        from github import GithubException

        with contextlib.suppress(GithubException, OSError):
            self.tell(number, Ending("in_progress"))

    def tell(self, number: int, ended: Ending) -> None:
        # The API sets log_url to what target_url says.
        links = {"environment_url": ended.url, "target_url": self._subject.log_url}
        given = {name: url for name, url in links.items() if url}
        status = partial(self._deployment(number).create_status, ended.state, auto_inactive=False, **given)
        _insist(lambda: status(description=_short(ended.description)))

    def retire_before(self, number: int) -> None:
        """Mark what was live before as inactive. Of two deploys that end at the same time, the younger one stays active."""
        earlier = (each for each in _insist(self._newest) if each < number)
        live = next((each for each in earlier if self._state(each) == "success"), None)
        if live is not None:
            _insist(partial(self._deployment(live).create_status, "inactive", auto_inactive=False))

    def _newest(self) -> list[int]:
        found = self._repository.get_deployments(task=self._subject.task, environment=self._subject.environment)
        return [each.id for each in itertools.islice(found, LOOKED_AT)]

    def _state(self, number: int) -> str:
        statuses = self._deployment(number).get_statuses()
        newest = _insist(lambda: max(itertools.islice(statuses, LOOKED_AT), key=lambda status: status.id, default=None))
        return newest.state if newest else ""

    def _deployment(self, number: int) -> Deployment:
        # By its number, and not as the answer names it: PyGithub asks a foreign port without a time-out.
        return self._repository.get_deployment(number)


def _repository(subject: Subject) -> Repository:
    import github

    # It comes with a handler of its own, which writes to standard error.
    silent = logging.getLogger("github")
    silent.handlers.clear()
    silent.setLevel(logging.CRITICAL + 1)
    if not _TOKEN.fullmatch(subject.token.reveal()):
        raise _UnusableToken
    api = github.Github(
        auth=github.Auth.Token(subject.token.reveal()),
        base_url=subject.api_url.rstrip("/"),
        timeout=REQUEST_SECONDS,
        user_agent=f"deployer/{__version__}",
        per_page=LOOKED_AT,
        retry=None,
        seconds_between_requests=None,
        seconds_between_writes=None,
        lazy=True,
    )
    return api.get_repo(subject.repository)


def _insist(call: Callable[[], T]) -> T:
    """Call, and once more after a moment if GitHub has failed. What it refuses, it would refuse again."""
    from github import GithubException

    try:
        return call()
    except GithubException as error:
        if not is_passing(error.status):
            raise
    time.sleep(PAUSE_SECONDS)
    return call()


def _reason(error: Exception, subject: Subject) -> str:
    """Other texts than GitHub's own are not quoted: HTTP libraries quote headers, of which one is the token."""
    if isinstance(error, _UnusableToken):
        return "the token has characters that no token of GitHub has; look for spaces and line breaks in the secret"
    if isinstance(error, ImportError):
        return "PyGithub is not installed; `pip install deployer[github]` brings it"
    from github import GithubException

    if isinstance(error, GithubException):
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        return words_for(
            error.status,
            error.data,
            headers,
            may_not=f"the token may not write Deployments of {subject.repository}",
            needs="the job needs `permissions: deployments: write`, which GitHub never gives to a fork's pull request",
        )
    if isinstance(error, OSError):
        return f"GitHub's API at {subject.api_url} does not answer ({type(error).__name__})"
    return f"GitHub's API at {subject.api_url} gave no answer that can be understood ({type(error).__name__})"


def _hidden(text: str, subject: Subject) -> str:
    """The text without the token, should the answer have quoted it."""
    token = subject.token.reveal()
    return text.replace(token, "***") if token else text


def _short(description: str) -> str:
    return description if len(description) <= LONGEST_DESCRIPTION else description[: LONGEST_DESCRIPTION - 1] + "…"
