"""The rebuild strategy, without containers: a push is fetched, built and brought up, or everything is as it was."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import need
from tests.end_to_end.processes import programs, tree_of
from tests.end_to_end.repository import Project, git
from tests.end_to_end.site import wait_until
from tests.nginx import Nginx


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def live(project: Project) -> Project:
    """A project whose version one is live."""
    project.deploy()
    return project


def test_a_push_is_fetched_built_and_brought_up(live: Project) -> None:
    """The branch's head goes live, and the answer names the commit and what it replaces."""
    assert live.served_version == "one"
    commit = live.commit("two")
    answer = live.deploy()
    assert (live.served_version, live.head) == ("two", commit)
    assert answer["status"] == "deployed"
    assert answer["commit"] == commit
    assert answer["release"].endswith(commit[:7])
    assert answer["previous_release"]
    assert [step["name"] for step in answer["steps"]][2:5] == ["fetch", "build", "switch"]
    assert live.is_at_rest()


def test_a_push_that_changes_nothing_builds_nothing(live: Project) -> None:
    """The live commit is not built again."""
    (live.checkout / "built").unlink()
    answer = live.deploy()
    assert answer["status"] == "unchanged"
    assert not (live.checkout / "built").exists()
    assert live.is_at_rest()


def test_what_the_build_prints_is_shown_and_kept(live: Project) -> None:
    """People see it line by line; `logs` has it later."""
    live.commit("two")
    ran = live.command("run")
    assert "building two" in ran.err
    assert "building two" in live.answer("logs")["output"]


def test_the_journal_has_a_line_for_each_step(live: Project) -> None:
    """What was done is there in its order, and where a deploy failed is told by the step's name."""
    live.rebuild.update({"before_up": "true", "after_up": "true"})
    live.commit("two")
    live.deploy()
    assert journal(live) == [
        "lock taken",
        "begin begin",
        "fetch done",
        "build done",
        "before_up done",
        "switch begin",
        "after_up done",
        "switch done",
        "done confirmed",
    ]
    live.command("rollback")
    assert journal(live)[-5:] == ["checkout done", "build done", "switch begin", "switch done", "done confirmed"]
    live.commit("three", build="exit 3")
    live.run().failed(1)
    assert journal(live)[-3:] == ["fetch done", "switch undone", "build failed"]
    assert live.answer("status")["last_deploy"]["step"] == "build"
    assert "undone, failed in build" in live.command("status").out


def journal(project: Project) -> list[str]:
    """Step and state of each line of the last deploy."""
    return [f"{line['step']} {line['state']}" for line in project.answer("logs")["journal"]]


def test_a_failing_build_changes_nothing(live: Project) -> None:
    """Exit code 1, its last lines in the error; commit and version are those of before; its output stays on the host."""
    before = live.head
    live.commit("two", build="echo this is wrong >&2; exit 3")
    live.run().failed(1, "build failed on the host with status 2", "this is wrong")
    assert (live.served_version, live.head) == ("one", before)
    assert live.is_at_rest()
    assert "this is wrong" in live.answer("logs")["output"]
    live.commit("three", build="cp version built")
    live.deploy()
    assert live.served_version == "three"


def test_a_build_that_runs_out_of_time_changes_nothing(live: Project) -> None:
    """It is ended with all that it started."""
    live.rebuild["build_timeout"] = 3
    live.commit("two", build="sleep 301 & echo $! >pid; sleep 301")
    live.run().failed(1, "build ran for longer than 3 s")
    assert live.served_version == "one"
    pid = (live.checkout / "pid").read_text().strip()
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists(), 20)
    assert live.is_at_rest()


def test_a_failing_up_brings_the_version_before_up_again(live: Project) -> None:
    """Half of the new version may be there: the old one is built and brought up once more."""
    live.commit("two", up=f"cp built '{live.visible}'; exit 1")
    live.run().failed(1, "up failed on the host with status 2")
    assert live.served_version == "one"
    assert live.is_at_rest()
    assert [release["state"] for release in live.answer("releases")["releases"]] == ["live"]


def test_a_release_that_fails_its_gate_is_taken_back(nginx: Nginx, tmp_path: Path) -> None:
    """Exit code 5: the version before is built and up again, and the failed release is listed."""
    project = Project(tmp_path, url=nginx.url)
    project.visible = nginx.directory / "index.html"
    project.commit("good one", up=f"cp built '{project.visible}'")
    project.settings |= {"health": {"contains": "good"}, "probe": {"budget": 1000}}
    project.deploy()
    before = project.head
    project.commit("bad two")
    ran = project.run()
    ran.failed(5, "failed its health gate")
    assert ran.json["status"] == "rolled_back"
    assert (project.served_version, project.head) == ("good one", before)
    assert [release["state"] for release in project.answer("releases")["releases"]] == ["failed", "live"]
    assert project.is_at_rest()


def test_a_release_past_a_one_way_migration_is_not_taken_back(nginx: Nginx, tmp_path: Path) -> None:
    """Exit code 7: it stays live, and the message says why."""
    project = Project(tmp_path, url=nginx.url)
    project.visible = nginx.directory / "index.html"
    project.commit("good one", up=f"cp built '{project.visible}'")
    project.settings |= {"health": {"contains": "good"}, "probe": {"budget": 1000}}
    project.deploy()
    project.commit("bad two")
    project.run("--no-rollback-past").failed(7, "was not rolled back", "one-way migration")
    assert project.served_version == "bad two"
    assert wait_until(project.is_at_rest, 60)
    assert project.answer("status")["live_release"].endswith(project.head[:7])


def test_the_probe_only_reports_what_a_plain_up_drops(nginx: Nginx, tmp_path: Path) -> None:
    """A gap is counted and told, and is no failure: `up` has one by nature."""
    project = Project(tmp_path, url=nginx.url)
    project.visible = nginx.directory / "index.html"
    project.commit("one", up=f"rm -f '{project.visible}'; sleep 2; cp built '{project.visible}'")
    project.deploy()
    project.commit("two")
    answer = project.deploy()
    assert answer["probe"]["dropped"] > 0
    assert answer["status"] == "deployed"


def test_migrations_run_around_up(live: Project) -> None:
    """before_up runs after the build and before up, after_up behind it; all see the release's name."""
    story = live.directory / "story"
    live.rebuild.update(
        {"before_up": f"echo before $DEPLOYER_RELEASE >>'{story}'", "after_up": f"echo after >>'{story}'"}
    )
    commit = live.commit("two", up=f"echo up >>'{story}'; cp built '{live.visible}'")
    live.deploy()
    words = story.read_text().split()
    assert words[0] == "before"
    assert words[1].endswith(commit[:7])
    assert words[2:] == ["up", "after"]


@pytest.mark.parametrize(("key", "served"), [("before_up", "one"), ("after_up", "one")])
def test_a_failing_migration_stops_the_deploy(live: Project, key: str, served: str) -> None:
    """Whether before or after `up`, the version before is what serves."""
    live.rebuild[key] = "exit 4"
    live.commit("two")
    live.run().failed(1, f"{key} failed on the host with status 4")
    assert live.served_version == served
    assert live.is_at_rest()


def test_rollback_brings_commit_and_version_back(live: Project) -> None:
    """Without images, the kept commit is built again; with a name, any kept release comes back."""
    first = live.head
    live.commit("two")
    live.deploy()
    live.commit("three")
    live.deploy()
    assert live.answer("rollback")["status"] == "rolled_back"
    assert live.served_version == "two"
    answer = live.answer("rollback", first[:7])
    assert (live.served_version, live.head, answer["commit"]) == ("one", first, first)
    assert live.is_at_rest()


def test_releases_beyond_the_kept_ones_are_forgotten(live: Project) -> None:
    """Records, logs and the commits' references go; live and previous stay."""
    live.rebuild["keep"] = 2
    for version in ("two", "three", "four"):
        live.commit(version)
        live.deploy()
    releases = [release["release"] for release in live.answer("releases")["releases"]]
    assert len(releases) == 2
    kept = git(live.checkout, "for-each-ref", "--format=%(refname:lstrip=3)", "refs/deployer/releases").split()
    assert sorted(kept) == sorted(releases) == sorted(path.name for path in (live.state / "logs").iterdir())


def test_a_plan_changes_nothing(live: Project) -> None:
    """The steps are told, the commit is the remote's, and neither checkout nor state is touched."""
    commit = live.commit("two")
    before = sorted((path, path.stat().st_mtime_ns) for path in live.checkout.parent.rglob("*") if path.is_file())
    answer = live.answer("plan")
    assert answer["status"] == "planned"
    assert answer["commit"] == commit
    assert [step["name"] for step in answer["steps"]] == ["fetch", "build", "switch", "accept", "log", "finish"]
    after = sorted((path, path.stat().st_mtime_ns) for path in live.checkout.parent.rglob("*") if path.is_file())
    assert before == after


def test_local_changes_stop_the_deploy_and_are_listed(live: Project) -> None:
    """Exit code 1, nothing is built; --stash puts them away and says how to get them back."""
    (live.checkout / "version").write_text("by hand\n")
    live.commit("two")
    live.run().failed(1, "local changes", "version")
    assert (live.checkout / "version").read_text() == "by hand\n"
    ran = live.run("--stash")
    assert ran.code == 0, ran.err
    assert live.served_version == "two"
    assert "git stash" in ran.err
    assert "by hand" in git(live.checkout, "stash", "show", "--patch")


def test_the_workflow_s_commit_is_deployed_not_the_head(live: Project) -> None:
    """In a workflow of the same repository, what triggered it goes live, though the branch has moved on."""
    live.origin.rename(live.directory / "owner")
    (live.directory / "anna").mkdir()
    (live.directory / "owner").rename(live.directory / "anna" / "blog.git")
    for checkout in (live.checkout, live.work):
        git(checkout, "remote", "set-url", "origin", str(live.directory / "anna" / "blog.git"))
    second = live.commit("two")
    live.commit("three")
    workflow = {"GITHUB_SHA": second, "GITHUB_REPOSITORY": "anna/blog", "GITHUB_REF": "refs/heads/main"}
    assert live.run(**workflow).json["commit"] == second
    assert live.served_version == "two"


def test_two_pushes_at_once_end_with_the_last(live: Project) -> None:
    """The second waits for the first one's lock, and finds its own commit to deploy."""
    live.settings["lock_wait"] = 60
    live.commit("two", build="sleep 3; cp version built")
    first = _start(live)
    assert wait_until((live.state / "pending").exists, 60)
    live.commit("three")
    live.deploy()
    assert first.wait(60) == 0
    assert live.served_version == "three"


def _start(project: Project, *flags: str) -> subprocess.Popen[bytes]:
    project.configure()
    return subprocess.Popen(
        [sys.executable, "-m", "deployer", "run", *flags],
        cwd=project.directory,
        env=project.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_is_undone_soon(live: Project, number: signal.Signals) -> None:
    """The build ends, the commit of before is back, and the lock is free: in five seconds, where nothing else runs."""
    before = live.head
    live.commit("two", build="echo $$ >pid; sleep 301")
    running = _start(live)
    assert wait_until((live.checkout / "pid").exists, 60)
    time.sleep(1.2)
    running.send_signal(number)
    began = time.monotonic()
    assert running.wait(60) == 130
    assert wait_until(live.is_at_rest, 30)
    assert time.monotonic() - began < 30
    assert live.head == before
    assert live.served_version == "one"


def _kill_client(running: subprocess.Popen[bytes]) -> None:
    running.kill()


def _kill_shell(running: subprocess.Popen[bytes]) -> None:
    for pid in programs(tree_of(running.pid)):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("kill", [_kill_client, _kill_shell])
@pytest.mark.parametrize("script", ["build", "up"])
def test_a_killed_deploy_is_undone_by_the_next(
    live: Project, script: str, kill: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    """SIGKILL of the client or of the host's shell, in the build or in `up`: the next run needs no help."""
    good = {"build": "cp version built", "up": f"cp built '{live.visible}'"}
    hanging = good | {script: f"echo $$ >'{live.directory}/pid'; sleep 30"}
    live.commit("two", build=hanging["build"], up=hanging["up"])
    running = _start(live)
    assert wait_until((live.directory / "pid").exists, 60)
    kill(running)
    running.wait(60)
    live.commit("three", build=good["build"], up=good["up"])
    live.settings["lock_wait"] = 60
    live.deploy()
    assert live.served_version == "three"
    assert live.is_at_rest()


@pytest.mark.parametrize("ref", ["--upload-pack=touch x", "a..b", "main~1", "a b"])
def test_a_ref_that_is_none_is_refused_before_anything_happens(project: Project, ref: str) -> None:
    """Exit code 2: nothing that looks like an option or a program reaches git."""
    project.run("--ref", ref).failed(2, "--ref")


@pytest.mark.parametrize("ref", ["nowhere", "$(touch${IFS}here)", "0" * 40])
def test_an_unknown_ref_stops_the_deploy(project: Project, ref: str) -> None:
    """Nothing is built, the message names it, and it is a name whatever a shell would make of it."""
    ran = project.run("--ref", ref)
    ran.failed(ran.code, ref)
    assert ran.code in (1, 2)
    assert project.served_version == ""
    assert not [*project.directory.rglob("here")]


def test_a_path_that_is_no_checkout_is_refused(project: Project, tmp_path: Path) -> None:
    """Its directory is left alone."""
    project.rebuild["path"] = str(tmp_path / "www")
    project.run().failed(1, "there is no checkout at")


def test_an_absent_checkout_is_cloned(tmp_path: Path) -> None:
    """With a repository, the first deploy needs nothing on the server but a directory above."""
    project = Project(tmp_path)
    project.rebuild.update({"path": str(tmp_path / "server" / "fresh"), "repository": str(project.origin)})
    project.deploy()
    assert project.served_version == "one"
    assert (tmp_path / "server" / "fresh" / ".git").is_dir()


def test_status_tells_of_interrupted_work(live: Project) -> None:
    """While nobody has mended it, `status` says what is unfinished."""
    live.commit("two", build=f"echo $$ >'{live.directory}/pid'; sleep 30")
    running = _start(live)
    assert wait_until((live.directory / "pid").exists, 60)
    _kill_shell(running)
    running.wait(60)
    answer = live.answer("status")
    assert "the next run finishes or undoes it" in answer["interrupted"]
    assert answer["lock"]["stale"]
    assert json.dumps(answer)


def test_a_first_deploy_that_fails_leaves_the_way_open(tmp_path: Path) -> None:
    """What was never there is not brought up again: the next push is deployed as if nothing had been."""
    project = Project(tmp_path)
    project.rebuild.update({"path": str(tmp_path / "server" / "fresh"), "repository": str(project.origin)})
    project.commit("bad", up="exit 1")
    project.run().failed(1, "up failed on the host")
    assert project.served_version == ""
    project.commit("good", up=f"cp built '{project.visible}'")
    project.deploy()
    assert project.served_version == "good"


def test_a_version_that_cannot_be_brought_back_is_told_once(live: Project) -> None:
    """Exit code 7 when the way back fails, too; the next push goes live all the same."""
    blocker = live.directory / "blocker"
    live.commit("two", up=f"test ! -e '{blocker}' && cp built '{live.visible}'")
    live.deploy()
    blocker.touch()
    live.commit("bad", up="exit 1")
    live.run().failed(7, "what was live before could not be brought back")
    live.commit("three", up=f"cp built '{live.visible}'")
    live.deploy()
    assert live.served_version == "three"
    assert live.is_at_rest()


def test_a_one_way_release_that_never_came_up_is_not_live(live: Project) -> None:
    """Exit code 7: the old version is not brought up again, and the new one does not count as deployed."""
    first = live.answer("status")["live_release"]
    live.commit("two", up=f"cp built '{live.visible}'; exit 1")
    live.run("--no-rollback-past").failed(7, "it was not undone", "one-way migration")
    assert live.served_version == "two"
    assert live.answer("status")["live_release"] == first
    assert live.is_at_rest()


def test_a_rollback_over_a_one_way_release_may_fail_its_gate(nginx: Nginx, tmp_path: Path) -> None:
    """The mark belongs to the deploy that had it: a later rollback to that release is undone as any other."""
    project = Project(tmp_path, url=nginx.url)
    project.visible = nginx.directory / "index.html"
    project.settings |= {"health": {"contains": "good"}, "probe": {"budget": 1000}}
    project.commit("good one", up=f"cp built '{project.visible}'")
    first = project.deploy("--no-rollback-past")["release"]
    project.commit("good two", up=f"cp built '{project.visible}'")
    project.deploy()
    project.settings["health"]["contains"] = "two"
    project.command("rollback", first).failed(5, "failed its health gate")
    assert project.served_version == "good two"


def test_what_the_build_has_changed_does_not_stop_a_rollback(live: Project) -> None:
    """Tracked files that a build rewrites are put away on the way back."""
    live.commit("two", build='cp version built; echo "# rewritten" >>up.sh')
    live.deploy()
    assert live.answer("rollback")["status"] == "rolled_back"
    assert live.served_version == "one"
    assert "rewritten" in git(live.checkout, "stash", "show", "--patch")


def test_a_rollback_that_is_refused_leaves_the_release_as_it_is(live: Project) -> None:
    """The kept release is no failed one, and what its own deploy printed stays."""
    first = live.answer("status")["live_release"]
    live.commit("two")
    live.deploy()
    (live.checkout / ".git" / "index.lock").touch()
    assert live.command("rollback").code != 0
    (live.checkout / ".git" / "index.lock").unlink()
    states = {row["release"]: row["state"] for row in live.answer("releases")["releases"]}
    assert states[first] == "kept"
    live.answer("rollback")
    output = live.answer("logs", first)["output"]
    assert "building one" in output
    assert "back to this release" in output


def test_unlock_ends_what_the_deposed_deploy_was_running(live: Project) -> None:
    """After `unlock` nothing of the former deploy goes on: neither its build nor what visitors get."""
    live.commit("two", up=f"echo $$ >'{live.directory}/pid'; sleep 90; cp built '{live.visible}'")
    running = _start(live)
    assert wait_until((live.directory / "pid").exists, 60)
    assert live.answer("unlock")["unlocked"]
    running.wait(60)
    pid = (live.directory / "pid").read_text().strip()
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists(), 20)
    assert live.served_version == "one"


def test_the_build_has_the_login_s_umask(live: Project) -> None:
    """What git and the build make is for the people of the login, as it is by hand."""
    live.commit("two", build="umask >mask; cp version built")
    script = f"umask 0007; exec {sys.executable} -m deployer run"
    live.configure()
    done = subprocess.run(
        ["sh", "-c", script], cwd=live.directory, env=live.environment(), check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert int((live.checkout / "mask").read_text(), 8) == 0o007
    assert (live.checkout / "version").stat().st_mode & 0o777 == 0o660


def test_a_checkout_directly_below_the_root_is_one(tmp_path: Path) -> None:
    """/NAME is a path as any other."""
    need("root", "to make a directory below /", present=os.geteuid() == 0)
    project = Project(tmp_path)
    place = Path(f"/{tmp_path.name}-{os.getpid()}")
    state = Path("/.deployer") / place.name
    project.rebuild.update({"path": str(place), "repository": str(project.origin)})
    try:
        project.deploy()
        assert project.served_version == "one"
        assert project.answer("status")["target"] == str(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(state, ignore_errors=True)
        with contextlib.suppress(OSError):
            state.parent.rmdir()
