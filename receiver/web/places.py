"""Where commits are on GitHub. All pure."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from receiver.config import ReceiverConfig

__all__ = ["GitHubLinks"]


class GitHubLinks:
    """Links to one GitHub's pages; every part is quoted, so that no name leads elsewhere."""

    def __init__(self, config: ReceiverConfig) -> None:
        parts = urlsplit(config.github.api_url)
        host = parts.netloc.removeprefix("api.") if parts.netloc == "api.github.com" else parts.netloc
        self._base = f"{parts.scheme if parts.scheme in {'http', 'https'} else 'https'}://{host}"

    def repository(self, name: str) -> str:
        """The repository's page."""
        return f"{self._base}/{quote(name)}"

    def commit(self, repository: str, commit: str) -> str:
        """The commit's page."""
        return f"{self.repository(repository)}/commit/{quote(commit, safe='')}"

    def compare(self, repository: str, old: str, new: str) -> str:
        """What has come between two commits."""
        return f"{self.repository(repository)}/compare/{quote(old, safe='')}...{quote(new, safe='')}"
