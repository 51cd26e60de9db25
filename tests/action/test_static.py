"""A static site, deployed by the real action.yml under a real runner to a real SSH server and nginx."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from tests.action.workspace import Workspace, login, plain, secrets
from tests.nginx import Nginx
from tests.sshd import Sshd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        text: str = answer.read().decode()
        return text


def test_a_site_goes_live_again_and_back(workspace: Workspace, sshd: Sshd, nginx: Nginx, target: Path) -> None:
    """Deployed, deployed again under a probe, and rolled back: outputs, log, summary and what is served agree."""
    url = f"{nginx.url}site/"
    first = workspace.run(login(sshd, target), secrets=secrets(sshd)).succeeded()
    assert (first.outputs["status"], first.outputs["dropped-requests"]) == ("deployed", "")
    workspace.write("public/index.html", "two\n")
    commit = workspace.git("rev-parse", "HEAD")
    second = workspace.run(
        login(sshd, target, build="echo '##[error]no'; echo ::error::no", url=url), secrets=secrets(sshd)
    )
    second.succeeded()
    assert get(url) == "two\n"
    assert second.outputs["status"] == "deployed"
    assert second.outputs["previous-release"] == first.outputs["release"]
    assert second.outputs["commit"] != commit
    assert second.outputs["commit"] == workspace.git("rev-parse", "HEAD")
    assert (second.outputs["files-uploaded"], second.outputs["dropped-requests"]) == ("1", "0")
    assert int(second.outputs["bytes-uploaded"]) > 0
    assert float(second.outputs["duration"]) > 0
    assert json.loads(second.outputs["json"])["probe"]["requests"] > 0
    assert "install: the action's packages" in second.log
    assert "## [error]no" in second.log
    assert ": :error::no" in second.log
    for line in secrets(sshd)["SERVER_KEY"].splitlines()[1:-1]:
        assert line not in second.log
    back = workspace.run(login(sshd, target, command="rollback", url=url), secrets=secrets(sshd)).succeeded()
    assert (back.outputs["status"], back.outputs["release"]) == ("rolled_back", first.outputs["release"])
    assert get(url) == "one\n"


def test_a_failing_gate_brings_the_old_site_back(workspace: Workspace, sshd: Sshd, nginx: Nginx, target: Path) -> None:
    """The step fails with the reason, says what serves, and the old contents are served."""
    url = f"{nginx.url}site/"
    first = workspace.run(login(sshd, target), secrets=secrets(sshd)).succeeded()
    workspace.write("public/index.html", "bad\n")
    inputs = login(sshd, target, url=url) | {"health-url": f"{nginx.url}site/nothing.html"}
    failed = workspace.run(inputs, secrets=secrets(sshd)).failed("failed its health gate", "404")
    assert failed.outputs["status"] == "rolled_back"
    assert failed.outputs["previous-release"] == first.outputs["release"]
    assert get(url) == "one\n"


def test_a_plan_changes_nothing(workspace: Workspace, sshd: Sshd, target: Path) -> None:
    """A pull request's run shows what would happen, in log and summary."""
    planned = workspace.run(login(sshd, target, command="plan"), secrets=secrets(sshd), event="pull_request")
    assert planned.succeeded().outputs["status"] == "planned"
    assert "index.html" in planned.log
    assert not target.exists()


def test_check_says_what_is_wrong(workspace: Workspace, sshd: Sshd, target: Path) -> None:
    """Findings in log and summary; the object in an output."""
    inputs = login(sshd, target.parent / "none" / "below" / "site", command="check")
    checked = workspace.run(inputs, secrets=secrets(sshd)).failed("mkdir")
    findings = json.loads(checked.outputs["json"])["checks"]
    assert any(finding["state"] == "error" for finding in findings)


def test_the_summary_tells_each_end(workspace: Workspace, sshd: Sshd, nginx: Nginx, target: Path) -> None:
    """What would happen, what is live with the probe's chart, what failed and serves again, what check has found."""
    url = f"{nginx.url}site/"
    assert workspace.in_shell(plain(sshd, target, command="plan"))[0] == 0
    assert "+ index.html" in workspace.summary
    assert workspace.in_shell(plain(sshd, target))[0] == 0
    workspace.write("public/index.html", "two\n")
    assert workspace.in_shell(plain(sshd, target, url=url))[0] == 0
    assert "### ✅ site is live in" in workspace.summary
    assert "```mermaid\n" in workspace.summary
    workspace.write("public/index.html", "bad\n")
    bad = plain(sshd, target, url=url) | {"health-url": f"{url}nothing.html"}
    workspace.refused(bad, "failed its health gate", "404", code=5)
    assert "### ↩️ site was rolled back" in workspace.summary
    assert "404" in workspace.summary
    assert workspace.in_shell(plain(sshd, target.parent / "none" / "below" / "site", command="check"))[0] == 1
    assert "mkdir" in workspace.summary
