"""GitHub's part: payloads of pushes as its documentation shows them, signed and delivered.

https://docs.github.com/en/webhooks/webhook-events-and-payloads#push
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from demo.receiver.repositories import Commit

__all__ = ["Delivery", "push_payload"]

SECONDS = 20.0
_OWNER = {"name": "demo", "email": "demo@example.org", "login": "demo", "id": 1, "type": "User", "site_admin": False}


def push_payload(repository: str, before: str, commit: Commit) -> dict[str, Any]:
    """What GitHub says about a push of one commit to ``main``."""
    url = f"https://github.com/{repository}"
    told = _commit(commit, url)
    return {
        "ref": "refs/heads/main",
        "before": before,
        "after": commit.name,
        "repository": _repository(repository, url),
        "pusher": {"name": "demo", "email": "demo@example.org"},
        "sender": _OWNER,
        "created": before == "0" * 40,
        "deleted": False,
        "forced": False,
        "base_ref": None,
        "compare": f"{url}/compare/{before[:12]}...{commit.name[:12]}",
        "commits": [told],
        "head_commit": told,
    }


def _commit(commit: Commit, url: str) -> dict[str, Any]:
    author = {"name": "demo", "email": "demo@example.org", "username": "demo"}
    return {
        "id": commit.name,
        "tree_id": commit.tree,
        "distinct": True,
        "message": commit.message,
        "timestamp": commit.time,
        "url": f"{url}/commit/{commit.name}",
        "author": author,
        "committer": author,
        "added": [],
        "removed": [],
        "modified": list(commit.files),
    }


def _repository(name: str, url: str) -> dict[str, Any]:
    return {
        "id": 1,
        "node_id": "R_1",
        "name": name.partition("/")[2],
        "full_name": name,
        "private": True,
        "owner": _OWNER,
        "html_url": url,
        "fork": False,
        "clone_url": "https://example.org/never-taken-from-a-payload.git",
        "default_branch": "main",
        "master_branch": "main",
    }


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery, which may be sent several times: GitHub keeps its id, and so do we."""

    payload: dict[str, Any]
    secret: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def send(self, port: int) -> tuple[int, dict[str, Any]]:
        """Deliver it as GitHub does. Returns status and answer. Raises OSError."""
        body = json.dumps(self.payload, separators=(",", ":")).encode()
        signature = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "Accept": "*/*",
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/demo",
            "X-GitHub-Delivery": self.id,
            "X-GitHub-Event": "push",
            "X-GitHub-Hook-ID": "1",
            "X-Hub-Signature-256": f"sha256={signature}",
        }
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        try:
            connection.request("POST", "/hooks/github", body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except http.client.HTTPException as error:
            raise OSError(f"the receiver broke off: {error!r}") from error
        finally:
            connection.close()
