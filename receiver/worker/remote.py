"""One app's repository on its server: which commit a ref points at, and everything that git needs to get there."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deployer.child import Ended, run_child
from deployer.secret import Secret
from receiver.errors import ReceiverError
from receiver.remote import RemoteTrouble, git_variables, server_of, shown
from receiver.worker.isolation import MARK

__all__ = ["GitFailed", "Remote", "git", "github_site"]

ASK_SECONDS = 60.0
FETCH_SECONDS = 1_800.0
_PEELED = "^{}"
_VARIABLE = "RECEIVER_TOKEN"
# In the environment, because everybody on the machine may see arguments; printf is part of the shell.
_HELPER = f"""!printf 'password=%s\\n' "${_VARIABLE}"; :"""
_LINE = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})\t(\S+)")
# Hooks and settings of a repository are somebody else's programs.
_SAFE = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "gc.autoDetach=false", "advice.detachedHead=false")


class GitFailed(ReceiverError):
    """Git on this machine could not do what it has to."""


def github_site(api_url: str) -> str:
    """Where the repositories are that the API at ``api_url`` is of."""
    parts = urlsplit(api_url)
    host = "github.com" if parts.hostname == "api.github.com" else parts.netloc
    return f"{parts.scheme}://{host}"


def git(
    folder: Path,
    arguments: Sequence[str],
    variables: Mapping[str, str],
    on_line: Callable[[str], None] = lambda _line: None,
    seconds: float = FETCH_SECONDS,
) -> Ended:
    """Run git in ``folder``; ``on_line`` gets what it says. Nothing that it starts is left. Raises GitFailed without git."""
    settings = [part for setting in _SAFE for part in ("-c", setting)]
    environment = {**variables, MARK: os.environ.get(MARK, "")}
    try:
        return run_child(("git", *settings, *arguments), folder, environment, on_line, timeout=seconds)
    except OSError as error:
        raise GitFailed(f"git cannot be started: {error.strerror}", hint="install git") from None


@dataclass(frozen=True, slots=True)
class Remote:
    """Where an app's commits are. ``key`` is for SSH, ``token`` for HTTPS at ``site`` and nowhere else."""

    url: str
    key: Secret
    site: str
    token: Callable[[], Secret]

    @contextlib.contextmanager
    def variables(self) -> Iterator[dict[str, str]]:
        """The environment of a git that may talk to it. Raises what ``token`` raises."""
        with git_variables(self.key) as found:
            # Or a repository could have another one of this machine as its submodule.
            protocols = {"GIT_ALLOW_PROTOCOL": "git:http:https:ssh"} if server_of(self.url) else {}
            yield found | protocols | self._authorization()

    def _authorization(self) -> dict[str, str]:
        if not self.url.lower().startswith(f"{self.site}/") or not (token := self.token()):
            return {}
        # A helper, because git asks one for each server anew: a header that it is told to send, it sends after a redirect
        # to another server, too. The empty one is for helpers of this machine, which would store the token.
        settings = (("helper", ""), ("helper", _HELPER), ("username", "x-access-token"))
        found = {"GIT_CONFIG_COUNT": str(len(settings)), _VARIABLE: token.reveal()}
        for number, (name, value) in enumerate(settings):
            found[f"GIT_CONFIG_KEY_{number}"] = f"credential.{self.site}.{name}"
            found[f"GIT_CONFIG_VALUE_{number}"] = value
        return found

    def resolve(self, ref: str) -> str:
        """The commit that ``ref`` (a full name) points at now; empty: it is not there. Raises RemoteTrouble, GitFailed."""
        if not ref.startswith("refs/"):
            raise ValueError(f"{ref!r} is no full name of a ref")
        lines: list[str] = []
        with self.variables() as variables:
            asked = ("ls-remote", "--", self.url, ref, ref + _PEELED)
            ended = git(Path("/"), asked, variables, lines.append, ASK_SECONDS)
        if ended.status != 0:
            raise RemoteTrouble(f"{shown(self.url)} does not list its refs: git {ended.how} ({said(ended)})")
        # Git takes a name for a pattern that fits the end of others, too.
        found = {match[2]: match[1] for match in map(_LINE.fullmatch, lines) if match}
        return found.get(ref + _PEELED) or found.get(ref, "")


def said(ended: Ended) -> str:
    """Git's own words, on one line, without passwords in addresses."""
    return shown("; ".join(line.strip() for line in ended.last[-3:] if line.strip())) or "it says nothing"
