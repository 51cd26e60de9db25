"""Signatures, events and decisions as pure functions."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployer.secret import Secret
from receiver.config import App, Artifact, SecretSource
from receiver.hooks import Event, Ignored, MalformedPayload, Wanted, decide, owners_of, parse_event, sign
from tests.receiver.program import SECRET, push

COMMIT = "b" * 40
VECTOR = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def app(**more: Any) -> App:
    return App(**{"repository": "octo/blog", "config": "x", "secrets": (SecretSource(env="S"),)} | more)


def parsed(name: str, payload: object) -> Event:
    return parse_event(name, json.dumps(payload).encode())


def run_event(**more: object) -> dict[str, object]:
    run = {
        "id": 7, "event": "push", "path": ".github/workflows/build.yml@refs/heads/main", "head_sha": COMMIT,
        "conclusion": "success", "head_branch": "main", "head_repository": {"full_name": "octo/blog"},
        "repository": {"full_name": "octo/blog"},
    }  # fmt: skip
    return {"action": "completed", "workflow_run": run | more, "repository": {"full_name": "octo/blog"}}


def test_documented_vector() -> None:
    """GitHub's own example: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries"""
    assert sign(Secret(SECRET), b"Hello, World!") == VECTOR
    assert owners_of(b"Hello, World!", VECTOR.encode(), {"blog": (Secret(SECRET),)}) == {"blog"}


def test_each_of_several_secrets_counts_and_says_whose_it_is() -> None:
    """While a secret is changed, old and new ones are believed; another app's secret speaks for that app only."""
    secrets = {"blog": (Secret("new"), Secret("old")), "shop": (Secret("shop"),), "both": (Secret("old"),)}
    signed = {name: sign(Secret(name), b"x").encode() for name in ("new", "old", "shop", "none")}
    found = {name: owners_of(b"x", signature, secrets) for name, signature in signed.items()}
    assert found == {"new": {"blog"}, "old": {"blog", "both"}, "shop": {"shop"}, "none": frozenset()}


@pytest.mark.parametrize(
    "signature",
    [b"", b"sha256=", b"sha1=" + b"0" * 40, VECTOR.encode()[:-1], VECTOR.upper().encode(), "sha256=é".encode()],
)
def test_a_wrong_signature_is_nobodys(signature: bytes) -> None:
    """Missing, short, of another algorithm, in capitals or not ASCII: wrong, and no error."""
    assert owners_of(b"Hello, World!", signature, {"blog": (Secret(SECRET),)}) == frozenset()


def test_an_empty_secret_signs_nothing() -> None:
    """Whoever signs with nothing is nobody, even if a secret were empty."""
    assert owners_of(b"x", sign(Secret(""), b"x").encode(), {"blog": (Secret(""),)}) == frozenset()


@settings(deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=80))
def test_no_signature_is_an_error(body: bytes, signature: bytes) -> None:
    """Whatever the header holds."""
    assert owners_of(body, signature, {"blog": (Secret(SECRET),)}) == frozenset()


def test_what_counts_of_a_push() -> None:
    """Ref and commit; the rest of the payload is not looked at."""
    found = parsed("push", push(commits=[{"message": "$(reboot)"}]))
    assert (found.repository, found.ref, found.commit, found.obstacle) == ("octo/blog", "refs/heads/main", COMMIT, "")


@pytest.mark.parametrize(
    "ref",
    ["refs/heads/$(id)", "refs/heads/--upload-pack=x", "refs/heads/;reboot", "refs/heads/a'b\"c`d`", "refs/tags/ü"],
)
def test_names_that_git_allows_are_kept_as_they_are(ref: str) -> None:
    """They are texts, and nothing makes more of them."""
    assert parsed("push", push(ref=ref)).ref == ref


@pytest.mark.parametrize(
    "ref",
    ["main", "refs/heads/", "refs/heads/a..b", "refs/heads/a b", "refs/heads/a\nb", "refs/heads/a.lock", "refs/pull/1/head",
     "refs/heads/" + "x" * 2_000, "--help", "refs/heads/a\x00b", "refs/heads/../../etc"],
)  # fmt: skip
def test_names_that_git_refuses_are_refused(ref: str) -> None:
    """No branch or tag has such a name."""
    with pytest.raises(MalformedPayload, match="ref is no branch or tag"):
        parsed("push", push(ref=ref))


def test_a_deleted_branch_deploys_nothing() -> None:
    """Neither by its flag nor by a commit of zeros."""
    for event in (push(deleted=True), push(after="0" * 40)):
        assert decide(app(), parsed("push", event)) == Ignored("the ref was deleted")


@pytest.mark.parametrize("name", ["release", "workflow_run", "deployment", "ping"])
def test_a_payload_under_another_events_name_is_refused(name: str) -> None:
    """The name is not signed: the shape must match it."""
    with pytest.raises(MalformedPayload, match=f"no {name} event"):
        parsed(name, push())


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b'{"ref": "\xff"}', b"[" * 100_000, b'{"a":' * 50_000],
)
def test_what_is_no_event_is_malformed(body: bytes) -> None:
    """Truncated, nested without end, not UTF-8 or no object."""
    for name in ("push", "ping", "never_heard_of"):
        with pytest.raises(MalformedPayload):
            parse_event(name, body)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(
    st.sampled_from(["push", "release", "workflow_run", "deployment", "ping", "star"]),
    st.dictionaries(
        st.sampled_from(["ref", "after", "before", "deleted", "repository", "action", "release", "hook_id"]), _json
    ),
)
def test_any_json_is_an_event_or_malformed(name: str, payload: dict[str, Any]) -> None:
    """Nothing else comes out, and what comes out is checked."""
    with contextlib.suppress(MalformedPayload):
        event = parsed(name, payload)
        assert event.ref.isprintable() and len(event.commit) in {0, 40, 64}


def test_a_release_deploys_its_tag_once_it_is_published() -> None:
    """Drafts and later changes of a release do not."""
    event = {
        "action": "published",
        "release": {"tag_name": "v1.2", "draft": False},
        "repository": {"full_name": "octo/blog"},
    }
    listening = app(events=("release",), refs=("refs/tags/v*",))
    assert decide(listening, parsed("release", event)) == Wanted("refs/tags/v1.2", "")
    for more in ({"action": "edited"}, {"release": {"tag_name": "v1.2", "draft": True}}):
        assert isinstance(decide(listening, parsed("release", event | more)), Ignored)


def test_a_successful_run_of_the_configured_workflow_is_wanted() -> None:
    """With its number, by which its artifact is found."""
    listening = app(events=("workflow_run",), artifact=Artifact(workflow="build.yml", name="site"))
    assert decide(listening, parsed("workflow_run", run_event())) == Wanted("refs/heads/main", COMMIT, 7)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"head_repository": {"full_name": "evil/blog"}}, "another repository, such as a fork"),
        ({"head_repository": None}, "another repository, such as a fork"),
        ({"conclusion": "failure"}, "no success"),
        ({"conclusion": None}, "no success"),
        ({"event": "pull_request"}, "not started by a push"),
        ({"event": "pull_request_target"}, "not started by a push"),
        ({"event": "workflow_dispatch"}, "not started by a push"),
        ({"path": ".github/workflows/other.yml"}, "another workflow"),
        ({"path": "evil/build.yml/other.yml"}, "another workflow"),
        ({"head_branch": "dev"}, "no pattern"),
    ],
)
def test_other_runs_are_ignored(change: dict[str, object], reason: str) -> None:
    """Above all a fork's, whose code is somebody else's."""
    listening = app(events=("workflow_run",), artifact=Artifact(workflow="build.yml", name="site"))
    verdict = decide(listening, parsed("workflow_run", run_event(**change)))
    assert isinstance(verdict, Ignored) and reason in verdict.reason


def test_deployers_own_deployments_start_nothing() -> None:
    """Else each deploy would start the next one; somebody's with the task `deploy` is carried out."""
    listening = app(events=("deployment",))
    facts = {"ref": "main", "sha": COMMIT, "task": "deploy"}
    event = {"action": "created", "deployment": facts, "repository": {"full_name": "octo/blog"}}
    assert decide(listening, parsed("deployment", event)) == Wanted("refs/heads/main", COMMIT)
    own = event | {"deployment": facts | {"task": "deploy:blog"}}
    assert isinstance(decide(listening, parsed("deployment", own)), Ignored)


@pytest.mark.parametrize(
    ("pattern", "ref", "fits"),
    [
        ("refs/heads/main", "refs/heads/main", True), ("refs/heads/main", "refs/heads/main2", False),
        ("refs/tags/v*", "refs/tags/v1.2", True), ("refs/heads/*", "refs/heads/a/b", False),
        ("refs/heads/**", "refs/heads/a/b", True), ("refs/tags/v?", "refs/tags/v12", False),
        ("refs/heads/a.c", "refs/heads/abc", False), ("refs/heads/[ab]", "refs/heads/a", False),
    ],
)  # fmt: skip
def test_patterns_are_those_of_workflow_filters(pattern: str, ref: str, fits: bool) -> None:
    """A star stops at slashes, two do not, and nothing else has a meaning."""
    event = Event("push", "octo/blog", ref=ref, commit=COMMIT)
    assert isinstance(decide(app(refs=(pattern,)), event), Wanted) is fits


def test_other_events_and_repositories_are_ignored_with_a_reason() -> None:
    """The reason is what the dashboard shows."""
    assert decide(app(events=("release",)), parsed("push", push())) == Ignored("the app does not listen to push")
    assert decide(app(), parsed("push", push("octo/other"))) == Ignored("another repository's event")
    assert decide(app(), parsed("push", push("OCTO/Blog"))) == Wanted("refs/heads/main", COMMIT)
    assert decide(app(), parsed("star", {"repository": {"full_name": "octo/blog"}})) == Ignored(
        "events of this name are not known"
    )
