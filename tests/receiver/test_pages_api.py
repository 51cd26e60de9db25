"""The JSON API: who may use it, what it says and does, and that docs/receiver-api.md says the same."""

from __future__ import annotations

import json
import re
import select
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from receiver.alarm import Alarm
from receiver.secrets import hash_token, new_token
from receiver.store import Source, Status
from receiver.web.tokens import owner_of
from tests.receiver.pages_parts import TOKEN, Place, Visitor, result

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "receiver-api.md"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class Program:
    """What uses the API."""

    def __init__(self, place: Place, token: str = TOKEN) -> None:
        self.client = place.app().test_client()
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str) -> TestResponse:
        """GET."""
        return self.client.get(path, headers=self.headers)

    def post(self, path: str, body: Any = None) -> TestResponse:
        """POST with JSON, or bytes."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.client.post(path, data=data, headers=self.headers)


@pytest.fixture
def program(place: Place) -> Program:
    return Program(place)


@pytest.mark.parametrize(
    "path", ["/api/apps", "/api/apps/blog", "/api/deliveries", "/api/deployments/1", "/api/deployments/1/log"]
)
@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {hash_token(TOKEN)}", "Bearer ü"]
)
def test_without_a_token_nothing_is_said(place: Place, path: str, header: str) -> None:
    """401 and one sentence, whether what was asked for exists or not; the hash itself is no token."""
    answer = place.app().test_client().get(path, headers={"Authorization": header})
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
    assert list(answer.get_json()) == ["error"]


def test_a_browsers_cookie_counts_for_nothing(place: Place) -> None:
    """So that no other site can use the API through somebody's browser."""
    visitor = Visitor(place.app())
    visitor.log_in()
    assert visitor.get("/api/apps").status_code == 401
    assert visitor.client.post("/api/apps/blog/deploy").status_code == 401


def test_trying_tokens_is_slowed_down(place: Place) -> None:
    """After eight wrong ones even the right one has to wait; requests without any do not count."""
    program = Program(place, "wrong")
    assert [program.client.get("/api/apps").status_code for _ in range(20)] == [401] * 20
    assert [program.get("/api/apps").status_code for _ in range(8)] == [401] * 8
    program.headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = program.get("/api/apps")
    assert answer.status_code == 429 and 1 <= int(answer.headers["Retry-After"]) <= 60


def test_each_token_has_its_owners_name(place: Place) -> None:
    """A new one works by the hash that is printed with it."""
    assert place.config.login is not None
    known = place.config.login.tokens
    token, hashed = new_token()
    assert owner_of(TOKEN, known) == "laptop" and owner_of(token, known) == "" and owner_of("", known) == ""
    assert hash_token(token) == hashed


def test_apps_say_what_is_live(place: Place, program: Program) -> None:
    """With the job that runs and those that wait, the last one, and what the probe saw."""
    place.see_worker()
    place.deployed("blog", "b" * 40, "20261122T190300Z-bbbbbbb", result=result())
    place.deliver("blog", commit="c" * 40)
    place.run("blog")
    told = program.get("/api/apps").get_json()
    blog, site = told["apps"]
    assert (blog["name"], blog["state"], blog["repository"]) == ("blog", "running", "octo/blog")
    assert blog["live"]["commit"] == "b" * 40 and blog["live"]["release"] == "20261122T190300Z-bbbbbbb"
    assert blog["probe"]["dropped"] == 0 and blog["running"]["id"] == 2 and blog["last"]["id"] == 1
    assert (site["state"], site["live"], site["waiting"]) == ("nothing", None, [])
    assert told["warnings"] == []


def test_an_app_has_its_releases(place: Place, program: Program) -> None:
    """Newest first, with the live one marked."""
    for number in range(2):
        place.deployed("blog", f"{number:040x}", f"20261122T19030{number}Z-{number:07x}")
    told = program.get("/api/apps/blog").get_json()["releases"]
    assert [(each["release"], each["live"], each["job"]) for each in told] == [
        ("20261122T190301Z-0000001", True, 2),
        ("20261122T190300Z-0000000", False, 1),
    ]
    assert program.get("/api/apps/nothing").status_code == 404


def test_lists_are_paged_by_key(place: Place, program: Program) -> None:
    """`next` is what `before` is in the following question, until it is null."""
    guids = [place.deliver(commit=f"{number:040x}", ignored="no")[0] for number in range(7)]
    seen, path = [], "/api/deliveries?limit=3"
    while path:
        told = program.get(path).get_json()
        seen += [each["guid"] for each in told["deliveries"]]
        path = f"/api/deliveries?limit=3&before={told['next']}" if told["next"] else ""
    assert seen == guids[::-1]
    assert told["deliveries"][-1]["apps"] == [{"app": "blog", "verdict": "ignored", "reason": "no", "job": 0}]


def test_deployments_can_be_those_of_one_app(place: Place, program: Program) -> None:
    """Newest first."""
    for app in ("blog", "site", "blog"):
        place.deployed(app, "b" * 40, "20261122T190300Z-bbbbbbb")
    assert [each["id"] for each in program.get("/api/deployments").get_json()["deployments"]] == [3, 2, 1]
    assert [each["id"] for each in program.get("/api/deployments?app=blog").get_json()["deployments"]] == [3, 1]


@pytest.mark.parametrize("query", ["before=x", "limit=-1", "before=1.5", "limit=" + "9" * 30])
def test_a_number_that_is_none_is_refused(program: Program, query: str) -> None:
    """In one sentence."""
    answer = program.get(f"/api/deliveries?{query}")
    assert answer.status_code == 400 and "is not a number" in answer.get_json()["error"]


def test_a_delivery_leads_to_its_job_and_back(place: Place, program: Program) -> None:
    """Its fate for each app names the job, and the job names its deliveries and has the deploy's whole result."""
    guid, number = place.deliver("blog", commit="c" * 40)
    place.end(place.run(), commit="c" * 40, release="20261122T190300Z-ccccccc", result=result())
    told = program.get(f"/api/deliveries/{guid}").get_json()
    assert told["apps"] == [{"app": "blog", "verdict": "queued", "reason": "", "job": number}]
    job = program.get(f"/api/deployments/{number}").get_json()
    assert job["deliveries"] == [guid] and job["status"] == "succeeded" and job["result"]["files_total"] == 1532
    assert job["url"] == f"/deployments/{number}"
    assert program.get("/api/deliveries/nothing").status_code == program.get("/api/deployments/99").status_code == 404


def test_a_log_is_lines_of_json(place: Place, program: Program) -> None:
    """As they were written, each with the position behind it, from which the rest can be asked for."""
    job = place.deployed("blog", "b" * 40, "20261122T190300Z-bbbbbbb")
    log = place.log(job.id)
    for number in range(10_000):
        log.write("output", f"line {number} \x1b[1m\u202e")
    log.close()
    answer = program.get(f"/api/deployments/{job.id}/log")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.mimetype == "application/x-ndjson" and len(lines) == 10_000
    assert lines[7]["text"] == "line 7 \x1b[1m\u202e" and lines[7]["kind"] == "output"
    rest = program.get(f"/api/deployments/{job.id}/log?from={lines[9_989]['position']}").text.splitlines()
    assert [json.loads(line)["text"].split(" \x1b")[0] for line in rest] == [f"line {n}" for n in range(9_990, 10_000)]


def test_a_deploy_can_be_asked_for(place: Place, program: Program) -> None:
    """Of the app's usual ref or of one that fits; it is forced, says who asked, and wakes the worker."""
    alarm = Alarm(place.config.state, "here-1")
    answer = program.post("/api/apps/blog/deploy")
    assert answer.status_code == 202
    job = place.job(answer.get_json()["id"])
    assert (job.app, job.ref, job.kind, job.source) == ("blog", "refs/heads/main", "deploy", Source.MANUAL)
    assert (job.forced, job.requested_by, job.status) == (True, "laptop", Status.WAITING)
    assert select.select([alarm], [], [], 10)[0] == [alarm]
    alarm.close()
    answer = program.post("/api/apps/blog/deploy", {"ref": "refs/tags/v1.2"})
    assert answer.get_json()["ref"] == "refs/tags/v1.2"


@pytest.mark.parametrize(
    "ref",
    ["refs/heads/other", "main", "--upload-pack=x", "refs/heads/main\n", "refs/heads/main;id", "refs/tags/v1/../x"],
)
def test_a_ref_that_a_push_may_not_deploy_cannot_be_asked_for(place: Place, program: Program, ref: str) -> None:
    """A token is no way round the app's patterns."""
    answer = program.post("/api/apps/blog/deploy", {"ref": ref})
    assert answer.status_code == 400 and "none of those" in answer.get_json()["error"]
    assert program.get("/api/deployments").get_json()["deployments"] == []


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"x"', b'{"ref": 7}', b'{"branch": "main"}', b"\xff", b"[" * 5_000, b'{"ref": null}']
)
def test_a_body_that_makes_no_sense_is_refused(program: Program, body: bytes) -> None:
    """400 and one sentence, without a word of what was sent."""
    answer = program.post("/api/apps/blog/deploy", body)
    assert answer.status_code == 400 and list(answer.get_json()) == ["error"]


def test_a_huge_body_is_refused(program: Program) -> None:
    """A wish is short."""
    assert program.post("/api/apps/blog/deploy", b" " * 100_000).status_code == 413


def test_an_app_with_only_patterns_needs_a_ref(tmp_path: Path) -> None:
    """There is no usual one to guess."""
    apps = '[apps.tags]\nrepository = "octo/tags"\nconfig = "deploy.toml"\nsecrets = [{ file = "secret" }]\n'
    apps += 'refs = ["refs/tags/*"]\n'
    program = Program(Place(tmp_path, apps=apps))
    assert program.post("/api/apps/tags/deploy").status_code == 400
    assert program.post("/api/apps/tags/deploy", {"ref": "refs/tags/v1"}).status_code == 202


def test_a_rollback_can_be_asked_for(place: Place, program: Program) -> None:
    """To a release, or to the one before; what is no release's name never reaches the queue."""
    answer = program.post("/api/apps/blog/rollback", {"release": "20261122T190300Z-bbbbbbb"})
    job = place.job(answer.get_json()["id"])
    assert (answer.status_code, job.kind, job.target, job.ref) == (202, "rollback", "20261122T190300Z-bbbbbbb", "")
    assert program.post("/api/apps/blog/rollback", {"release": "../../etc"}).status_code == 400
    assert program.post("/api/apps/blog/rollback", {"release": "--help"}).status_code == 400
    assert program.post("/api/apps/nothing/rollback").status_code == 404
    assert place.job(program.post("/api/apps/site/rollback").get_json()["id"]).target == ""


def test_what_waits_can_be_cancelled(place: Place, program: Program) -> None:
    """By name of who did it; what has begun goes on."""
    _, number = place.deliver("blog")
    told = program.post(f"/api/deployments/{number}/cancel").get_json()
    assert (told["status"], told["error"]) == ("cancelled", "cancelled by laptop")
    _, number = place.deliver("blog", commit="d" * 40)
    place.run()
    answer = program.post(f"/api/deployments/{number}/cancel")
    assert answer.status_code == 409 and "only what waits" in answer.get_json()["error"]
    assert program.post("/api/deployments/99/cancel").status_code == 404


@pytest.mark.parametrize(("method", "path", "code"), [("GET", "/api/nothing", 404), ("DELETE", "/api/apps", 405)])
def test_every_refusal_is_one_sentence_of_json(program: Program, method: str, path: str, code: int) -> None:
    """Also where no route is."""
    answer = program.client.open(path, method=method, headers=program.headers)
    assert answer.status_code == code and list(answer.get_json()) == ["error"]


def test_the_document_names_every_route_and_every_key(place: Place, program: Program) -> None:
    """docs/receiver-api.md has all that the API has, and nothing that it has not."""
    text = DOCUMENT.read_text("utf-8")
    rules = {
        f"{method} {re.sub('<[^>]*?name>', 'NAME', re.sub('<int:number>', 'ID', re.sub('<guid>', 'GUID', rule.rule)))}"
        for rule in place.app().url_map.iter_rules()
        for method in (rule.methods or set()) & {"GET", "POST"}
        if rule.rule.startswith("/api/")
    }
    assert set(re.findall(r"`((?:GET|POST) /api/[^` ?]+)", text)) == rules
    guid, number = place.deliver("blog")
    keys: set[str] = set()
    for path in ("/api/apps", "/api/apps/blog", f"/api/deliveries/{guid}", f"/api/deployments/{number}"):
        keys |= set(re.findall(r'"(\w+)":', program.get(path).text))
    assert {key for key in keys if f"`{key}`" not in text and f'"{key}"' not in text} == set()
