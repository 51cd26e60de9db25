"""The credential for the repository: it travels in a request's body, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deployer.config import Secrets

__all__ = ["Credential"]

GITHUB = "github.com"


class Credential:
    """The body of a request to the remote: a deploy key where there is one, else GitHub's token, else nothing.

    Three lines, of which the last is the secret and may be many: ``kind key|token|none``, ``host SERVER[:PORT]``. With
    neither, the host's own git and ssh configuration decide. ``repository`` is the address that is configured; without one
    the server is GitHub.
    """

    def __init__(self, secrets: Secrets, repository: str = "") -> None:
        self._secret = secrets.repository_key or secrets.github_token
        self._kind = "key" if secrets.repository_key else "token" if secrets.github_token else "none"
        self._host = _server(repository) or GITHUB

    def chunks(self) -> Iterator[bytes]:
        """Yield the body. A secret is revealed only here."""
        secret = self._secret.reveal() if self._secret else ""
        yield f"kind {self._kind}\nhost {self._host}\n{secret}".encode()

    def __repr__(self) -> str:
        return f"Credential({self._kind} for {self._host})"


def _server(repository: str) -> str:
    """The server and port of a repository's address, in URL form or as ``[user@]server:path``; empty for a path."""
    url = re.match(r"(?:https?|ssh)://(?:[^/@]*@)?([^/]+)", repository)
    short = None if "://" in repository else re.match(r"(?:[^/@:]*@)?([^/@:]+):", repository)
    found = url or short
    return found[1].lower() if found else ""
