"""What the looking commands show, out of what the host said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployer.config import Config, load
from deployer.errors import InvalidInput
from deployer.plan import Reply
from deployer.views import log_of, releases, status

A, B, C = (f"2026112{day}T080000Z-{letter * 7}.{letter * 24}" for day, letter in enumerate("abc"))


def line(deploy: str, step: str, state: str, release: str = "", previous: str = "", **details: object) -> str:
    about = {"time": f"2026-11-22T19:0{deploy}:00Z", "deploy": deploy, "step": step, "state": state}
    return json.dumps({**about, "release": release, "previous": previous, **details}) + "\n"


def deployed(deploy: str, release: str, previous: str = "") -> str:
    return (
        line(deploy, "lock", "taken", by=f"user {deploy}")
        + line(deploy, "tree", "done", release)
        + line(deploy, "switch", "begin", release, previous)
        + line(deploy, "switch", "done", release, previous)
        + line(deploy, "done", "confirmed", release, previous)
    )


def reply(journal: str = "", **facts: str | list[str]) -> Reply:
    """Facts by name, with ``__`` for a dot; a list repeats its name."""
    pairs = [
        (name.replace("__", "."), text.encode())
        for name, value in facts.items()
        for text in (value if isinstance(value, list) else [value])
    ]
    return Reply((*pairs, *((("journal", journal.encode()),) if journal else ())))


def about(release: str, **facts: str) -> dict[str, str]:
    return {f"{release}.{name}": value for name, value in facts.items()}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    flags = {"app": "blog", "host": ("local",), "static.source": "public", "static.target": "/www/blog"}
    return load(None, flags=flags, variables={}, directory=tmp_path)


def test_releases_are_listed_newest_first() -> None:
    """With commit, size, the time at which each went live, and which one is live."""
    facts = about(A, commit="aaaaaaa", files="3", bytes="300") | about(B, commit="bbbbbbb", files="4", bytes="400")
    found = releases(reply(deployed("1", A) + deployed("2", B, A), live=B, record=[A, B], **facts))
    assert found == [
        {
            "release": "20261121T080000Z-bbbbbbb",
            "commit": "bbbbbbb",
            "files": 4,
            "bytes": 400,
            "deployed_at": "2026-11-22T19:02:00Z",
            "live": True,
            "state": "live",
        },
        {
            "release": "20261120T080000Z-aaaaaaa",
            "commit": "aaaaaaa",
            "files": 3,
            "bytes": 300,
            "deployed_at": "2026-11-22T19:01:00Z",
            "live": False,
            "state": "kept",
        },
    ]


def test_a_rebuilt_release_has_images() -> None:
    """By service, and of which Docker has lost some: then it is incomplete."""
    images = {f"{A}.image": ["blog sha256:11", "db sha256:22"]}
    (found,) = releases(reply(deployed("1", A), record=[A], **about(A, commit="aaaaaaa", lost="db"), **images))
    assert (found["state"], found["lost"]) == ("incomplete", ["db"])
    assert found["images"] == {"blog": "sha256:11", "db": "sha256:22"}


def test_a_release_is_failed_or_damaged_before_anything_else() -> None:
    """What failed its gate, and what somebody wrote into, is told; damage counts even for the live one."""
    facts = about(A, damaged="yes", failed="yes") | about(B, failed="yes") | about(C, damaged="yes")
    found = releases(reply(live=C, record=[A, B, C], **facts))
    assert [(each["state"], each["live"]) for each in found] == [
        ("damaged", True),
        ("failed", False),
        ("damaged", False),
    ]


def test_an_adopted_release_has_no_figures() -> None:
    """Nobody counted its files: unknown is null, not nought."""
    (found,) = releases(reply(live=A, record=[A], **about(A, adopted="yes")))
    assert (found["files"], found["bytes"], found["deployed_at"], found["commit"]) == (None, None, "", "")


def test_no_release_is_an_empty_list() -> None:
    """Before the first deploy there is nothing to list."""
    assert releases(reply(live="", kind="none")) == []


def test_status_of_a_good_deploy(config: Config) -> None:
    """Live release, the last deploy with who made it, no lock, free space."""
    found = status(
        config,
        reply(deployed("1", A) + deployed("2", B, A), live=B, free_kilobytes="1000", **about(B, commit="bbbbbbb")),
    )
    assert found == {
        "app": "blog",
        "target": "/www/blog",
        "live_release": "20261121T080000Z-bbbbbbb",
        "commit": "bbbbbbb",
        "last_deploy": {
            "release": "20261121T080000Z-bbbbbbb",
            "status": "deployed",
            "at": "2026-11-22T19:02:00Z",
            "by": "user 2",
            "error": "",
            "step": "",
        },
        "lock": {"held": False, "owner": "", "stale": False},
        "free_bytes": 1_024_000,
        "interrupted": "",
    }


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (line("2", "done", "unchanged", A), "unchanged"),
        (line("2", "switch", "done", B, A) + line("2", "switch", "reverted", B, A, why="gate"), "rolled_back"),
        (
            line("2", "switch", "undone", B, A, why="signal") + line("2", "switch", "failed", B, A, why="signal"),
            "undone",
        ),
        (line("2", "contents", "failed", why="failed"), "failed"),
        (line("2", "contents", "done"), "interrupted"),
    ],
)
def test_the_last_deploys_end_is_a_word(config: Config, lines: str, word: str) -> None:
    """However a deploy ended, or did not, status says it."""
    found = status(config, reply(deployed("1", A) + line("2", "lock", "taken", by="anna") + lines, live=A))
    assert found["last_deploy"]["status"] == word
    assert found["last_deploy"]["by"] == "anna"


def test_a_failure_has_its_reason(config: Config) -> None:
    """Why it ended, as the host noted it."""
    journal = line("1", "lock", "taken") + line("1", "tree", "failed", B, why="failed")
    found = status(config, reply(journal, live=""))["last_deploy"]
    assert (found["error"], found["step"]) == ("failed", "tree")


def test_a_deploy_that_goes_on_is_running(config: Config) -> None:
    """A living lock means work, not an interruption; a switch that waits for its confirm is no trouble either."""
    found = status(config, reply(line("1", "lock", "taken"), live=A, lock="anna", lock_entry="n1", pending=f"{B} {A}"))
    assert (found["last_deploy"]["status"], found["interrupted"]) == ("running", "")
    assert found["lock"] == {"held": True, "owner": "anna", "stale": False}


def test_an_interrupted_switch_is_told(config: Config) -> None:
    """With a dead owner, the next run heals, and status says what it will find."""
    found = status(
        config, reply(line("1", "lock", "taken"), live=B, lock="anna", lock_stale="dead", pending=f"{B} {A}")
    )
    assert found["lock"]["stale"]
    assert found["last_deploy"]["status"] == "interrupted"
    assert found["interrupted"].startswith("the switch to 20261121T080000Z-bbbbbbb")


def test_status_before_the_first_deploy(config: Config) -> None:
    """Nothing is live, nothing was ever done."""
    found = status(config, reply(live="", kind="none", free_kilobytes="5"))
    assert (found["live_release"], found["last_deploy"]) == ("", None)


def test_the_log_is_of_the_last_deploy() -> None:
    """Not of the newest release: after a rollback to A, the last deploy is A's."""
    history = deployed("1", A) + deployed("2", B, A) + deployed("3", A, B)
    name, lines = log_of(reply(history), "")
    assert name == A
    assert {each["deploy"] for each in lines} == {"1", "3"}


def test_a_log_may_be_asked_for_by_part_of_its_name() -> None:
    """All lines of the deploys that were about this release, with short names and details."""
    name, lines = log_of(reply(deployed("1", A) + deployed("2", B, A)), "bbb")
    assert name == B
    assert [(each["step"], each["state"]) for each in lines][:2] == [("lock", "taken"), ("tree", "done")]
    assert lines[0]["by"] == "user 2"
    assert (lines[-1]["release"], lines[-1]["previous"]) == ("20261121T080000Z-bbbbbbb", "20261120T080000Z-aaaaaaa")


def test_a_log_of_nothing() -> None:
    """Before the first deploy there is no name and no line; asking for one is an error."""
    assert log_of(reply(), "") == ("", [])
    with pytest.raises(InvalidInput, match="no kept release"):
        log_of(reply(deployed("1", A)), "zzz")
