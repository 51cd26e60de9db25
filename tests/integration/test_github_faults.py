"""GitHub's API down, slow, silent or refusing: no deploy fails or waits, and one warning says what is missing."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployer.reporting.github import DeploymentRecord, Outcome, Subject, record
from deployer.secret import Secret
from tests.attempts import least, seconds_of, until
from tests.github import Asked, GitHub, Rule, answer, free_port

TOKEN = "ghs_TheTokenThatNobodyMaySee"
NOTHING = "no Deployment is recorded on GitHub: "
IN_PROGRESS = "the Deployment on GitHub stays in progress: "
STILL_ACTIVE = "the Deployment that was replaced stays active on GitHub: "
Handler = http.server.BaseHTTPRequestHandler


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take seconds to load PyGithub alone."""
    monkeypatch.setattr(record, "END_SECONDS", 60.0)


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub() as memory:
        yield memory


def subject(url: str, token: str = TOKEN) -> Subject:
    return Subject(url, "octocat/example", Secret(token), "main", "production")


def recorded(github: GitHub, outcome: Outcome = Outcome.SUCCESS) -> tuple[str, float]:
    """The warning about a deploy that ends at once, and the seconds that it took."""
    began = time.monotonic()
    return DeploymentRecord(subject(github.url)).end(outcome), time.monotonic() - began


def refuse(status: int, content: Any, **headers: str) -> Rule:
    return lambda _asked, handler: answer(handler, status, content, **headers)


def only(method: str, ending: str, state: str, rule: Rule) -> Rule:
    """``rule`` for requests of that method to a path with that ending, and with that state in their body."""

    def chosen(asked: Asked, handler: Handler) -> bool:
        fits = asked.method == method and asked.path.endswith(ending) and (asked.body or {}).get("state", "") == state
        return fits and rule(asked, handler)

    return chosen


def silent(_asked: Asked, _handler: Handler) -> bool:
    time.sleep(100)
    return True


def drip(_asked: Asked, handler: Handler) -> bool:
    """Never quite silent, and never done."""
    handler.wfile.write(b"HTTP/1.1 201 Created\r\nX-Slow: ")
    for _ in range(1000):
        handler.wfile.write(b"z")
        handler.wfile.flush()
        time.sleep(0.1)
    return True


FORBIDDEN = (
    "the token may not write Deployments of octocat/example (%s); the job needs `permissions: deployments: write`"
)
REFUSALS = [
    (401, {"message": "Bad credentials"}, {}, "GitHub does not accept the token (401 Bad credentials)"),
    (403, {"message": "Resource not accessible"}, {}, FORBIDDEN % "403 Resource not accessible"),
    (404, {"message": "Not Found"}, {}, FORBIDDEN % "404 Not Found"),
    (403, {"message": "API rate limit exceeded for 1.2.3.4."}, {"X_RateLimit_Reset": "4102444800"}, "the rate limit of "),
    (403, {"message": "You have exceeded a secondary rate limit"}, {"Retry_After": "3600"}, "the rate limit of "),
    (429, {"message": "Too Many Requests"}, {"Retry_After": "3600"}, "the rate limit of "),
    (409, {"message": "Conflict merging main"}, {}, "GitHub refuses it (409 Conflict merging main)"),
    (422, {"message": "No ref found for: main"}, {}, "GitHub refuses it (422 No ref found for: main)"),
    (
        422,
        {"message": "Validation Failed", "errors": [{"field": "environment", "code": "invalid"}]},
        {},
        "GitHub refuses it (422 Validation Failed; environment invalid)",
    ),
    (307, {"message": "Moved"}, {"Location": "http://127.0.0.1:1/"}, "GitHub's API at "),
    (201, ["what"], {}, "GitHub's API at "),
]  # fmt: skip


@pytest.mark.parametrize(("status", "content", "headers", "words"), REFUSALS)
def test_refusals_say_what_to_do(
    github: GitHub, status: int, content: Any, headers: dict[str, str], words: str
) -> None:
    """Once, at once, and without asking again: whatever the answer's headers tell to wait for."""
    github.rule = refuse(status, content, **headers)
    trouble, seconds = recorded(github)
    assert trouble.startswith(NOTHING + words)
    assert "\n" not in trouble
    assert len(github.asked) == 1
    assert seconds < 30


def test_a_failing_api_is_asked_twice(github: GitHub) -> None:
    """A hiccup costs nothing; an outage is told."""
    github.rule = refuse(500, {"message": "Server Error"})
    trouble, _ = recorded(github)
    assert trouble == f"{NOTHING}GitHub's API fails (500 Server Error)"
    assert len(github.asked) == 2
    left = [2]
    github.rule = lambda _asked, handler: bool(left) and answer(handler, 502 + 0 * left.pop(), {})
    assert recorded(github)[0] == ""


def test_what_is_missing_is_told(github: GitHub) -> None:
    """By how far it came: a status at the beginning alone is worth no warning."""
    broken = refuse(503, {"message": "Unavailable"})
    github.rule = only("POST", "/statuses", "in_progress", broken)
    assert recorded(github)[0] == ""
    github.rule = only("POST", "/statuses", "failure", broken)
    assert recorded(github, Outcome.FAILURE)[0] == f"{IN_PROGRESS}GitHub's API fails (503 Unavailable)"
    github.rule = only("POST", "/statuses", "inactive", refuse(404, {"message": "Not Found"}))
    assert recorded(github)[0].startswith(STILL_ACTIVE + "the token may not write")


def test_silence_ends_by_itself(github: GitHub) -> None:
    """A request waits five seconds; who waits for the record learns it then."""
    github.rule = silent
    trouble, seconds = recorded(github)
    assert trouble == f"{NOTHING}GitHub's API at {github.url} does not answer (ReadTimeout)"
    assert len(github.asked) == 1
    assert seconds < 30


def test_nobody_there(github: GitHub) -> None:
    """A refused connection is told without waiting."""
    began = time.monotonic()
    port = free_port()
    trouble = DeploymentRecord(subject(f"http://127.0.0.1:{port}")).end(Outcome.SUCCESS)
    assert trouble == f"{NOTHING}GitHub's API at http://127.0.0.1:{port} does not answer (ConnectionError)"
    assert time.monotonic() - began < 30


def test_a_dripping_answer_is_not_waited_for(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end takes its bounded time in all, whatever each request does, and no process stays behind."""
    monkeypatch.setattr(record, "END_SECONDS", 3.0)
    github.rule = drip
    kept = DeploymentRecord(subject(github.url))
    kept.begin()
    assert kept._process is not None
    began = time.monotonic()
    assert kept.end(Outcome.SUCCESS) == f"{NOTHING}GitHub's API did not answer within 3 s"
    assert time.monotonic() - began < 30
    assert is_gone(kept._process.pid)


@pytest.mark.parametrize("rule", [silent, drip])
def test_an_interrupted_deploy_waits_a_second(github: GitHub, rule: Rule) -> None:
    """A cancelled job is about to be killed."""
    github.rule = only("POST", "/statuses", "error", rule)
    kept = DeploymentRecord(subject(github.url))
    kept.begin()
    until(lambda: any(github.statuses.values()))
    began = time.monotonic()
    assert kept.end(Outcome.INTERRUPTED) == f"{IN_PROGRESS}GitHub's API did not answer within 1 s"
    assert time.monotonic() - began < 30


def test_what_was_interrupted_before_it_began_is_not_recorded(github: GitHub) -> None:
    """There is no time left for it, and nothing to tell."""
    kept = DeploymentRecord(subject(github.url))
    assert kept.end(Outcome.INTERRUPTED) == ""
    assert (kept._process, github.asked) == (None, [])


def test_an_interrupt_ends_the_wait(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cancels while only GitHub is waited for gets the deploy's own end."""
    github.rule = silent
    kept = DeploymentRecord(subject(github.url))
    kept.begin()

    def send(process: subprocess.Popen[bytes], order: Any) -> None:
        really_send(process, order)  # from here on the end is waited for
        threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident or 0, signal.SIGINT)).start()

    really_send = record._send
    monkeypatch.setattr(record, "_send", send)
    began = time.monotonic()
    assert kept.end(Outcome.SUCCESS) == f"{NOTHING}interrupted"
    assert time.monotonic() - began < 30


def test_beginning_takes_no_time_and_no_thread(github: GitHub) -> None:
    """However silent GitHub is; and what is forked later is forked from a process without threads."""
    github.rule = silent

    def begin() -> None:
        kept = DeploymentRecord(subject(github.url))
        records.append(kept)
        own = set(threading.enumerate())
        kept.begin()
        kept.begin()
        assert not [thread for thread in set(threading.enumerate()) - own if "process_request" not in thread.name]

    records: list[DeploymentRecord] = []
    assert least(lambda: seconds_of(begin), 0.5) <= 0.5  # a request waits for five seconds
    for kept in records:
        kept.end(Outcome.INTERRUPTED)


def test_without_a_token_nothing_happens(github: GitHub) -> None:
    """No process, no request, no warning."""
    kept = DeploymentRecord(subject(github.url, token=""))
    kept.begin()
    assert (kept.end(Outcome.SUCCESS), kept._process, github.asked) == ("", None, [])


@pytest.mark.parametrize("token", [TOKEN + "\n", f"{TOKEN}é", f" {TOKEN}"])
def test_an_unusable_token_is_not_sent_and_not_shown(
    github: GitHub, token: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """HTTP libraries quote the header that they refuse."""
    trouble = DeploymentRecord(subject(github.url, token=token)).end(Outcome.SUCCESS)
    assert trouble.startswith(NOTHING + "the token has characters")
    assert TOKEN not in trouble
    assert github.asked == []
    assert capfd.readouterr() == ("", "")


def test_the_token_is_never_seen(github: GitHub, capfd: pytest.CaptureFixture[str]) -> None:
    """Not in a process list, an environment, a repr, a message that GitHub echoes, or anything printed."""
    github.rule = refuse(422, {"message": f"what is {TOKEN}?"})
    kept = DeploymentRecord(subject(github.url))
    kept.begin()
    assert kept._process is not None
    for file in ("cmdline", "environ"):
        if (about := Path("/proc", str(kept._process.pid), file)).exists():
            assert TOKEN.encode() not in about.read_bytes()
    assert TOKEN not in repr(kept._subject)
    assert kept.end(Outcome.SUCCESS) == f"{NOTHING}GitHub refuses it (422 what is ***?)"
    assert capfd.readouterr() == ("", "")


def test_without_pygithub_there_is_a_warning(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only the command line is installed."""
    monkeypatch.setattr(
        sys, "path", [str(Path(__file__).parents[2]), *(p for p in sys.path if "site-packages" not in p)]
    )
    trouble, _ = recorded(github)
    assert trouble == f"{NOTHING}PyGithub is not installed; `pip install deployer[github]` brings it"


def test_a_process_that_dies_is_told(github: GitHub) -> None:
    """Killed for lack of memory, say."""
    github.rule = silent
    kept = DeploymentRecord(subject(github.url))
    kept.begin()
    assert kept._process is not None
    kept._process.kill()
    assert kept.end(Outcome.SUCCESS) == f"{NOTHING}the process for it has died"


def test_the_process_ends_with_a_deploy_that_is_killed(github: GitHub) -> None:
    """And the deploy itself never imports PyGithub."""
    github.rule = silent
    program = f"""
import os, signal, sys
from deployer.reporting.github import DeploymentRecord, Subject
from deployer.secret import Secret
record = DeploymentRecord(Subject({github.url!r}, "octocat/example", Secret("x"), "main", "production"))
record.begin()
print(record._process.pid, "github" in sys.modules, "requests" in sys.modules, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    pid, *imported = done.stdout.split()
    assert imported == ["False", "False"]
    until(lambda: is_gone(int(pid)), 30)


def is_gone(pid: int) -> bool:
    """Whether no process has that number, a finished one that nobody has looked at aside."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path("/proc", str(pid), "stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"
