"""What a run finds in its state directory: another app's, a newer deployer's, torn lines, what a killed run left."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.end_to_end.deployment import Deployment, listing, tree


@pytest.fixture
def site(tmp_path: Path) -> Deployment:
    """A site with two releases, deployed to this machine."""
    site = Deployment(tmp_path)
    for version in ("old", "new"):
        site.files(index=version)
        site.deploy()
    return site


@pytest.mark.parametrize("command", ["run", "rollback", "status", "releases", "logs", "unlock", "plan"])
def test_another_apps_state_is_refused(site: Deployment, command: str) -> None:
    """A target that belongs to another app: exit 2 by every command, both apps named, and nothing changes."""
    before = listing(site.parent)
    site.settings["app"] = "intruder"
    site.files(index="intruder")

    site.command(command, "--json").failed(2, '"site"', '"intruder"', str(site.target))

    assert listing(site.parent) == before


@pytest.mark.parametrize("command", ["run", "rollback", "status", "plan"])
@pytest.mark.parametrize("version", ["2", "17", "garbage", ""])
def test_a_newer_deployers_state_is_refused(site: Deployment, command: str, version: str) -> None:
    """State of another version is left alone, by looking commands too."""
    (site.state / "version").write_text(f"{version}\n")
    before = listing(site.parent)
    site.files(index="newest")

    site.command(command, "--json").failed(1, "newer deployer", str(site.state))

    assert listing(site.parent) == before


def test_torn_journal_lines_are_left_out(site: Deployment) -> None:
    """Half lines, binary rubbish and foreign JSON in the journal neither stop a command nor show."""
    first, second = site.releases()
    journal = site.state / "journal"
    whole = journal.read_bytes()
    rubbish = b'{"time":"2026\n\x00\xff\xfe\n[]\n{}\nnull\n"text"\n{"step": {}}\n7\n'
    journal.write_bytes(rubbish + whole + rubbish + whole.splitlines()[-1][:40])

    assert site.answer("status")["live_release"] == second
    assert len(site.answer("logs", second)["journal"]) > 3
    site.files(index="newest")
    assert site.deploy()["previous_release"] == second
    assert site.answer("rollback")["release"] == second
    assert site.answer("rollback")["release"] == first


def test_a_torn_last_line_does_not_swallow_the_next_one(site: Deployment) -> None:
    """After a line without its end, the next deploy's first line is still read: rollback knows what was before."""
    second = site.live
    with (site.state / "journal").open("a") as journal:
        journal.write('{"time":"2026-11-22T19:03')
    site.files(index="newest")
    site.deploy()

    assert site.answer("status")["last_deploy"]["status"] == "deployed"
    assert site.answer("rollback")["release"] == second


def test_a_pending_switch_that_happened_stays(site: Deployment) -> None:
    """A run that was killed right behind its switch: its release stays live, the next run says so and goes on."""
    live = site.target.readlink().name
    previous = next(path.name for path in (site.root / "releases").iterdir() if path.name != live)
    (site.state / "pending").write_text(f"{live} {previous}\n")
    assert site.live in site.answer("status")["interrupted"]
    site.files(index="newest")

    ended = site.run()

    assert ended.code == 0
    assert "interrupted" in ended.err
    assert ended.json["previous_release"] == live.partition(".")[0]
    assert site.is_unlocked()
    assert site.answer("status")["interrupted"] == ""


def test_a_pending_switch_that_did_not_happen_is_undone(site: Deployment) -> None:
    """A run that was killed right before its switch: its release is removed, and what was live stays live."""
    live = site.target.readlink().name
    (site.root / "releases" / "20991122T000000Z-abcdef0.0123").mkdir()
    (site.state / "records" / "20991122T000000Z-abcdef0.0123").mkdir()
    (site.state / "pending").write_text(f"20991122T000000Z-abcdef0.0123 {live}\n")

    ended = site.run()

    assert ended.json["status"] == "unchanged"
    assert site.live == live.partition(".")[0]
    assert len(site.releases()) == 2
    assert site.is_unlocked()


@pytest.mark.parametrize("text", ["", "\n", "garbage", "../../../etc passwd\n", "\x00\xff"])
def test_a_damaged_pending_note_is_no_obstacle(site: Deployment, text: str) -> None:
    """Whatever is in it, the next run succeeds and removes it."""
    (site.state / "pending").write_text(text)
    site.files(index="newest")

    site.deploy()

    assert site.text("index.html") == "newest"
    assert site.is_unlocked()


def test_half_built_leftovers_are_removed(site: Deployment) -> None:
    """Directories of a run that was killed while it built do not stay; foreign files beside them are not touched."""
    (site.root / "releases" / "20261122T000000Z-abcdef0.0123456789abcdef01234567").mkdir()
    (site.root / "releases" / "notes").mkdir()
    (site.state / "broken.0123").mkdir()
    site.files(index="newest")

    site.deploy()

    assert "notes" in site.releases()
    assert "20261122T000000Z-abcdef0" not in site.releases()
    assert site.is_unlocked()


def lock_by(site: Deployment, pid: int, *, age: float = 0) -> Path:
    """A lock as a run of the process ``pid`` on this machine would hold it, its lease last renewed ``age`` seconds ago."""
    entry = site.state / "lock" / "0123456789ab"
    entry.mkdir(parents=True)
    start = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    space = os.readlink("/proc/self/ns/pid")
    (entry / "owner").write_text(f"{pid} {start} {boot} {space}\nsomebody@laptop since today\n")
    lease = entry / "lease"
    lease.touch()
    os.utime(lease, (time.time() - age, time.time() - age))
    return entry


def test_a_held_lock_is_waited_for_and_then_named(site: Deployment) -> None:
    """Another owner that is alive keeps its lock: exit 3 after the wait, its name in the message, nothing changed."""
    entry = lock_by(site, os.getpid())
    site.settings["lock_wait"] = 0
    site.files(index="newest")

    site.run().failed(3, "somebody@laptop")

    assert entry.is_dir()
    assert site.text("index.html") == "new"
    assert site.answer("status")["lock"] == {"held": True, "owner": "somebody@laptop since today", "stale": False}
    assert site.deploy("--dry-run")["status"] == "planned"


def test_a_dead_owners_lock_is_taken(site: Deployment) -> None:
    """An owner whose process is gone does not make anybody wait."""
    process = subprocess.Popen(["sleep", "60"])
    lock_by(site, process.pid)
    process.kill()
    process.wait()
    assert site.answer("status")["lock"]["stale"]
    site.settings["lock_wait"] = 0
    site.files(index="newest")

    site.deploy()

    assert site.served() == tree(site.source)


def test_a_silent_owners_lock_is_taken(site: Deployment) -> None:
    """An owner that has not renewed its lease for longer than that lasts has lost its lock."""
    lock_by(site, os.getpid(), age=60)
    site.settings["lock_wait"] = 0
    site.files(index="newest")

    site.deploy()

    assert site.is_unlocked()


def test_unlock_takes_a_live_owners_lock(site: Deployment) -> None:
    """``unlock`` names the owner and takes the lock; where there is none it says so and exits 0."""
    lock_by(site, os.getpid())

    ended = site.command("unlock", "--json")

    assert ended.code == 0
    assert ended.json == {"app": "site", "unlocked": True, "owner": "somebody@laptop since today"}
    assert site.answer("unlock") == {"app": "site", "unlocked": False, "owner": None}
    assert site.is_unlocked()
