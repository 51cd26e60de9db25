"""Which deliveries are asked for again, and which heads are deployed: the rules alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.catchup.choosing import MOST_TIMES, is_missed, lost, refs_of_interest
from receiver.config import Artifact
from receiver.github import Attempt
from receiver.store import Head, Job, Source, Status
from tests.receiver.hub_settings import an_app

OLD, NEW = "1" * 40, "2" * 40
MAIN = "refs/heads/main"


def attempt(number: int, guid: str, status: int, at: float = 1000.0, *, again: bool = False) -> Attempt:
    return Attempt(number, guid, datetime.fromtimestamp(at, UTC), status, again)


def chosen(*attempts: Attempt, since: float = 0.0, asked: dict[str, int] | None = None, known: str = "") -> list[int]:
    return [each.id for each in lost(attempts, since, asked or {}, known.split().__contains__)]


@pytest.mark.parametrize("status", [0, 301, 400, 401, 404, 429, 500, 502, 503, 504])
def test_what_failed_is_asked_for_again(status: int) -> None:
    """Whatever the answer was, if it was none of 200 to 299."""
    assert chosen(attempt(1, "a", status), attempt(2, "b", 202), attempt(3, "c", 200), attempt(4, "d", 299)) == [1]


def test_the_newest_attempt_decides() -> None:
    """One delivery may have several, with one guid, in whatever order GitHub lists them."""
    failed, repeated = attempt(1, "a", 502, 1000), attempt(2, "a", 202, 1060, again=True)
    assert chosen(failed, repeated) == chosen(repeated, failed) == []
    again = attempt(3, "a", 503, 1120, again=True)
    assert chosen(again, failed, repeated) == [3]
    assert chosen(attempt(4, "b", 500, 900), again, failed) == [4, 3]


def test_what_has_arrived_is_not_asked_for() -> None:
    """GitHub may only have missed the answer."""
    assert chosen(attempt(1, "a", 504), attempt(2, "b", 504), known="a") == [2]


def test_what_is_too_old_is_left_alone() -> None:
    """It was looked at before, or GitHub no longer has it."""
    assert chosen(attempt(1, "a", 504, 999), attempt(2, "b", 504, 1000), since=1000) == [2]


def test_nothing_is_asked_for_for_ever() -> None:
    """By our own count, and by the attempts that GitHub lists."""
    assert chosen(attempt(1, "a", 401), asked={"a": MOST_TIMES}) == []
    assert chosen(attempt(1, "a", 401), asked={"a": MOST_TIMES - 1}) == [1]
    repeated = [attempt(number, "a", 401, 1000 + number, again=number > 0) for number in range(MOST_TIMES)]
    assert chosen(*repeated) == [MOST_TIMES - 1]
    assert chosen(*repeated, attempt(9, "a", 401, 2000, again=True)) == []


@given(
    st.lists(
        st.builds(
            attempt,
            st.integers(1, 50),
            st.sampled_from("abcd"),
            st.sampled_from([0, 200, 202, 500]),
            st.integers(0, 20).map(float),
            again=st.booleans(),
        ),
        unique_by=lambda each: each.id,
    )
)
def test_each_delivery_is_asked_for_once_at_most(attempts: list[Attempt]) -> None:
    """In one round, whatever GitHub lists; and only one that has failed."""
    found = lost(attempts, 0, {}, lambda _guid: False)
    assert len({each.guid for each in found}) == len(found)
    assert all(each.failed for each in found)
    assert lost(list(reversed(attempts)), 0, {}, lambda _guid: False) == found


def head(ref: str, commit: str = OLD, status: Status = Status.SUCCEEDED) -> Head:
    return Head("blog", ref, commit, status, 1, 0.0)


def test_the_refs_that_are_compared() -> None:
    """Those with an exact name, and branches that a pattern has brought before and still fits."""
    app = an_app(refs=("refs/heads/main", "refs/heads/release/*", "refs/tags/live", "refs/tags/v*"))
    known = [
        head(f"refs/{name}") for name in ("heads/release/1", "heads/main", "heads/gone", "tags/v1", "heads/release/2/x")
    ]
    assert refs_of_interest(app, []) == ("refs/heads/main", "refs/tags/live")
    assert refs_of_interest(app, known) == ("refs/heads/main", "refs/tags/live", "refs/heads/release/1")
    many = [head(f"refs/heads/release/{number}") for number in range(99)]
    assert len(refs_of_interest(app, many)) < 30


@pytest.mark.parametrize(
    "changes",
    [
        {"events": ("deployment",)},
        {"events": ("release",)},
        {"events": ("push", "workflow_run"), "artifact": Artifact(workflow="build.yml", name="site")},
    ],
)
def test_apps_that_no_push_deploys_have_no_heads(changes: dict[str, Any]) -> None:
    """A branch that moves on is no reason to deploy where only a release, a Deployment or a build is one."""
    assert refs_of_interest(an_app(**changes), [head(MAIN)]) == ()


JOB = Job(
    id=1, app="blog", kind="deploy", ref=MAIN, hint=OLD, source=Source.PUSH, forced=False, run_id=0, target="",
    requested_by="", status=Status.SUCCEEDED, created_at=0.0, due_at=0.0, started_at=0.0, finished_at=0.0, attempt=1,
    fence=1, owner="", lease_until=0.0, commit=OLD, release="", exit_code=0, error="", result="",
)  # fmt: skip


def test_a_head_that_nobody_has_dealt_with_is_missed() -> None:
    """On a fresh receiver every head is; a branch that is gone is none."""
    assert is_missed(NEW, MAIN, [], [])
    assert is_missed(NEW, MAIN, [head(MAIN, OLD)], [JOB])
    assert is_missed(NEW, MAIN, [head("refs/heads/other", NEW)], [replace(JOB, ref="refs/heads/other", hint=NEW)])
    assert not is_missed("", MAIN, [], [])


@pytest.mark.parametrize("status", [status for status in Status if status.over])
def test_what_was_settled_stays_settled(status: Status) -> None:
    """However it ended: catch-up tries nothing again."""
    assert not is_missed(NEW, MAIN, [head(MAIN, NEW, status)], [])


@pytest.mark.parametrize("status", list(Status))
def test_a_job_for_the_commit_is_enough(status: Status) -> None:
    """One that was cancelled, or failed before it knew its commit, too: no head says so."""
    assert not is_missed(NEW, MAIN, [], [replace(JOB, status=status, hint=NEW, commit="")])
    assert not is_missed(NEW, MAIN, [], [replace(JOB, status=status, hint=OLD, commit=NEW)])


def test_a_job_that_waits_takes_the_head_by_itself() -> None:
    """It looks where the branch is when it starts; one that runs has looked already, and a rollback never does."""
    assert not is_missed(NEW, MAIN, [], [replace(JOB, status=Status.WAITING)])
    assert is_missed(NEW, MAIN, [], [replace(JOB, status=Status.RUNNING, commit="")])
    assert is_missed(NEW, MAIN, [], [replace(JOB, status=Status.WAITING, kind="rollback", ref="")])
