"""How the commands' ends and answers read."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from deployer.errors import DeployerError, DeployFailed
from deployer.reporting import (
    print_error,
    print_host,
    print_logs,
    print_outcome,
    print_plan,
    print_releases,
    print_status,
    print_unseen,
)

DEPLOYED: dict[str, Any] = {
    "app": "modern-cpp",
    "strategy": "static",
    "environment": "",
    "hosts": ["deploy@example.org:22"],
    "release": "20261122T190300Z-7f247f9",
    "previous_release": "20261122T180000Z-1111111",
    "status": "deployed",
    "commit": "7f247f9",
    "url": "https://example.org/",
    "files_total": 1532,
    "files_uploaded": 12,
    "files_deleted": 1,
    "bytes_uploaded": 34567,
    "duration_seconds": 1.1,
    "steps": [{"name": "build", "seconds": 0.31}, {"name": "switch", "seconds": 0.012}],
    "probe": {"requests": 42, "dropped": 0, "p50_ms": 3.1, "p99_ms": 9.0, "longest_gap_ms": 61.2},
    "error": None,
}


def printed(function: Callable[..., None], *arguments: Any) -> str:
    stream = io.StringIO()
    function(*arguments[:1], stream, *arguments[1:])
    return stream.getvalue()


def test_outcome_of_a_deploy() -> None:
    """First what is live, then what changed, the steps, and what the probe saw, with its latency line."""
    assert printed(print_outcome, DEPLOYED, "▁▂█") == (
        "modern-cpp is live: 20261122T190300Z-7f247f9 in 1.1 s\n"
        "  files     1,532 in all, 12 uploaded, 1 deleted\n"
        "  sent      35 kB\n"
        "  replaces  20261122T180000Z-1111111\n"
        "  commit    7f247f9\n"
        "  host      deploy@example.org:22\n"
        "  url       https://example.org/\n"
        "  steps     build 0.3 s, switch 12 ms\n"
        "probe: 42 requests, 0 dropped, p50 3 ms, p99 9 ms, longest gap 61 ms\n"
        "latency: ▁▂█\n"
    )


@pytest.mark.parametrize(
    ("changes", "headline"),
    [
        (
            {"status": "unchanged"},
            "modern-cpp is unchanged: 20261122T190300Z-7f247f9 stays live; checked in 1.1 s",
        ),
        (
            {"status": "rolled_back", "error": "gate"},
            "modern-cpp was rolled back in 1.1 s: 20261122T180000Z-1111111 is live again, 20261122T190300Z-7f247f9 failed",
        ),
        ({"status": "rolled_back"}, "modern-cpp is rolled back: 20261122T190300Z-7f247f9 is live in 1.1 s"),
        ({"status": "failed"}, "modern-cpp: failed after 1.1 s"),
        ({"status": "planned"}, "modern-cpp was only planned: nothing was changed"),
    ],
)
def test_outcome_headlines(changes: dict[str, Any], headline: str) -> None:
    """Each status says in its first line what serves now, as far as it is known."""
    assert printed(print_outcome, DEPLOYED | changes).splitlines()[0] == headline


def test_outcome_with_little_known() -> None:
    """A deploy that failed early has no release, no files and no probe; its end still prints."""
    little: dict[str, Any] = {"app": "a", "status": "failed", "probe": None, "steps": [], "release": None, "hosts": []}
    assert printed(print_outcome, little) == "a: failed\n"
    nothing_answered = {"requests": 1, "dropped": 1, "p50_ms": None, "p99_ms": None, "longest_gap_ms": None}
    assert "probe: 1 request, 1 dropped\n" in printed(print_outcome, DEPLOYED | {"probe": nothing_answered})
    never_good = {"requests": 0, "dropped": 0}
    assert "probe: no answer was good" in printed(print_outcome, DEPLOYED | {"probe": never_good})


def test_outcome_leaves_out_what_did_not_happen() -> None:
    """A rollback sends nothing, so nothing is said of it; many steps are a few to a line."""
    quiet = {"files_uploaded": 0, "files_deleted": 0, "bytes_uploaded": 0, "commit": "", "hosts": ["a", "b"], "url": ""}
    steps = [{"name": f"s{number}", "seconds": number} for number in range(8)]
    lines = printed(print_outcome, DEPLOYED | quiet | {"status": "rolled_back", "steps": steps}).splitlines()
    assert lines[1:-1] == [
        "  files  1,532 in all",
        "  hosts  a, b",
        "  steps  s0 0 ms, s1 1.0 s, s2 2.0 s, s3 3.0 s, s4 4.0 s, s5 5.0 s",
        "         s6 6.0 s, s7 7.0 s",
    ]


def test_error_and_hint() -> None:
    """The message, then what to do, indented; texts from outside cannot steer the terminal."""
    error: DeployerError = DeployFailed("no space on host\x1b[2J", hint="free some\nthen run again")
    assert printed(print_error, error) == ("error: no space on host\\x1b[2J\n  free some\n  then run again\n")
    assert printed(print_error, DeployFailed("")) == "error: \n"


def test_releases() -> None:
    """The live release has an arrow; sizes and dates line up; no release is said in words."""
    releases = [
        {
            "release": "r2",
            "live": True,
            "commit": "abc",
            "files": 3,
            "bytes": 1234,
            "deployed_at": "19:03",
            "state": "",
        },
        {"release": "r1", "live": False, "commit": None, "files": 30000, "bytes": None, "state": "adopted"},
    ]
    assert printed(print_releases, releases).splitlines() == [
        "   release  state    deployed  commit   files    size",
        "→  r2       live     19:03     abc          3  1.2 kB",
        "   r1       adopted                    30,000",
    ]
    assert printed(print_releases, []) == "no releases yet\n"


def test_releases_of_a_rebuild() -> None:
    """Each service's image, by the beginning of its id; of what somebody has pruned, that it is gone."""
    new, old = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
    releases = [
        {"release": "r2", "live": True, "commit": "abc", "deployed_at": "19:03", "images": {"blog": new, "db": old}},
        {"release": "r1", "commit": "def", "state": "incomplete", "images": {"blog": old, "db": old}, "lost": ["blog"]},
    ]
    assert printed(print_releases, releases).splitlines() == [
        "   release  state       deployed  commit  images",
        "→  r2       live        19:03     abc     blog aaaaaaaaaaaa, db bbbbbbbbbbbb",
        "   r1       incomplete            def     blog (gone), db bbbbbbbbbbbb",
    ]


def test_status() -> None:
    """Everything that is known, one fact a line; a held lock names its owner and says whether it is stale."""
    status = {
        "app": "blog",
        "target": "/www/blog",
        "live_release": "r2",
        "last_deploy": {"release": "r2", "status": "deployed", "at": "19:03", "duration_seconds": 1.1},
        "lock": {"held": True, "owner": "ann@laptop", "since": "19:05", "stale": True},
        "free_bytes": 12 * 10**9,
        "health": {"ok": False, "status": 502, "milliseconds": 3, "url": "http://x/"},
        "interrupted": "a switch was cut short",
    }
    assert printed(print_status, status).splitlines() == [
        "blog",
        "  live         r2",
        "  target       /www/blog",
        "  last deploy  r2, deployed, 19:03, 1.1 s",
        "  lock         held by ann@laptop since 19:05, stale: the next run takes it",
        "  disk         12 GB free",
        "  health       failing, status 502, 3 ms, http://x/",
        "  interrupted  a switch was cut short",
    ]
    by = {"app": "a", "commit": "7f247f9", "last_deploy": {"release": "r2", "at": "19:03", "by": "ann since 19:03"}}
    assert printed(print_status, by).splitlines()[2:4] == [
        "  commit       7f247f9",
        "  last deploy  r2, by ann since 19:03",
    ]
    assert printed(print_status, {"app": "a", "lock": {"held": False}}).splitlines() == [
        "a",
        "  live  nothing yet",
        "  lock  free",
    ]


def test_plan() -> None:
    """Each file on one line whatever its name, then the sums, the steps with their effect, the warnings."""
    plan = {
        "changes": [
            {"action": "add", "path": "a\nb", "bytes": 12},
            {"action": "change", "path": b"\xff".decode("utf-8", "surrogateescape"), "bytes": 1000},
            {"action": "move", "path": "new", "from": "old", "bytes": 5},
            {"action": "remove", "path": "gone\x1b", "bytes": 7},
        ],
        "steps": [{"name": "upload", "summary": "send 2 files", "effect": "write"}],
        "warnings": ["a gap of 1.6 ms"],
    }
    assert printed(print_plan, plan).splitlines() == [
        "+ a\\nb  12 bytes",
        "~ \\xff  1.0 kB",
        "> new (from old)  5 bytes",
        "- gone\\x1b",
        "1 to add, 1 to change, 1 to remove, 1 to move (1.0 kB of new contents)",
        "",
        "step    effect  what",
        "upload  write   send 2 files",
        "warning: a gap of 1.6 ms",
    ]
    assert printed(print_plan, {}) == "no file changes\n"


def test_plan_of_a_rebuild() -> None:
    """Which commit takes the place of which release; without steps, that there is nothing to do."""
    plan = {"strategy": "rebuild", "commit": "7f247f9", "release": "r2", "previous_release": "r1"}
    steps = [{"name": "build", "summary": "make build", "effect": "write"}]
    assert printed(print_plan, plan | {"steps": steps}).splitlines() == [
        "commit 7f247f9 in place of r1",
        "",
        "step   effect  what",
        "build  write   make build",
    ]
    first = printed(print_plan, plan | {"previous_release": None, "steps": steps})
    assert first.startswith("commit 7f247f9, the first release\n")
    assert printed(print_plan, plan | {"release": "r1", "steps": []}) == "nothing to do: r1 is live\n"


@pytest.mark.parametrize(
    ("deploy", "said"),
    [
        ({"status": "undone", "error": "signal", "step": "build"}, "r2, undone, signal in build"),
        ({"status": "failed", "error": "failed", "step": "fetch"}, "r2, failed, in fetch"),
        ({"status": "deployed", "error": "", "step": ""}, "r2, deployed"),
    ],
)
def test_status_says_where_a_deploy_ended(deploy: dict[str, Any], said: str) -> None:
    """The step in which it failed, and why in a word."""
    lines = printed(print_status, {"app": "a", "last_deploy": {"release": "r2"} | deploy}).splitlines()
    assert f"  last deploy  {said}" in lines


def test_logs() -> None:
    """The journal as a table, further facts as key=value, then the output line by line."""
    logs = {
        "release": "r2",
        "journal": [
            {"time": "19:03", "step": "lock", "state": "done", "seconds": 0.1, "by": "x"},
            {"step": "switch"},
        ],
        "output": "one\ntwo\x1b[K\n",
    }
    assert printed(print_logs, logs).splitlines() == [
        "release r2",
        "  19:03  lock    done  0.1 s  by=x",
        "         switch",
        "",
        "one",
        "two\\x1b[K",
    ]


def test_a_host_that_was_not_seen_has_its_heading_all_the_same() -> None:
    """A file that the output went to says that somebody is missing; why is the error's to say."""
    stream = io.StringIO()
    print_host("web2", stream)
    print_unseen(stream)
    assert stream.getvalue() == "web2:\ncould not be looked at\n"
