"""Which parts belong together: what is made of a configuration, and what others read about us."""

from __future__ import annotations

import getpass
import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deployer.clock import SystemClock
from deployer.composition import STRATEGIES, StrategyParts, commit_of, gate_for, label, transport_for
from deployer.config import Config, load, load_secrets
from deployer.plan import Plan, ServedFile
from deployer.ports import Clock
from deployer.watching import ProbeWatch
from tests.conftest import need
from tests.fakes import FakeClock, RecordedReports

PAGE = b"<h1>new</h1>"


def config(directory: Path, **flags: object) -> Config:
    given: dict[str, object] = {
        "app": "blog",
        "host": ("local",),
        "static.source": "public",
        "static.target": "/www/blog",
    }
    given |= {name.replace("__", "."): value for name, value in flags.items()}
    return load(None, flags=given, variables={}, directory=directory)


class Pages(BaseHTTPRequestHandler):
    """Answers every path with the page; the health path with its own status."""

    def do_GET(self) -> None:
        self.send_response(418 if self.path == "/teapot" else 200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("local", "local"),
        ("deploy@example.org", "deploy@example.org:22"),
        ("deploy@example.org:2222", "deploy@example.org:2222"),
        ("deploy@[2001:db8::1]:2222", "deploy@[2001:db8::1]:2222"),
    ],
)
def test_a_transport_is_named_as_people_write_it(host: str, name: str, tmp_path: Path) -> None:
    """The name is known before anything is connected."""
    assert transport_for(config(tmp_path, host=(host,)), load_secrets({}), print).host == name


def test_without_a_user_it_is_the_one_who_runs_deployer(tmp_path: Path) -> None:
    """As with ssh."""
    host = transport_for(config(tmp_path, host=("example.org",)), load_secrets({}), print).host
    assert host == f"{getpass.getuser()}@example.org:22"


def test_a_user_without_a_name_is_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container started with a bare user id there is no passwd entry: nothing may break for that."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert label({}).startswith(f"uid-{os.getuid()}@")
    assert transport_for(config(tmp_path, host=("example.org",)), load_secrets({}), print).host.endswith(
        "@example.org:22"
    )


def test_a_label_says_who_and_from_where() -> None:
    """User, machine, process and time; in GitHub's workflows also the link to the run."""
    plain = label({})
    assert plain.startswith(f"{getpass.getuser()}@")
    assert f"(pid {os.getpid()}) since 2" in plain
    github = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "changkun/blog", "GITHUB_RUN_ID": "7"}
    assert label(github).endswith(", https://github.com/changkun/blog/actions/runs/7")


def test_a_label_is_one_line() -> None:
    """Whatever the environment holds: it becomes a line of the protocol and of a file on the host."""
    assert "\n" not in label({"GITHUB_RUN_ID": "7\nlock", "GITHUB_REPOSITORY": "a\x1bb"})


def test_a_commit_is_the_checkouts_head(tmp_path: Path) -> None:
    """The full hash; empty where there is no checkout, no commit yet, or no such folder."""
    need("git", "to read the commit")
    assert commit_of(tmp_path) == ""
    assert commit_of(tmp_path / "missing") == ""
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run((*git, "init", "-q", "."), cwd=tmp_path, check=True)
    assert commit_of(tmp_path) == ""
    subprocess.run((*git, "commit", "-q", "--allow-empty", "-m", "x"), cwd=tmp_path, check=True)
    assert len(commit_of(tmp_path)) == 40
    (tmp_path / "folder").mkdir()
    assert commit_of(tmp_path / "folder") == commit_of(tmp_path)


def test_a_machine_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release is then named by its contents."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_of(tmp_path) == ""


def test_every_strategy_of_the_model_can_be_made(tmp_path: Path) -> None:
    """What a configuration may say, composition knows."""
    parts = StrategyParts(
        config(tmp_path, static__build="make"), load_secrets({}), RecordedReports(), "anna", "7f247f9", {}, str
    )
    assert STRATEGIES[parts.config.strategy].deploy(parts).build_summary == "make"


def test_without_a_url_there_is_no_gate(tmp_path: Path) -> None:
    """Nothing can be asked, and nobody claims to have asked."""
    assert gate_for(config(tmp_path), SystemClock(), RecordedReports())(Plan("B", "A")) is None


def gate(config: Config, *served: ServedFile, clock: Clock | None = None) -> str:
    made = gate_for(config, clock or SystemClock(), RecordedReports())(Plan("B", "A", served=served))
    assert made is not None
    return made()


def test_a_gate_asks_as_configured(tmp_path: Path, site: str) -> None:
    """URL, good statuses and text reach the check; the reason is one line."""
    assert gate(config(tmp_path, url=f"{site}/", health__contains="new")) == ""
    assert gate(config(tmp_path, health__url=f"{site}/teapot", health__status=(418,))) == ""
    assert "answered 418 instead of 200" in gate(config(tmp_path, health__url=f"{site}/teapot"))
    assert "without the text 'old'" in gate(config(tmp_path, url=f"{site}/", health__contains="old"))


def test_a_gate_compares_what_is_served(tmp_path: Path, site: str) -> None:
    """Changed files are fetched under the app's URL, and only there: a health URL alone says nothing of files."""
    right = ServedFile("index.html", hashlib.sha256(PAGE).hexdigest(), len(PAGE))
    wrong = ServedFile("index.html", hashlib.sha256(b"old").hexdigest(), 3)
    assert gate(config(tmp_path, url=f"{site}/"), right) == ""
    patient = config(tmp_path, url=f"{site}/", health__timeout=10)
    assert "other contents than the release" in gate(patient, wrong, clock=FakeClock())
    assert gate(config(tmp_path, health__url=f"{site}/health"), wrong) == ""


def test_a_watch_without_a_url_measures_nothing(tmp_path: Path) -> None:
    """Every call is allowed and does nothing."""
    watch = ProbeWatch(config(tmp_path), SystemClock(), RecordedReports())
    watch.start()
    watch.mark_switch()
    watch.mark_return()
    watch.stop()
    watch.abandon()
    assert (watch.figures(), watch.report) == (None, None)


def test_a_watch_measures_around_the_switch(tmp_path: Path, site: str) -> None:
    """Requests before and after, none dropped, latencies in milliseconds, and when the switch and the way back were."""
    reports = RecordedReports()
    watch = ProbeWatch(config(tmp_path, url=f"{site}/", probe__rate=50), SystemClock(), reports)
    watch.start()
    watch.mark_switch()
    watch.mark_return()
    watch.stop()
    watch.stop()
    seen = watch.figures()
    assert seen is not None
    assert seen.requests >= 5
    assert seen.dropped == 0
    assert 0 < seen.p50_ms <= seen.p99_ms
    assert watch.report
    assert [mark.name for mark in watch.report.marks] == ["switch", "return"]
    assert reports.calls == []


def test_a_watch_of_a_dead_site_says_that_it_measured_nothing(tmp_path: Path) -> None:
    """No good answer was ever seen: that is no drop, but a warning with the reason."""
    reports = RecordedReports()
    watch = ProbeWatch(config(tmp_path, url="http://127.0.0.1:9/", probe__rate=50), SystemClock(), reports)
    watch.start()
    watch.stop()
    seen = watch.figures()
    assert seen is not None
    assert (seen.requests, seen.dropped) == (0, 0)
    assert "measured nothing" in reports.said("warning")[0]
