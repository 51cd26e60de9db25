"""Each request of the receiver, and each answer that it understands, held to GitHub's published description."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from deployer.reporting.github import DeploymentRecord, Outcome
from deployer.secret import Secret
from receiver.config import Artifact, Login
from receiver.github import GitHubApi, GitHubTrouble, deployment_page, hook_networks, status_context, subject
from receiver.hooks import parse_event
from tests.github import GitHub, answer, description, prism
from tests.receiver.hub import APP_TOKEN, COMMIT, PATHS, TOKEN, Hub, Storage, examples
from tests.receiver.hub_settings import ADDRESS, an_app, app_key, connected, secrets, settings

REPOSITORY = "octocat/example"
HERE = f"/repos/{REPOSITORY}"
WRONG = "/repos/octocat/wrong"
SITE = Artifact(workflow="build.yml", name="site")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hub, str]]:
    """GitHub, and the URL of Prism before it. Whatever Prism has refused is what a test meant to be wrong."""
    described = description(PATHS)
    with (
        Storage() as storage,
        Hub(storage, examples(described)) as hub,
        prism(described, tmp_path_factory.mktemp("prism"), hub.url) as (url, log),
    ):
        yield hub, url
    refused = [line for line in log.read_text(encoding="utf-8").splitlines() if "terminated with error" in line]
    assert [line for line in refused if WRONG not in line] == []


@pytest.fixture
def hub(published: tuple[Hub, str]) -> Hub:
    """GitHub, empty again."""
    published[0].forget()
    return published[0]


@pytest.fixture
def by_token(published: tuple[Hub, str]) -> GitHubApi:
    return connected(settings(published[1]), secrets())


@pytest.fixture
def by_app(published: tuple[Hub, str]) -> GitHubApi:
    return connected(settings(published[1], app_id=7), secrets(token="", key=app_key()))


@pytest.fixture(params=["by_token", "by_app"])
def api(request: pytest.FixtureRequest) -> GitHubApi:
    """By either credential."""
    made = request.getfixturevalue(request.param)
    assert isinstance(made, GitHubApi)
    return made


def test_what_does_not_fit_the_description_never_arrives(hub: Hub, published: tuple[Hub, str]) -> None:
    """Neither a wrong request nor a wrong answer: or all the other tests here would say nothing."""
    hub.rule = lambda _asked, handler: answer(handler, 200, [{"id": "no number"}])
    for path, body, status in ((f"{WRONG}/statuses/1", b'{"state": "done"}', 422), (f"{WRONG}/hooks", None, 500)):
        request = urllib.request.Request(published[1] + path, body, {"Content-Type": "application/json"})
        with pytest.raises(HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        assert refused.value.code == status
    assert hub.paths() == [f"{WRONG}/hooks"]


@pytest.mark.parametrize("state", ["pending", "success", "failure", "error"])
def test_a_commit_gets_a_status(hub: Hub, api: GitHubApi, state: str) -> None:
    """With the app's own context, a link to its deploy, and no more of the description than GitHub takes."""
    context, url = status_context("blog"), "https://deploy.example/deployments/5"
    api.status(REPOSITORY, COMMIT, state, context=context, description="é" * 200, url=url)  # type: ignore[arg-type]
    (made,) = hub.statuses
    assert (made["sha"], made["state"], made["context"], made["target_url"]) == (COMMIT, state, "deployer/blog", url)
    assert made["description"] == "é" * 139 + "…"


def test_a_status_needs_neither_text_nor_link(hub: Hub, by_token: GitHubApi) -> None:
    """Where nobody knows how browsers reach the receiver."""
    by_token.status(REPOSITORY, COMMIT, "pending", context="deployer/blog")
    assert hub.statuses == [{"sha": COMMIT, "state": "pending", "context": "deployer/blog"}]


def test_an_app_gets_a_token_for_one_repository(hub: Hub, by_app: GitHubApi) -> None:
    """It says who it is by its key, and keeps the token that it gets."""
    assert [by_app.token(REPOSITORY).reveal() for _ in range(3)] == [APP_TOKEN] * 3
    assert hub.paths() == [f"{HERE}/installation", "/app/installations/31/access_tokens"]
    assert hub.asked[1].body == {"repositories": ["example"]}
    assert {asked.headers["authorization"].split(".")[0] for asked in hub.asked} == {
        "Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9"
    }
    by_app.status(REPOSITORY, COMMIT, "pending", context="deployer/blog")
    assert hub.asked[-1].headers["authorization"] == f"token {APP_TOKEN}"
    assert len(hub.asked) == 3


def test_a_token_is_shown_as_it_is(hub: Hub, by_token: GitHubApi) -> None:
    """Nothing is asked for it; every request carries it, and says who asks."""
    assert by_token.token(REPOSITORY).reveal() == TOKEN
    assert hub.asked == []
    by_token.status(REPOSITORY, COMMIT, "pending", context="deployer/blog")
    assert hub.asked[0].headers["authorization"] == f"token {TOKEN}"
    assert hub.asked[0].headers["user-agent"].startswith("deployer/")


def test_heads_of_branches_and_tags(hub: Hub, api: GitHubApi) -> None:
    """A tag may point at a tag; of an annotated one it is the commit that counts. What is not there has no head."""
    hub.refs = {
        "heads/feature/ä#1": ("commit", "1" * 40),
        "tags/plain": ("commit", "2" * 40),
        "tags/annotated": ("tag", "3" * 40),
        "tags/text": ("blob", "6" * 40),
    }
    hub.tags = {"3" * 40: ("tag", "4" * 40), "4" * 40: ("commit", "5" * 40)}
    assert api.head(REPOSITORY, "refs/heads/feature/ä#1") == "1" * 40
    assert api.head(REPOSITORY, "refs/tags/plain") == "2" * 40
    assert api.head(REPOSITORY, "refs/tags/annotated") == "5" * 40
    assert api.head(REPOSITORY, "refs/tags/text") == ""
    assert api.head(REPOSITORY, "refs/heads/gone") == ""
    assert hub.asked[-1].path == HERE


def test_hooks_that_deliver_here(hub: Hub, by_token: GitHubApi) -> None:
    """Of a repository's hooks those count that are active and have our address."""
    hub.add_hook("https://elsewhere.example/hooks/github")
    hub.add_hook("HTTPS://Deploy.example/hooks/github/")
    hub.add_hook(ADDRESS, active=False)
    (mailbox,) = by_token.repository_mailboxes(REPOSITORY, ADDRESS)
    assert mailbox.path == f"{HERE}/hooks/71"
    first = hub.add_attempt("one", 502, ago=60)
    hub.add_attempt("two", 202, ago=30)
    found = by_token.attempts(mailbox)
    assert [(attempt.guid, attempt.failed) for attempt in found] == [("two", False), ("one", True)]
    by_token.deliver_again(mailbox, found[1])
    assert hub.repeated == [first]
    assert [attempt.guid for attempt in by_token.attempts(mailbox)] == ["one", "two", "one"]


def test_the_hook_of_an_app(hub: Hub, by_app: GitHubApi, by_token: GitHubApi) -> None:
    """An App delivers by one hook for all repositories; it counts if its address is ours."""
    hub.app_url = "https://elsewhere.example/hooks/github"
    assert by_app.app_mailbox(ADDRESS) is None
    assert by_token.app_mailbox(ADDRESS) is None
    hub.app_url = ADDRESS
    mailbox = by_app.app_mailbox(ADDRESS)
    assert mailbox is not None
    number = hub.add_attempt("one", 0, app=True)
    by_app.deliver_again(mailbox, by_app.attempts(mailbox)[0])
    assert hub.repeated == [number]
    assert {asked.headers["authorization"].split()[0] for asked in hub.asked} == {"Bearer"}


def test_an_artifact_is_looked_for(hub: Hub, api: GitHubApi, tmp_path: Path) -> None:
    """Of the run that is named, or of the one that is found by its commit. (Prism itself follows where archives are.)"""
    hub.add_run(41)
    number = hub.add_artifact(41, b"an archive")
    archive = f"{HERE}/actions/artifacts/{number}/zip"
    hub.rule = lambda asked, handler: (
        asked.path == archive and answer(handler, 410, {"message": "Artifact has expired"})
    )
    for run in (41, 0):
        with pytest.raises(GitHubTrouble, match="410 Artifact has expired"):
            api.fetch_artifact(REPOSITORY, COMMIT, SITE, run, tmp_path / "site.zip", 1 << 20)
        assert hub.asked[-1].path == archive
    assert f"{HERE}/actions/runs/41" in hub.paths()
    assert f"{HERE}/actions/runs" in hub.paths()


def test_githubs_networks(hub: Hub, published: tuple[Hub, str], by_token: GitHubApi) -> None:
    """Everybody may ask for them."""
    config = settings(published[1])
    assert hook_networks(config, by_token) == ("192.30.252.0/22", "2a0a:a440::/29")
    assert hook_networks(config, None) == ("192.30.252.0/22", "2a0a:a440::/29")
    assert "authorization" not in hub.asked[-1].headers


def test_a_record_starts_no_deploy() -> None:
    """The event that GitHub sends for our own Deployment is ignored by its task."""
    config = settings("http://127.0.0.1:1", login=Login(tokens=()))
    about = subject(config, "blog", COMMIT, 5, Secret(TOKEN))
    assert (about.repository, about.ref, about.environment) == (REPOSITORY, COMMIT, "production")
    assert about.log_url == "https://deploy.example/deployments/5"
    payload = (
        f'{{"action": "created", "repository": {{"full_name": "{REPOSITORY}"}},'
        f'"deployment": {{"ref": "main", "sha": "{COMMIT}", "task": "%s"}}}}'
    )
    assert parse_event("deployment", (payload % about.task).encode()).obstacle
    assert not parse_event("deployment", (payload % "deploy").encode()).obstacle


def test_a_deploy_is_recorded_as_the_action_does() -> None:
    """By a process of its own, with the app's environment and its page."""
    with GitHub() as github:
        config = settings(github.url, {"blog": an_app(environment="staging")}, login=Login(tokens=()))
        about = subject(config, "blog", COMMIT, 5, Secret(TOKEN))
        assert DeploymentRecord(about).end(Outcome.SUCCESS, "https://example.org/") == ""
        (made,) = github.deployments
        assert (made["task"], made["environment"], made["ref"]) == ("deploy:blog", "staging", COMMIT)
        assert github.states(made["id"]) == ["in_progress", "success"]
        assert github.statuses[made["id"]][0]["target_url"] == "https://deploy.example/deployments/5"


def test_records_lead_only_where_somebody_may_look() -> None:
    """Without a dashboard there is no page of a deploy."""
    assert deployment_page(settings("http://127.0.0.1:1"), 5) == ""
