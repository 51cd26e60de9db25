"""GitHub's API down, slow, silent or refusing: one sentence says what does not work and why, within bounds."""

from __future__ import annotations

import http.server
import logging
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from receiver.github import GitHubApi, GitHubTrouble, GitHubUnavailable, calls
from tests.github import Asked, answer, free_port
from tests.receiver.hub import APP_TOKEN, COMMIT, TOKEN, Hub
from tests.receiver.hub_settings import ADDRESS, app_key, connected, secrets, settings

REPOSITORY = "octocat/example"
NOT_SET = "the status of 7f247f9b8a3d is not set: "
Handler = http.server.BaseHTTPRequestHandler


def trouble(api: GitHubApi) -> GitHubTrouble:
    """What becomes of a status."""
    with pytest.raises(GitHubTrouble) as raised:
        api.status(REPOSITORY, COMMIT, "success", context="deployer/blog")
    assert "\n" not in raised.value.message
    assert TOKEN not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    return raised.value


FORBIDDEN = "statuses of octocat/example may not be written (%s); it needs the permission Commit statuses: write"
LIMITED = "the rate limit of GitHub's API is used up ("
REFUSALS = [
    (401, {"message": "Bad credentials"}, {}, "GitHub does not accept the token (401 Bad credentials)", True),
    (403, {"message": "Resource not accessible"}, {}, FORBIDDEN % "403 Resource not accessible", False),
    (404, {"message": "Not Found"}, {}, FORBIDDEN % "404 Not Found", False),
    (403, {"message": "API rate limit exceeded for 1.2.3.4."}, {}, LIMITED, True),
    (403, {"message": "Slower"}, {"Retry_After": "3600"}, LIMITED, True),
    (403, {"message": "Slower"}, {"X_RateLimit_Remaining": "0"}, LIMITED, True),
    (429, {"message": "Too Many Requests"}, {"Retry_After": "3600"}, LIMITED, True),
    (422, {"message": f"what is {TOKEN}?"}, {}, "GitHub refuses it (422 what is ***?)", False),
    (307, {"message": "Moved"}, {"Location": "http://127.0.0.1:1/"}, "GitHub's API answers 307 Moved", False),
    (418, ["what"], {}, "GitHub's API answers 418", False),
]  # fmt: skip


@pytest.mark.parametrize(("status", "content", "headers", "words", "is_hopeless"), REFUSALS)
def test_refusals_say_what_to_do(
    hub: Hub, api: GitHubApi, status: int, content: Any, headers: dict[str, str], words: str, is_hopeless: bool
) -> None:
    """Once, at once, and without asking again; what would meet every other request, too, is told apart."""
    hub.rule = lambda _asked, handler: answer(handler, status, content, **headers)
    began = time.monotonic()
    raised = trouble(api)
    assert raised.message.startswith(NOT_SET + words)
    assert isinstance(raised, GitHubUnavailable) == is_hopeless
    assert len(hub.asked) == 1
    assert time.monotonic() - began < 60  # some of them ask for an hour


@pytest.mark.parametrize("content", [["what"], "text", None, {"object": {"sha": "main", "type": "commit"}}, {}])
def test_an_answer_of_another_shape_is_none(hub: Hub, api: GitHubApi, content: Any) -> None:
    """Only what is a commit can become one."""
    hub.rule = lambda _asked, handler: answer(handler, 200, content)
    with pytest.raises(GitHubTrouble, match="gave no answer that can be understood"):
        api.head(REPOSITORY, "refs/heads/main")


def test_a_failing_api_is_asked_twice(hub: Hub, api: GitHubApi) -> None:
    """A hiccup costs nothing; an outage is told."""
    hub.rule = lambda _asked, handler: answer(handler, 500, {"message": "Server Error"})
    raised = trouble(api)
    assert raised.message == f"{NOT_SET}GitHub's API fails (500 Server Error)"
    assert isinstance(raised, GitHubUnavailable)
    assert len(hub.asked) == 2
    left = [2]
    hub.rule = lambda _asked, handler: bool(left) and answer(handler, 502 + 0 * left.pop(), {})
    api.status(REPOSITORY, COMMIT, "success", context="deployer/blog")
    assert len(hub.statuses) == 1


def test_a_delivery_is_not_asked_for_twice_at_once(hub: Hub, api: GitHubApi) -> None:
    """GitHub may have begun it before it failed."""
    hub.add_hook(ADDRESS)
    hub.add_attempt("one", 502)
    (mailbox,) = api.repository_mailboxes(REPOSITORY, ADDRESS)
    (attempt,) = api.attempts(mailbox)
    hub.rule = lambda _asked, handler: answer(handler, 500, {"message": "Server Error"})
    with pytest.raises(GitHubUnavailable, match="cannot be asked for again: GitHub's API fails"):
        api.deliver_again(mailbox, attempt)
    assert len(hub.paths("POST")) == 1


@pytest.mark.slow
def test_silence_ends_by_itself(hub: Hub, api: GitHubApi) -> None:
    """After ten seconds, without another try."""

    def silent(_asked: Asked, _handler: Handler) -> bool:
        time.sleep(90)
        return True

    hub.rule = silent
    began = time.monotonic()
    raised = trouble(api)
    assert raised.message == f"{NOT_SET}GitHub's API at {hub.url} does not answer (ReadTimeout)"
    assert isinstance(raised, GitHubUnavailable)
    assert 9 < time.monotonic() - began < 60
    assert len(hub.asked) == 1


def test_a_dripping_answer_is_not_waited_for(hub: Hub, api: GitHubApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is never quite silent, and never done, has its time in all."""

    def drip(_asked: Asked, handler: Handler) -> bool:
        handler.wfile.write(b"HTTP/1.1 201 Created\r\nX-Slow: ")
        for _ in range(1_200):
            handler.wfile.write(b"z")
            handler.wfile.flush()
            time.sleep(0.1)
        return True

    monkeypatch.setattr(calls, "CALL_SECONDS", 2.0)
    hub.rule = drip
    began = time.monotonic()
    raised = trouble(api)
    assert raised.message == f"{NOT_SET}GitHub's API at {hub.url} did not answer within 2 s"
    assert isinstance(raised, GitHubUnavailable)
    assert time.monotonic() - began < 60


def test_nobody_there() -> None:
    """A refused connection is told without waiting."""
    port = free_port()
    began = time.monotonic()
    raised = trouble(connected(settings(f"http://127.0.0.1:{port}"), secrets()))
    assert raised.message == f"{NOT_SET}GitHub's API at http://127.0.0.1:{port} does not answer (ConnectionError)"
    assert isinstance(raised, GitHubUnavailable)
    assert time.monotonic() - began < 25


@pytest.mark.parametrize("token", [TOKEN + "\n", f"{TOKEN}é", f" {TOKEN}"])
def test_an_unusable_token_is_not_sent_and_not_shown(hub: Hub, token: str, capfd: pytest.CaptureFixture[str]) -> None:
    """HTTP libraries quote the header that they refuse."""
    raised = trouble(connected(settings(hub.url), secrets(token=token)))
    assert "github.token has characters" in raised.message
    assert hub.asked == []
    assert capfd.readouterr() == ("", "")


def test_nothing_is_logged(hub: Hub, api: GitHubApi, caplog: pytest.LogCaptureFixture) -> None:
    """PyGithub would write what it asks, and libraries below it the addresses."""
    with caplog.at_level(logging.DEBUG, "github"):
        trouble_of = hub.rule
        hub.rule = lambda _asked, handler: answer(handler, 403, {"message": "no"})
        trouble(api)
        hub.rule = trouble_of
    assert TOKEN not in caplog.text


BAD_KEY = "-----BEGIN RSA PRIVATE KEY-----\nTheKeyThatNobodyMaySee\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize("key", ["", "no key", BAD_KEY])
def test_a_key_that_is_none_is_not_shown(hub: Hub, key: str) -> None:
    """It is the App's own, and parsers quote what they cannot read."""
    api = connected(settings(hub.url, app_id=7), secrets(token="", key=key))
    with pytest.raises(GitHubUnavailable, match="github.private_key is no private key") as raised:
        api.token(REPOSITORY)
    assert "TheKey" not in str(raised.value)
    assert raised.value.__suppress_context__
    assert hub.asked == []


def test_an_app_that_is_not_installed(hub: Hub) -> None:
    """It says where to install it, and is asked for other repositories all the same."""
    api = connected(settings(hub.url, app_id=7), secrets(token="", key=app_key()))
    with pytest.raises(GitHubTrouble) as raised:
        api.token("octocat/other")
    assert raised.value.message == (
        "the GitHub App has no token for octocat/other: the App with the id 7 is not installed in octocat/other "
        "(404 Not Found); install it there"
    )
    assert not isinstance(raised.value, GitHubUnavailable)
    assert api.token(REPOSITORY).reveal() == APP_TOKEN


def test_a_token_of_an_app_is_not_used_to_its_end(hub: Hub) -> None:
    """One that has less than five minutes left is replaced, for what begins with it has to end with it."""
    api = connected(settings(hub.url, app_id=7), secrets(token="", key=app_key()))
    hub.token_seconds = 290
    for _ in range(2):
        api.token(REPOSITORY)
    assert len(hub.paths("POST")) == 2
    hub.token_seconds = 400
    for _ in range(3):
        api.token(REPOSITORY)
    assert len(hub.paths("POST")) == 3


def test_no_thread_stays_behind(hub: Hub, api: GitHubApi) -> None:
    """Whoever forks after a request forks a process with one thread."""
    # What an earlier test has left dripping is not ours.
    before = {thread.ident for thread in threading.enumerate()}
    for _ in range(20):
        api.status(REPOSITORY, COMMIT, "success", context="deployer/blog")
        left = [thread for thread in threading.enumerate() if thread.ident not in before and thread.name == "github"]
        assert left == []


def test_pygithub_is_loaded_only_when_something_is_asked() -> None:
    """It costs memory and time that a worker without work does not have to spend."""
    program = """
import sys
from receiver.catchup import catch_up
from receiver.config import App, GitHub, ReceiverConfig, SecretBox, Secrets
from receiver.github import connect
from deployer.secret import Secret
none = Secret("")
config = ReceiverConfig(apps={"blog": App(repository="o/n", config="/x", secrets=())})
assert connect(config, Secrets({}, {}, {}, SecretBox(()), none, none, none, none)) is None
assert connect(config, Secrets({}, {}, {}, SecretBox(()), none, none, none, Secret("x"))) is not None
print([name for name in ("github", "requests", "urllib3", "jwt") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
