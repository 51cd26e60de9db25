"""The endpoint of a real ``receiver serve``, asked over TCP."""

from __future__ import annotations

import http.client
import json
import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from deployer.secret import Secret
from receiver.hooks import sign
from tests.conftest import need
from tests.github import NODE_MODULES
from tests.receiver.program import SECRET, Receiver, push

SIGNER = Path(__file__).parents[1] / "node" / "sign.mjs"


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with Receiver(tmp_path_factory.mktemp("receiver")) as server:
        yield server


def rows(receiver: Receiver, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(receiver.state / "receiver.db") as connection:
        return connection.execute(query).fetchall()


def test_a_push_is_on_disk_when_it_is_answered(receiver: Receiver) -> None:
    """202, what became of it, and the row that another process sees."""
    answer = receiver.deliver(push(), guid="first-push")
    assert answer.status == 202
    (fate,) = answer.json["apps"]
    assert answer.json["delivery"] == "first-push" and (fate["app"], fate["verdict"]) == ("blog", "queued")
    assert rows(receiver, "SELECT event, repository, ref FROM deliveries WHERE guid = 'first-push'") == [
        ("push", "octo/blog", "refs/heads/main")
    ]


def test_a_form_counts_like_json(receiver: Receiver) -> None:
    """GitHub offers both content types; the signature is over what was sent."""
    body = urlencode({"payload": json.dumps(push(after="c" * 40))}).encode()
    answer = receiver.deliver(body, Content_Type="application/x-www-form-urlencoded")
    assert answer.status == 202 and answer.json["apps"][0]["app"] == "blog"


@pytest.mark.parametrize(
    "body", [b"", b"payload", b"payload=%ff", b"payload={}&payload={}", b"other=1", b"payload=\xff"]
)
def test_a_form_without_its_field_is_refused(receiver: Receiver, body: bytes) -> None:
    """One field called payload, in UTF-8."""
    assert receiver.deliver(body, Content_Type="application/x-www-form-urlencoded").status == 400


def test_nothing_is_said_before_the_signature_is_right(receiver: Receiver) -> None:
    """Whatever else is wrong, or right, the answer is the same; nothing is stored."""
    before = rows(receiver, "SELECT count(*) FROM deliveries")
    bad = [
        receiver.deliver(push(), secret="wrong"),
        receiver.deliver(b"{", secret="wrong"),
        receiver.deliver(push("nobody/knows"), "never_heard_of", secret="wrong"),
        receiver.deliver(push(), X_Hub_Signature_256="sha256=\xe9"),
        receiver.deliver(push(), X_Hub_Signature_256="sha1=" + "0" * 40),
        receiver.request("POST", "/hooks/github", b""),
    ]
    assert {(answer.status, answer.body) for answer in bad} == {(401, bad[0].body)}
    assert rows(receiver, "SELECT count(*) FROM deliveries") == before


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        (push(), "release"),
        (b"{", "push"),
        (b"[" * 100_000, "push"),
        (b"\xff", "push"),
        (push(ref="x"), "push"),
        (push(), "pu sh"),
    ],
)
def test_what_is_signed_and_malformed_is_refused(receiver: Receiver, payload: object, event: str) -> None:
    """400 with a sentence: GitHub shows it in its list of deliveries."""
    answer = receiver.deliver(payload, event)
    assert answer.status == 400 and answer.json["error"]


def test_what_nobody_wants_is_recorded_and_ignored(receiver: Receiver) -> None:
    """Unknown repositories, refs and events are 202: GitHub did nothing wrong."""
    star = {"action": "created", "repository": {"full_name": "octo/blog"}}
    answers = {
        "repository": receiver.deliver(push("octo/other"), guid="n1"),
        "ref": receiver.deliver(push(ref="refs/heads/dev"), guid="n2"),
        "event": receiver.deliver(star, "star", guid="n3"),
        "ping": receiver.deliver({"zen": "Keep it logically awesome.", "hook_id": 1}, "ping", guid="n4"),
    }
    assert {answer.status for answer in answers.values()} == {202}
    assert not any(fate["job"] for answer in answers.values() for fate in answer.json["apps"])
    assert rows(receiver, "SELECT count(*) FROM deliveries WHERE guid IN ('n1', 'n2', 'n3', 'n4')") == [(4,)]


def test_a_hundred_identical_deliveries_at_once_are_one_job(receiver: Receiver) -> None:
    """All are answered, one queued it."""
    event = push(after="d" * 40, ref="refs/heads/main", note="identical")
    answers: list[tuple[int, str]] = []

    def send() -> None:
        answer = receiver.deliver(event, guid="identical")
        answers.append((answer.status, answer.json["apps"][0]["verdict"]))

    threads = [threading.Thread(target=send) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Counter(answers) == {(202, "queued"): 1, (202, "repeated"): 99}


def test_too_much_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A sized body by its size alone; a chunked one as soon as it is too long."""
    with Receiver(tmp_path, top="largest_delivery = 2048") as small:
        assert small.deliver(b"x" * 3_000).status == 413
        promised = small.request("POST", "/hooks/github", headers={"Content-Length": "99999999"})
        assert promised.status == 413
        assert small.request("POST", "/hooks/github", headers={"Content-Length": "-1"}).status == 400
        endless = (b"x" * 1024 for _ in range(1_000))
        connection = http.client.HTTPConnection("127.0.0.1", small.port, timeout=30)
        try:
            connection.request(
                "POST", "/hooks/github", endless, encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
            )
            assert connection.getresponse().status == 413
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was cut while it still sent, which is as good
        finally:
            connection.close()
        chunked = json.dumps(push()).encode()
        signed = {
            "X-Hub-Signature-256": sign(Secret(SECRET), chunked),
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": "c",
        }
        connection = http.client.HTTPConnection("127.0.0.1", small.port, timeout=30)
        kind = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        connection.request(
            "POST", "/hooks/github", iter([chunked[:10], chunked[10:]]), signed | kind, encode_chunked=True
        )
        assert connection.getresponse().status == 202


def test_who_fails_too_often_waits_and_others_do_not(tmp_path: Path) -> None:
    """Thirty wrong signatures a minute from one address; another one behind the same trusted proxy is served."""
    with Receiver(tmp_path, top='trusted_proxies = ["127.0.0.1/32"]') as server:
        bad = [server.deliver(push(), secret="wrong", X_Forwarded_For="203.0.113.9") for _ in range(40)]
        codes = Counter(answer.status for answer in bad)
        assert codes[401] in range(30, 33) and codes[429] == 40 - codes[401]
        assert int(bad[-1].headers["Retry-After"]) >= 1
        assert server.deliver(push(), X_Forwarded_For="203.0.113.9").status == 429
        assert server.deliver(push(), X_Forwarded_For="203.0.113.10").status == 202


def test_only_allowed_networks_deliver(tmp_path: Path) -> None:
    """Behind a trusted proxy its word counts; what the client itself puts there does not."""
    settings = 'trusted_proxies = ["127.0.0.1/32"]\nallow = ["192.30.252.0/22", "github"]'
    with Receiver(tmp_path, top=settings) as server:
        codes = {
            forwarded: server.deliver(push(), X_Forwarded_For=forwarded).status
            for forwarded in ("192.30.252.1", "203.0.113.9", "192.30.252.1, 203.0.113.9", "nonsense", "2001:db8::1")
        }
        assert list(codes.values()) == [202, 403, 403, 403, 403]
        assert server.deliver(push()).status == 403
        with sqlite3.connect(server.state / "receiver.db") as connection:
            connection.execute("INSERT INTO facts VALUES ('github_hooks', '[\"2001:db8::/32\"]')")
    with server:
        assert server.deliver(push(), X_Forwarded_For="2001:db8::1").status == 202


def test_every_example_of_github_signed_by_octokit_is_taken(receiver: Receiver) -> None:
    """All payloads that GitHub's own examples show, with the signature that GitHub's own library makes."""
    node = need("node", "to sign with GitHub's own library")
    need(
        "npm's packages",
        "GitHub's examples of payloads",
        present=(NODE_MODULES / "@octokit/webhooks-examples").is_dir(),
    )
    done = subprocess.run(
        [node, "--input-type=module", "-"], input=SIGNER.read_bytes(), env={"SECRET": SECRET, "PATH": "/usr/bin:/bin"},
        cwd=NODE_MODULES.parent, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    examples = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(examples) >= 250
    for number, example in enumerate(examples):
        answer = receiver.deliver(
            example["body"].encode(),
            example["name"],
            guid=f"example-{number}",
            X_Hub_Signature_256=example["signature"],
        )
        assert answer.status == 202, (example["name"], answer.body)
    stored = rows(receiver, "SELECT count(*) FROM deliveries WHERE guid LIKE 'example-%'")
    assert stored == [(len(examples),)]
