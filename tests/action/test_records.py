"""GitHub's own records of a step's deploy, where GitHub does not want them: no more than one warning."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import pytest

from tests.action.workspace import Workspace, plain
from tests.github import Asked, GitHub, Rule, answer
from tests.sshd import Sshd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def refusing(_asked: Asked, handler: http.server.BaseHTTPRequestHandler) -> bool:
    return answer(handler, 403, {"message": "Resource not accessible by integration"})


def silent(_asked: Asked, _handler: http.server.BaseHTTPRequestHandler) -> bool:
    return threading.Event().wait(120) or True


@pytest.mark.parametrize(
    ("rule", "words"), [(refusing, "`permissions: deployments: write`"), (silent, "GitHub's API at http")]
)
def test_a_github_that_keeps_no_record(workspace: Workspace, sshd: Sshd, target: Path, rule: Rule, words: str) -> None:
    """Refusing, or silent: the site is live all the same, and one warning says what is missing."""
    with GitHub(rule=rule) as github:
        runner = {"GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": "octocat/example", "GITHUB_SHA": "a" * 40}
        inputs = plain(sshd, target) | {"github-token": "ghs_0123456789abcdefghij"}
        code, said = workspace.in_shell(inputs, **runner)
    assert code == 0, said
    assert (target / "index.html").read_text() == "one\n"
    warnings = [line for line in said.splitlines() if line.startswith("::warning")]
    assert len(warnings) == 1, said
    assert "no Deployment is recorded on GitHub" in warnings[0]
    assert words in warnings[0]
    assert github.asked
    assert github.deployments == []
