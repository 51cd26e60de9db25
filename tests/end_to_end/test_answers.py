"""What programs read: standard output is one JSON object with exactly the documented keys, or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.end_to_end.deployment import Deployment, Ran, listing

RUN_KEYS = (
    "app strategy environment hosts release previous_release status commit url files_total files_uploaded files_deleted "
    "bytes_uploaded duration_seconds steps probe error"
).split()
PLAN_KEYS = [*RUN_KEYS, "changes", "warnings"]


def deploy_two(site: Deployment) -> None:
    for version in ("old", "new"):
        site.files(index=version, same="same")
        site.deploy()


def one_object(ended: Ran) -> dict[str, Any]:
    """Standard output must be one line with one object, in ASCII, so that every program can read it."""
    assert len(ended.out.splitlines()) == 1
    assert ended.out.isascii()
    return ended.json


def test_run_says_exactly_what_is_documented(site: Deployment) -> None:
    """The keys of a deploy, their types and values."""
    site.files(index="index", page="page", gone="gone")
    first = one_object(site.run())
    site.files(index="other", page="page")

    answer = one_object(site.run())

    assert list(answer) == RUN_KEYS
    assert answer["app"] == "site"
    assert answer["strategy"] == "static"
    assert answer["environment"] is None
    assert answer["hosts"] == ["local"]
    assert answer["release"] == site.live
    assert answer["previous_release"] == first["release"]
    assert answer["status"] == "deployed"
    assert (answer["commit"], answer["url"], answer["probe"], answer["error"]) == (None, None, None, None)
    assert (answer["files_total"], answer["files_uploaded"], answer["files_deleted"]) == (2, 1, 1)
    assert 0 < answer["bytes_uploaded"] < 10_000
    assert 0 < answer["duration_seconds"] < 30
    assert all(list(step) == ["name", "seconds"] for step in answer["steps"])
    names = [step["name"] for step in answer["steps"]]
    assert [name for name in names if name in ("upload", "switch", "finish")] == ["upload", "switch", "finish"]


def test_unchanged_and_failed_have_the_same_keys(site: Deployment) -> None:
    """Whatever the end, the same keys are there; what is not known is null."""
    deploy_two(site)
    unchanged = one_object(site.run())
    assert (list(unchanged), unchanged["status"]) == (RUN_KEYS, "unchanged")
    assert unchanged["release"] == site.live

    site.static["target"] = str(site.parent / "no" / "site")
    failed = one_object(site.run())
    assert (list(failed), failed["status"]) == (RUN_KEYS, "failed")
    assert failed["release"] is None
    assert "does not exist" in failed["error"]

    site.source.rename(site.directory / "away")
    site.static["target"] = str(site.target)
    failed = one_object(site.run())
    assert (list(failed), failed["status"]) == (RUN_KEYS, "failed")


def test_a_broken_configuration_is_answered_in_json_too(site: Deployment) -> None:
    """Even where nothing is known yet, there is one object with the status and the error."""
    site.settings["app"] = "Bad Name"

    answer = one_object(site.run())

    assert answer["status"] == "failed"
    assert "Bad Name" in answer["error"]


def test_rollback_answers_like_run(site: Deployment) -> None:
    """A rollback's object has the same keys."""
    deploy_two(site)

    answer = one_object(site.command("rollback", "--json"))

    assert (list(answer), answer["status"]) == (RUN_KEYS, "rolled_back")
    assert answer["error"] is None


def test_a_failed_build_is_answered(site: Deployment) -> None:
    """The last lines of a build that fails are in the error; nothing was connected to."""
    site.files(index="x")
    site.static["build"] = "echo working; echo went wrong >&2; exit 3"

    ended = site.run()

    ended.failed(1, "exit code 3", "went wrong")
    assert one_object(ended)["status"] == "failed"
    assert list(site.parent.iterdir()) == []


def test_the_build_runs_before_the_source_is_read(site: Deployment) -> None:
    """What the build makes is deployed, its output is shown and kept, and its time is a step."""
    site.source.rmdir()
    site.static["build"] = "mkdir -p public && echo built >public/index.html && echo made it"

    ended = site.run()

    assert ended.code == 0, ended.err
    assert ended.json["steps"][0]["name"] == "build"
    assert "made it" in ended.err
    assert "made it" not in ended.out
    assert "made it" in site.answer("logs")["output"]
    assert site.text("index.html") == "built\n"


def test_plan_says_what_run_would_do(site: Deployment) -> None:
    """The plan's keys, each file's fate, the steps; then the run does exactly that."""
    site.files(index="index", page="page", gone="gone", old="moved")
    site.deploy()
    site.files(index="other", page="page", added="added", new="moved")

    plan = one_object(site.command("plan", "--json"))

    assert list(plan) == PLAN_KEYS
    assert plan["status"] == "planned"
    assert [list(step) for step in plan["steps"]] == [["name", "summary", "effect"]] * len(plan["steps"])
    assert {step["effect"] for step in plan["steps"]} <= {"read", "write"}
    changes = {change["path"]: change for change in plan["changes"]}
    assert changes["index.html"] == {"action": "change", "path": "index.html", "bytes": 5}
    assert changes["added.html"] == {"action": "add", "path": "added.html", "bytes": 5}
    assert changes["new.html"] == {"action": "move", "path": "new.html", "bytes": 5, "from": "old.html"}
    assert changes["gone.html"]["action"] == "remove"
    assert set(changes) == {"index.html", "added.html", "new.html", "gone.html"}
    assert plan["previous_release"] == site.live
    answer = site.deploy()
    for key in ("files_total", "files_uploaded", "files_deleted", "previous_release"):
        assert answer[key] == plan[key], key


def test_a_plan_with_nothing_to_do(site: Deployment) -> None:
    """An unchanged source is planned as no change."""
    deploy_two(site)

    plan = one_object(site.command("plan", "--json"))

    assert plan["status"] in ("planned", "unchanged")
    assert plan["changes"] == []
    assert plan["files_uploaded"] == 0


@pytest.mark.parametrize("state", ["nothing", "a directory", "releases", "releases, nothing to do"])
@pytest.mark.parametrize("arguments", [("plan",), ("run", "--dry-run"), ("rollback", "--dry-run")])
def test_a_dry_run_changes_nothing(site: Deployment, state: str, arguments: tuple[str, ...]) -> None:
    """Not one name, size, mode, inode or time below the target's parent is another one afterwards."""
    site.static["build"] = "touch built"
    if state == "a directory":
        site.target.mkdir()
        (site.target / "page.html").write_text("by hand")
    if state.startswith("releases"):
        deploy_two(site)
        (site.directory / "built").unlink()
    if not state.endswith("to do"):
        site.files(index="planned", page="x")
    before = listing(site.parent)

    for _ in range(2):
        ended = site.command(*arguments)
        assert ended.out == ""
        assert ended.code == (1 if arguments[0] == "rollback" and not state.startswith("releases") else 0), ended.err

    assert listing(site.parent) == before
    assert not (site.directory / "built").exists()


@pytest.mark.parametrize("arguments", [("run",), ("run", "--quiet"), ("run", "--verbose"), ("plan",), ("rollback",)])
def test_standard_output_is_empty_without_json(site: Deployment, arguments: tuple[str, ...]) -> None:
    """People read standard error; nothing gets into a pipe by accident."""
    deploy_two(site)
    site.files(index="newest")

    ended = site.command(*arguments)

    assert ended.code == 0
    assert ended.out == ""
    assert "\x1b" not in ended.err
    if "--quiet" in arguments:
        assert ended.err == ""


@pytest.mark.parametrize("command", ["releases", "status", "logs"])
def test_looking_changes_nothing(site: Deployment, command: str) -> None:
    """Before and after the first deploy, looking leaves every name and time below the parent alone."""
    for _ in range(2):
        before = listing(site.parent)
        assert one_object(site.command(command, "--json"))["app"] == "site"
        assert site.command(command).out
        assert listing(site.parent) == before
        site.files(index="x")
        site.deploy()


def test_the_looking_commands_answer(site: Deployment) -> None:
    """Their keys, and what they say of two releases."""
    deploy_two(site)
    first, second = site.releases()

    releases = one_object(site.command("releases", "--json"))["releases"]
    assert list(releases[0]) == ["release", "commit", "files", "bytes", "deployed_at", "live", "state"]
    assert [(each["release"], each["live"], each["state"]) for each in releases] == [
        (second, True, "live"),
        (first, False, "kept"),
    ]
    assert (releases[0]["files"], releases[0]["bytes"]) == (2, 7)

    status = one_object(site.command("status", "--json"))
    keys = "app target live_release commit last_deploy lock free_bytes interrupted".split()
    assert list(status) == keys
    assert status["live_release"] == second
    assert (status["last_deploy"]["release"], status["last_deploy"]["status"]) == (second, "deployed")
    assert status["lock"] == {"held": False, "owner": "", "stale": False}
    assert status["free_bytes"] > 1_000_000

    logs = one_object(site.command("logs", first, "--json"))
    assert list(logs) == ["app", "release", "journal", "output"]
    assert logs["release"] == first
    assert {line["release"] for line in logs["journal"]} <= {first, ""}
    assert "upload" in logs["output"]
    assert json.loads(site.command("logs", "--json").out)["release"] == second


def test_logs_of_an_unknown_release(site: Deployment) -> None:
    """A name that means nothing is exit 2 and lists what there is."""
    deploy_two(site)

    site.command("logs", "nonsense", "--json").failed(2, "nonsense", site.live)


def test_environments_are_told_apart(site: Deployment) -> None:
    """An overlay's name is in the answer, and its target is another site with releases of its own."""
    site.files(index="x")
    site.deploy()
    site.configure()
    config = site.directory / "deploy.toml"
    config.write_text(f'{config.read_text()}\n[environments.staging.static]\ntarget = "{site.parent}/staging"\n')
    site.configured = False

    answer = site.deploy("--environment", "staging")

    assert answer["environment"] == "staging"
    assert answer["previous_release"] is None
    assert (site.parent / "staging" / "index.html").read_text() == "x"
    assert len(site.releases()) == 1
