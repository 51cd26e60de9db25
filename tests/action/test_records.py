"""GitHub's own records of a step's deploy, where GitHub does not want them: no more than one warning."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import pytest

from tests.action.workspace import Workspace, login, secrets
from tests.github import Asked, GitHub, Rule, answer
from tests.sshd import Sshd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def refusing(_asked: Asked, handler: http.server.BaseHTTPRequestHandler) -> bool:
    return answer(handler, 403, {"message": "Resource not accessible by integration"})


def silent(_asked: Asked, _handler: http.server.BaseHTTPRequestHandler) -> bool:
    return threading.Event().wait(60) or True


@pytest.mark.parametrize(
    ("rule", "words"), [(refusing, "`permissions: deployments: write`"), (silent, "GitHub's API at http")]
)
def test_a_github_that_keeps_no_record(workspace: Workspace, sshd: Sshd, target: Path, rule: Rule, words: str) -> None:
    """Refusing, or silent: the site is live all the same, and one warning says what is missing."""
    workspace.git("remote", "add", "origin", "https://github.com/octocat/example.git")
    with GitHub(rule=rule) as github:
        workspace.runner = {"GITHUB_API_URL": github.url}
        inputs = login(sshd, target) | {"github-token": "${{ secrets.TOKEN }}"}
        ran = workspace.run(inputs, secrets=secrets(sshd) | {"TOKEN": "ghs_0123456789abcdefghij"}).succeeded()
    assert ran.outputs["status"] == "deployed"
    assert (target / "index.html").read_text() == "one\n"
    warnings = [line for line in ran.log.splitlines() if "::warning" in line]
    assert len(warnings) == 1, ran.log
    assert "no Deployment is recorded on GitHub" in warnings[0]
    assert words in warnings[0]
    assert github.asked
    assert github.deployments == []
