"""What goes wrong with GitHub, by what a caller does about it."""

from __future__ import annotations

from receiver.errors import ReceiverError

__all__ = ["GitHubTrouble", "GitHubUnavailable", "NoSuchRun"]


class GitHubTrouble(ReceiverError):
    """GitHub did not do what was asked; one sentence, in which there is no secret."""


class GitHubUnavailable(GitHubTrouble):
    """Whatever is asked now would fare no better: no answer, an outage, the rate limit, a token that is not accepted."""


class NoSuchRun(GitHubTrouble):
    """There is no successful run for the commit, or none yet."""
