"""Whole rounds of catch-up: GitHub on loopback, real repositories, each database, and the receiver itself."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from receiver.alarm import Alarm
from receiver.catchup import catch_up, heads
from receiver.config import Artifact, ReceiverConfig, Secrets, load, read_secrets
from receiver.github import GitHubApi, calls, connect, is_at
from receiver.hooks import Wanted, parse_event
from receiver.remote import list_refs
from receiver.store import Database, Job, Source, Status
from receiver.store.history import active_jobs, delivery, fact, jobs_before
from receiver.store.intake import Arrival, record
from receiver.store.jobs import Settled, claim, settle
from receiver.store.upkeep import remember
from tests.end_to_end.repository import git
from tests.github import Asked, Rule, answer, free_port
from tests.receiver.hub import TOKEN, Hub, Storage
from tests.receiver.hub_settings import ADDRESS, an_app, app_key, connected, secrets, settings
from tests.receiver.program import Receiver, push

MAIN = "refs/heads/main"
Handler = http.server.BaseHTTPRequestHandler


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Storage() as storage, Hub(storage) as memory:
        yield memory


def facts(database: Database, *names: str) -> list[str]:
    with database.reading() as connection:
        return [fact(connection, name) for name in names]


def waiting(database: Database) -> list[tuple[str, str, str]]:
    """App, ref and commit of each job that waits."""
    with database.reading() as connection:
        return [(job.app, job.ref, job.hint) for job in active_jobs(connection) if job.status == Status.WAITING]


def finish(database: Database, status: Status) -> Job:
    """Let the oldest job run, and end so."""
    job = claim(database, "worker", ["blog", "other"])
    assert job is not None
    assert settle(database, job, Settled(status, job.hint, "release"))
    return job


def by_token(hub: Hub, **more: Any) -> tuple[ReceiverConfig, Secrets, GitHubApi]:
    config, given = settings(hub.url, **more), secrets()
    return config, given, connected(config, given)


# Deliveries


def test_a_failed_delivery_is_asked_for_once_a_round(hub: Hub, database: Database) -> None:
    """Three times in all, and then it is given up."""
    config, given, api = by_token(hub)
    hub.add_hook(ADDRESS)
    hub.add_attempt("good", 202, ago=120)
    first = hub.add_attempt("lost", 502, ago=60)
    hub.again = lambda _attempt: 502
    for count in (1, 2, 3, 3, 3):
        assert catch_up(config, given, database, api) == ""
        assert len(hub.repeated) == count
    assert hub.repeated[0] == first
    assert len(set(hub.repeated)) == 3


def test_counts_outlive_what_github_lists(hub: Hub, database: Database) -> None:
    """A busy hook's earlier attempts are beyond the hundred that are looked at."""
    config, given, api = by_token(hub)
    hub.add_hook(ADDRESS)
    hub.again = lambda _attempt: 502
    hub.add_attempt("lost", 502)
    for _ in range(6):
        catch_up(config, given, database, api)
        hub.deliveries = [attempt | {"redelivery": False} for attempt in hub.deliveries[:1]]
    assert len(hub.repeated) == 3


def test_what_has_arrived_is_not_asked_for(hub: Hub, database: Database) -> None:
    """A delivery that we have stored though GitHub got no answer, and one that came on a second try."""
    config, given, api = by_token(hub)
    hub.add_hook(ADDRESS)
    event = parse_event("push", json.dumps(push("octocat/example")).encode())
    with database.writing() as connection:
        record(connection, [Arrival("stored", "0" * 64, event, 0.0, ())])
    hub.add_attempt("stored", 504)
    hub.add_attempt("second", 502, ago=90)
    hub.add_attempt("second", 202, ago=60, again=True)
    assert catch_up(config, given, database, api) == ""
    assert hub.repeated == []


def test_the_last_three_days_and_then_the_last_round_count(hub: Hub, database: Database) -> None:
    """With an hour to spare, for clocks that differ."""
    config, given, api = by_token(hub)
    hub.add_hook(ADDRESS)
    day = 86_400
    hub.add_attempt("too old", 502, ago=3 * day + 60)
    wanted = hub.add_attempt("old", 502, ago=3 * day - 60)
    catch_up(config, given, database, api)
    assert hub.repeated == [wanted]
    hub.deliveries.clear()
    hub.add_attempt("before the last round", 502, ago=7200)
    more = hub.add_attempt("new", 502, ago=1800)
    catch_up(config, given, database, api)
    assert hub.repeated == [wanted, more]


def test_a_round_that_failed_is_made_up_for(hub: Hub, database: Database) -> None:
    """What failed while GitHub's API was down is not too old by the next good round."""
    config, given, api = by_token(hub)
    hub.add_hook(ADDRESS)
    assert catch_up(config, given, database, api) == ""
    remember(database, "catch_up_deliveries_at", str(time.time() - 40_000))
    lost = hub.add_attempt("lost", 502, ago=36_000)
    hub.rule = lambda _asked, handler: answer(handler, 503, {})
    assert "GitHub's API fails (503)" in catch_up(config, given, database, api)
    hub.rule = lambda _asked, _handler: False
    assert catch_up(config, given, database, api) == ""
    assert hub.repeated == [lost]


def test_only_hooks_that_deliver_here_are_asked(hub: Hub, database: Database) -> None:
    """Others' deliveries are theirs; without public_url nobody knows which are ours."""
    config, given, api = by_token(hub)
    hub.add_hook("https://elsewhere.example/hooks/github")
    hub.add_attempt("theirs", 502)
    assert catch_up(config, given, database, api) == ""
    assert not [path for path in hub.paths() if path.endswith("/deliveries")]
    hub.add_hook(ADDRESS)
    unknown = ReceiverConfig(apps=config.apps, github=config.github)
    hub.asked.clear()
    assert catch_up(unknown, given, database, connected(unknown, given)) == ""
    assert not [path for path in hub.paths() if "hooks" in path]
    assert hub.repeated == []


def test_an_app_asks_its_own_hook(hub: Hub, database: Database) -> None:
    """It may lack the right to see those of repositories, and then needs none."""
    config, given = settings(hub.url, app_id=7), secrets(token="", key=app_key())
    api = connected(config, given)
    hub.app_url = ADDRESS
    lost = hub.add_attempt("lost", 502, app=True)
    hub.rule = lambda asked, handler: asked.path.endswith("example/hooks") and answer(handler, 403, {"message": "no"})
    assert catch_up(config, given, database, api) == ""
    assert hub.repeated == [lost]
    hub.app_url = "https://elsewhere.example/"
    assert "the hooks of octocat/example cannot be read" in catch_up(config, given, database, api)


def test_a_repository_is_asked_once_for_all_its_apps(hub: Hub, database: Database) -> None:
    """Two apps of one repository share its hook."""
    config, given, api = by_token(hub, apps={"blog": an_app(), "other": an_app()})
    hub.add_hook(ADDRESS)
    lost = hub.add_attempt("lost", 502)
    assert catch_up(config, given, database, api) == ""
    assert hub.repeated == [lost]


def test_many_are_asked_for_in_turn(hub: Hub, database: Database) -> None:
    """Fifty a round, the oldest first: GitHub counts such requests."""
    config, given, api = by_token(hub)
    hub.add_hook(ADDRESS)
    numbers = [hub.add_attempt(f"lost-{number}", 502, ago=10_000 - number) for number in range(70)]
    assert catch_up(config, given, database, api) == ""
    assert hub.repeated == numbers[:50]
    assert catch_up(config, given, database, api) == ""
    assert hub.repeated[50:] == numbers[50:]


def test_one_delivery_that_cannot_be_repeated_does_not_keep_others(hub: Hub, database: Database) -> None:
    """GitHub may have forgotten it."""
    config, given, api = by_token(hub)
    hub.add_hook(ADDRESS)
    bad, good = hub.add_attempt("bad", 502, ago=90), hub.add_attempt("good", 502)
    hub.rule = lambda asked, handler: f"/{bad}/" in asked.path and answer(handler, 422, {"message": "too old"})
    error = catch_up(config, given, database, api)
    assert (
        error
        == "the delivery bad of the hook of octocat/example cannot be asked for again: GitHub refuses it (422 too old)"
    )
    assert hub.repeated == [good]
    assert facts(database, "catch_up_error") == [error]


# Heads


def test_a_fresh_receiver_deploys_every_head_once(hub: Hub, database: Database) -> None:
    """And then only what has moved on, whatever became of it."""
    config, given, api = by_token(hub)
    hub.refs["heads/main"] = ("commit", "1" * 40)
    for _ in range(3):
        assert catch_up(config, given, database, api) == ""
        assert waiting(database) == [("blog", MAIN, "1" * 40)]
    job = finish(database, Status.FAILED)
    assert job.source == Source.CATCH_UP
    for _ in range(3):
        assert catch_up(config, given, database, api) == ""
    assert waiting(database) == []
    hub.refs["heads/main"] = ("commit", "2" * 40)
    assert catch_up(config, given, database, api) == ""
    assert waiting(database) == [("blog", MAIN, "2" * 40)]


def test_a_branch_that_is_gone_is_no_trouble(hub: Hub, database: Database) -> None:
    """It was deployed by a pattern, and has been merged since."""
    config, given, api = by_token(hub, apps={"blog": an_app(refs=("refs/heads/*",))})
    event = parse_event("push", json.dumps(push("octocat/example", "refs/heads/topic")).encode())
    with database.writing() as connection:
        wanted = Wanted("refs/heads/topic", "1" * 40)
        record(connection, [Arrival("one", "0" * 64, event, 0.0, (("blog", wanted),))])
    finish(database, Status.SUCCEEDED)
    assert catch_up(config, given, database, api) == ""
    assert waiting(database) == []
    hub.refs["heads/topic"] = ("commit", "2" * 40)
    assert catch_up(config, given, database, api) == ""
    assert waiting(database) == [("blog", "refs/heads/topic", "2" * 40)]


def test_workers_are_woken(hub: Hub, database: Database, tmp_path: Path) -> None:
    """Nobody waits for the next look."""
    config, given, api = by_token(hub, state_dir=str(tmp_path))
    alarm = Alarm(tmp_path, "worker")
    assert catch_up(config, given, database, api) == ""
    with pytest.raises(BlockingIOError):
        alarm._socket.recv(1)
    hub.refs["heads/main"] = ("commit", "1" * 40)
    assert catch_up(config, given, database, api) == ""
    assert alarm._socket.recv(1)
    alarm.close()


def a_repository(folder: Path) -> tuple[Path, Path]:
    """Where somebody writes, and what is cloned."""
    folder.mkdir()
    work, origin = folder / "work", folder / "origin.git"
    work.mkdir()
    git(work, "init", "--quiet", "--initial-branch=main")
    git(work, "commit", "--quiet", "--allow-empty", "-m", "one")
    git(folder, "clone", "--quiet", "--bare", "work", "origin.git")
    git(work, "remote", "add", "origin", str(origin))
    return work, origin


def test_without_a_token_git_is_asked(database: Database, tmp_path: Path) -> None:
    """GitHub's API is never; and one repository that cannot be read does not keep the others."""
    work, origin = a_repository(tmp_path / "one")
    apps = {
        "broken": an_app(clone_url=str(tmp_path / "nowhere.git")),
        "blog": an_app(clone_url=str(origin), refs=("refs/heads/main", "refs/heads/gone", "refs/tags/live")),
        "built": an_app(events=("workflow_run",), artifact=Artifact(workflow="build.yml", name="site")),
    }
    config, given = settings(f"http://127.0.0.1:{free_port()}", apps=apps), secrets(token="")
    assert connect(config, given) is None
    error = catch_up(config, given, database, None)
    assert "nowhere.git does not list its refs: " in error
    assert "\n" not in error
    assert facts(database, "catch_up_error") == [error]
    assert waiting(database) == [("blog", MAIN, git(work, "rev-parse", "main"))]
    finish(database, Status.SUCCEEDED)
    git(work, "commit", "--quiet", "--allow-empty", "-m", "two")
    git(work, "tag", "-a", "-m", "live", "live", "main~1")
    git(work, "push", "--quiet", "origin", "main", "live")
    catch_up(config, given, database, None)
    assert waiting(database) == [
        ("blog", MAIN, git(work, "rev-parse", "main")),
        ("blog", "refs/tags/live", git(work, "rev-parse", "main~1")),
    ]


def test_a_clone_url_wins_over_the_api(hub: Hub, database: Database, tmp_path: Path) -> None:
    """What is deployed comes from there, a mirror say, and not from GitHub."""
    work, origin = a_repository(tmp_path / "mirror")
    config, given, api = by_token(hub, apps={"blog": an_app(clone_url=str(origin))})
    hub.refs["heads/main"] = ("commit", "1" * 40)
    assert catch_up(config, given, database, api) == ""
    assert waiting(database) == [("blog", MAIN, git(work, "rev-parse", "main"))]


def test_githubs_own_address_is_asked_by_the_api(hub: Hub, database: Database) -> None:
    """It may be a private repository, of which git learns nothing without a token."""
    apps = {"blog": an_app(clone_url=f"{hub.url}/octocat/example.git")}
    config, given, api = by_token(hub, apps=apps)
    hub.refs["heads/main"] = ("commit", "1" * 40)
    assert catch_up(config, given, database, api) == ""
    assert waiting(database) == [("blog", MAIN, "1" * 40)]


@pytest.mark.parametrize(
    ("clone_url", "api_url", "same"),
    [
        ("https://github.com/octocat/example.git", "https://api.github.com", True),
        ("https://github.com/Octocat/Example/", "https://api.github.com", True),
        ("https://git.example/octocat/example.git", "https://git.example/api/v3", True),
        ("https://company.ghe.com/octocat/example", "https://api.company.ghe.com", True),
        ("https://github.com/octocat/other.git", "https://api.github.com", False),
        ("https://github.com.evil.example/octocat/example.git", "https://api.github.com", False),
        ("http://github.com/octocat/example.git", "https://api.github.com", False),
        ("git@github.com:octocat/example.git", "https://api.github.com", False),
        ("/srv/example.git", "https://api.github.com", False),
    ],
)
def test_which_addresses_are_githubs_own(clone_url: str, api_url: str, same: bool) -> None:
    """Only the same repository, at the same GitHub, over HTTPS."""
    assert is_at(clone_url, api_url, "octocat/example") == same


def test_a_silent_server_is_asked_once_a_round(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty apps with a dead server cost no ten minutes."""
    monkeypatch.setattr(heads, "list_refs", partial(list_refs, seconds=1.0))
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        url = f"git://127.0.0.1:{server.getsockname()[1]}"
        apps = {f"app{number}": an_app(clone_url=f"{url}/{number}.git") for number in range(20)}
        config, given = settings("http://127.0.0.1:1", apps=apps), secrets(token="")
        error = catch_up(config, given, database, None)
        assert waiting_visitors(server) == 1
    assert error == f"{url}/0.git did not list its refs within 1 s"


def waiting_visitors(server: socket.socket) -> int:
    """How many have come so far."""
    server.settimeout(0)
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            count += 1
    return count


def test_one_apps_trouble_is_not_anothers(hub: Hub, database: Database) -> None:
    """A repository that the token may not see is told, and the next one is looked at."""
    apps = {"other": an_app(repository="octo/blog"), "blog": an_app()}
    config, given, api = by_token(hub, apps=apps)
    hub.refs["heads/main"] = ("commit", "1" * 40)
    hub.rule = lambda asked, handler: "octo/blog" in asked.path and answer(handler, 404, {"message": "Not Found"})
    error = catch_up(config, given, database, api)
    assert "the hooks of octo/blog cannot be read" in error
    assert (
        "the head of refs/heads/main in octo/blog is not known: octo/blog may not be read, or does not exist" in error
    )
    assert waiting(database) == [("blog", MAIN, "1" * 40)]


# GitHub down


def silent(_asked: Asked, _handler: Handler) -> bool:
    time.sleep(200)
    return True


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (lambda _asked, handler: answer(handler, 401, {"message": "Bad credentials"}), "does not accept the token"),
        (lambda _asked, handler: answer(handler, 403, {"message": "API rate limit exceeded"}), "rate limit"),
        (lambda _asked, handler: answer(handler, 429, {}), "rate limit"),
        (lambda _asked, handler: answer(handler, 500, {}), "GitHub's API fails (500)"),
        (silent, "does not answer (ReadTimeout)"),
    ],
)
def test_github_down_does_not_keep_git_from_being_asked(
    hub: Hub, database: Database, tmp_path: Path, rule: Rule, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten apps of which GitHub tells nothing cost the time of one; an app with another server is looked at."""
    if rule is silent:
        monkeypatch.setattr(calls, "REQUEST_SECONDS", 2)
    work, origin = a_repository(tmp_path / "one")
    many = {f"app{number}": an_app() for number in range(10)}
    config, given, api = by_token(hub, apps=many | {"blog": an_app(clone_url=str(origin))})
    hub.rule = rule
    began = time.monotonic()
    error = catch_up(config, given, database, api)
    assert time.monotonic() - began < 90
    assert words in error
    assert TOKEN not in error
    assert len(hub.asked) <= 2
    assert waiting(database) == [("blog", MAIN, git(work, "rev-parse", "main"))]
    assert facts(database, "catch_up_error") == [error]


def test_a_round_is_noted(hub: Hub, database: Database) -> None:
    """When it was, and that nothing went wrong any more."""
    config, given, api = by_token(hub)
    hub.rule = lambda _asked, handler: answer(handler, 500, {})
    assert catch_up(config, given, database, api)
    hub.rule = lambda _asked, _handler: False
    assert catch_up(config, given, database, api) == ""
    at, error = facts(database, "catch_up_at", "catch_up_error")
    assert abs(float(at) - time.time()) < 60
    assert error == ""


def test_a_database_that_is_gone_is_told(hub: Hub, tmp_path: Path) -> None:
    """Catch-up says so, and raises nothing: the worker has other things to do."""
    config, given, api = by_token(hub)
    database = Database.open(f"sqlite:///{tmp_path / 'receiver.db'}")
    with database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE facts")
    assert catch_up(config, given, database, api).startswith("the database: no such table")
    database.close()


# GitHub's networks


def test_githubs_networks_are_fetched_once_a_day(hub: Hub, database: Database) -> None:
    """Where they are allowed to deliver; what cannot be fetched, or is none, leaves the old ones."""
    # A receiver without any branch to look at.
    apps = {"blog": an_app(refs=("refs/heads/release/*",))}
    config, given, api = by_token(hub, apps=apps, allow=("github", "10.0.0.0/8"))
    for _ in range(2):
        assert catch_up(config, given, database, api) == ""
    assert hub.paths().count("/meta") == 1
    assert json.loads(facts(database, "github_hooks")[0]) == ["192.30.252.0/22", "2a0a:a440::/29"]
    for networks in (["nonsense"], []):
        hub.networks = networks
        remember(database, "github_hooks_at", str(time.time() - 86_401))
        assert "GitHub's networks are not known" in catch_up(config, given, database, api)
        assert "192.30.252.0/22" in facts(database, "github_hooks")[0]
    hub.networks = ["192.0.2.0/24"]
    assert catch_up(config, given, database, None) == ""
    assert facts(database, "github_hooks") == ['["192.0.2.0/24"]']


def test_networks_that_nobody_allows_are_not_fetched(hub: Hub, database: Database) -> None:
    """There is no need to ask."""
    config, given, api = by_token(hub)
    assert catch_up(config, given, database, api) == ""
    assert "/meta" not in hub.paths()


# The receiver itself


@pytest.mark.slow
def test_what_was_lost_while_the_receiver_was_down_comes_back(hub: Hub, tmp_path: Path) -> None:
    """GitHub could not deliver; after the start it is asked to, and what was pushed is queued, once."""
    receiver = Receiver(
        tmp_path / "receiver",
        top='public_url = "https://deploy.example"',
        app='refs = ["refs/heads/*"]',
        rest=f'[github]\napi_url = "{hub.url}"\ntoken = {{ env = "HUB_TOKEN" }}',
        environment={"HUB_TOKEN": TOKEN},
    )
    payloads = {f"lost-{number}": push(ref=f"refs/heads/{number}", after=str(number) * 40) for number in range(1, 4)}
    hub.add_hook(ADDRESS)
    for guid in payloads:
        hub.add_attempt(guid, 502)
    hub.again = lambda attempt: receiver.deliver(payloads[attempt["guid"]], guid=attempt["guid"]).status
    with receiver:
        config = load(receiver.file)
        given = read_secrets(config, {"HUB_TOKEN": TOKEN})
        database = Database.open(config.database_url)
        for _ in range(2):
            assert catch_up(config, given, database, connect(config, given)) == ""
    assert len(hub.repeated) == 3
    with database.reading() as connection:
        assert {job.ref: job.hint for job in jobs_before(connection, None, 99)} == {
            payload["ref"]: payload["after"] for payload in payloads.values()
        }
        assert all(delivery(connection, guid)[0].verdict == "queued" for guid in payloads)
    database.close()
