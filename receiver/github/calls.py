"""Requests to GitHub's API: the receiver's only place that imports PyGithub.

Only paths of the API itself are asked for, never an address that an answer names: the token goes to no other place.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from deployer import __version__
from deployer.reporting.github.refusal import is_limited, is_passing, words_for
from deployer.secret import Secret
from receiver.github.patience import TookTooLong, within
from receiver.github.trouble import GitHubTrouble, GitHubUnavailable

if TYPE_CHECKING:
    from github.Auth import Auth
    from github.Requester import Requester

__all__ = ["CALL_SECONDS", "REQUEST_SECONDS", "USER_AGENT", "Caller", "Errand", "Nothing", "app_token"]

USER_AGENT = f"deployer/{__version__}"
REQUEST_SECONDS = 10
"""How long a connection or the next bytes of an answer may take."""
CALL_SECONDS = 30.0
"""How long one answer may take in all."""
PAUSE_SECONDS = 1.0
PER_PAGE = 100
_TOKEN = re.compile(r"[!-~]+")
T = TypeVar("T")


class Nothing(msgspec.Struct):
    """An answer of which nothing is needed."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What a request is for, in the words of its failure: ``failure`` ("nothing is known of …"), and what 403 and 404 mean.

    ``needs`` names the permission of the token or the App. ``again``: a request that fails may be sent once more.
    """

    failure: str
    may_not: str
    needs: str
    again: bool = True


class Caller:
    """Asks one API with one token; ``is_app`` says that it is the App's own and not an installation's or a person's."""

    def __init__(self, api_url: str, token: Secret, *, is_app: bool = False) -> None:
        self._api_url = api_url.rstrip("/")
        self._token = token
        self._is_app = is_app
        self._requester: Requester | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the API itself is asked by http, as in a network of one's own."""
        return self._api_url.startswith("http://")

    def ask(
        self,
        errand: Errand,
        method: str,
        path: str,
        kind: type[T],
        *,
        parameters: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
    ) -> T:
        """GitHub's answer as a ``kind``. Raises GitHubTrouble."""

        def call() -> T:
            data = _decoded(self._answer(method, path, parameters, body)[1])
            return msgspec.convert({} if kind is Nothing else data, kind)

        return self._insist(errand, call)

    def find(self, errand: Errand, path: str, kind: type[T]) -> T | None:
        """The same for a GET; None where there is no such thing, or no right to see it. Raises GitHubTrouble."""

        def call() -> T | None:
            from github import GithubException

            try:
                return msgspec.convert(_decoded(self._answer("GET", path)[1]), kind)
            except GithubException as error:
                if error.status != 404:
                    raise
                return None

        return self._insist(errand, call)

    def location(self, errand: Errand, path: str) -> str:
        """Where the API sends whoever asks for ``path``. Raises GitHubTrouble."""

        def call() -> str:
            return str(self._answer("GET", path, redirects=True)[0]["location"])

        return self._insist(errand, call)

    def _answer(
        self,
        method: str,
        path: str,
        parameters: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
        *,
        redirects: bool = False,
    ) -> tuple[dict[str, Any], str]:
        """Headers and text of a good answer; one that leads elsewhere is good only with ``redirects``."""
        if self._requester is None:
            self._requester = _requester(self._api_url, self._token, is_app=self._is_app)
        status, headers, text = self._requester.requestJson(method, path, parameters, None, body)
        if status >= 300 and not (redirects and status == 302):
            said = _decoded(text)
            raise self._requester.createException(status, headers, said if isinstance(said, dict) else {})
        return headers, text

    def _insist(self, errand: Errand, call: Callable[[], T]) -> T:
        """Call, and once more after a moment if GitHub has failed. What it refuses, it would refuse again."""
        try:
            return within(CALL_SECONDS, call)
        except Exception as error:
            if not errand.again or not is_passing(getattr(error, "status", 0)):
                raise self._trouble(errand, error) from None
        time.sleep(PAUSE_SECONDS)
        try:
            return within(CALL_SECONDS, call)
        except Exception as error:
            raise self._trouble(errand, error) from None

    def _trouble(self, errand: Errand, error: Exception) -> GitHubTrouble:
        if isinstance(error, GitHubTrouble):
            return error
        kind, reason = self._reason(errand, error)
        secret = self._token.reveal()
        return kind(f"{errand.failure}: {reason.replace(secret, '***') if secret else reason}")

    def _reason(self, errand: Errand, error: Exception) -> tuple[type[GitHubTrouble], str]:
        """Other texts than GitHub's own are not quoted: HTTP libraries quote headers, of which one is the token."""
        place = f"GitHub's API at {self._api_url}"
        if isinstance(error, ImportError):
            return GitHubUnavailable, "PyGithub is not installed; `pip install deployer[receiver]` brings it"
        if isinstance(error, TookTooLong):
            return GitHubUnavailable, f"{place} did not answer within {error.seconds:g} s"
        if isinstance(error, OSError):
            return GitHubUnavailable, f"{place} does not answer ({type(error).__name__})"
        from github import GithubException

        if not isinstance(error, GithubException):
            return GitHubTrouble, f"{place} gave no answer that can be understood ({type(error).__name__})"
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        words = words_for(error.status, error.data, headers, may_not=errand.may_not, needs=errand.needs)
        hopeless = error.status == 401 or is_passing(error.status) or is_limited(error.status, error.data, headers)
        return (GitHubUnavailable if hopeless else GitHubTrouble), words


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None


def _requester(api_url: str, token: Secret, *, is_app: bool) -> Requester:
    import github

    _silence()
    auth: Auth | None = None
    if token:
        auth = github.Auth.AppAuthToken(token.reveal()) if is_app else github.Auth.Token(_usable(token))
    api = github.Github(
        auth=auth,
        base_url=api_url,
        timeout=REQUEST_SECONDS,
        user_agent=USER_AGENT,
        per_page=PER_PAGE,
        retry=None,
        seconds_between_requests=None,
        seconds_between_writes=None,
        lazy=True,
    )
    return api.requester


def _silence() -> None:
    """PyGithub comes with a handler of its own, which writes to standard error."""
    silent = logging.getLogger("github")
    silent.handlers.clear()
    silent.setLevel(logging.CRITICAL + 1)


def _usable(token: Secret) -> str:
    if not _TOKEN.fullmatch(token.reveal()):
        raise GitHubUnavailable(
            "github.token has characters that no token of GitHub has; look for spaces and line breaks in the secret"
        )
    return token.reveal()


def app_token(app_id: int, key: Secret) -> Secret:
    """The token by which a GitHub App says who it is, for five minutes. Raises GitHubTrouble."""
    try:
        import github

        _silence()
        return Secret(github.Auth.AppAuth(app_id, key.reveal()).token)
    except ImportError:
        raise GitHubUnavailable("PyGithub is not installed; `pip install deployer[receiver]` brings it") from None
    except Exception as error:
        # Texts of key parsers may quote the key.
        raise GitHubUnavailable(
            f"github.private_key is no private key of a GitHub App ({type(error).__name__}); it begins with -----BEGIN"
        ) from None
