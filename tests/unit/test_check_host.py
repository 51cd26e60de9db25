"""What `deployer check` says of a host, out of the facts that it told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployer.finding import Finding, State
from deployer.plan import Reply
from deployer.premises import Seen
from deployer.static.checks import host_findings

RELEASE = "20261120T080000Z-aaaaaaa.0123456789abcdef01234567"
BEFORE = "20261119T080000Z-bbbbbbb.0123456789abcdef01234567"
NOW = 1_800_000_000
HEALTHY: dict[str, str | list[str]] = {
    "now": str(NOW),
    "user": "deploy",
    "proc": "yes",
    "shell": "/usr/bin/dash",
    "tar": "tar (GNU tar) 1.34",
    "codec": "zstd",
    "awk": "yes",
    "exchange": "python3",
    "parent_path": "/www",
    "parent": "1000 deploy 755 66 yes",
    "kind": "link",
    "link": f".deployer/blog/releases/{RELEASE}",
    "deployer": "1000 deploy 711 66 yes",
    "root": "1000 deploy 711 66 yes",
    "state": "1000 deploy 700 66 yes",
    "blocks": "/dev/sda1 10000000 2000000 8000000 20% /",
    "inodes": "/dev/sda1 100000 20000 80000 20% /",
    "app": "blog",
    "version": "1",
    "live": RELEASE,
    "present": "yes",
    "sealed": "yes",
    "live_bytes": "1000000",
    "live_files": "12",
}


def look(*without: str, asked: float = NOW, at: str = "/www/blog", **changed: Any) -> dict[str, Finding]:
    """The findings by name for the healthy host with some facts changed."""
    facts = {name: value for name, value in (HEALTHY | changed).items() if name not in without}
    pairs = [
        (name, str(text).encode())
        for name, value in facts.items()
        for text in (value if isinstance(value, list) else [value])
    ]
    seen = Seen("blog", at, Reply(tuple(pairs)), asked, asked + 0.5)
    return {finding.name: finding for finding in host_findings(seen)}


def container(name: str, *mounts: tuple[str, str], writable: bool = False) -> str:
    about = [{"Type": "bind", "Source": source, "Destination": inside, "RW": writable} for source, inside in mounts]
    return json.dumps({"name": f"/{name}", "mounts": about})


def test_a_healthy_host_is_fine() -> None:
    """Nothing to mend, and each line still says what was found."""
    found = look()
    assert [each.state for each in found.values()] == [State.OK] * len(found)
    assert not any(each.mend for each in found.values())
    assert list(found) == ["clock", "tools", "parent", "target", "state", "disk", "inodes", "lock"]
    assert found["tools"].found == "dash, GNU tar, zstd"
    assert "20261120T080000Z-aaaaaaa" in found["target"].found
    assert "0123456789abcdef" not in str(found)  # a release's whole name is what keeps it hidden


@pytest.mark.parametrize(
    ("now", "state", "words"),
    [
        (NOW, State.OK, "like"),
        (NOW - 30, State.OK, "29 s behind"),
        (NOW + 61, State.WARNING, "60 s ahead of"),
        (NOW + 400, State.WARNING, "6 min ahead of"),
        (NOW - 400, State.WARNING, "6 min behind"),
        (NOW - 365 * 86400, State.WARNING, "364 days behind"),
    ],
)
def test_clocks_that_differ_are_a_warning_at_most(now: int, state: State, words: str) -> None:
    """A deploy uses the host's clock alone, so another time never stops it."""
    clock = look(now=now)["clock"]
    assert clock.state is state
    assert words in clock.found


@pytest.mark.parametrize(
    ("changed", "without", "name", "state", "words"),
    [
        ({"missing": ["stat", "tar"]}, (), "tools", State.ERROR, "no stat, tar"),
        ({}, ("proc",), "tools", State.ERROR, "/proc"),
        ({"codec": ""}, (), "tools", State.OK, "zstd would send less"),
        ({}, ("awk",), "tools", State.OK, "no awk that counts bytes"),
        ({"tar": "tar (busybox) 1.35.0"}, (), "tools", State.OK, "BusyBox's tar"),
        ({}, ("parent",), "parent", State.ERROR, "does not exist"),
        ({"parent_is": "file"}, ("parent",), "parent", State.ERROR, "not a directory"),
        ({"parent": "0 root 755 66 no"}, (), "parent", State.ERROR, "belongs to root, mode 755"),
        ({"read_only": "yes"}, (), "parent", State.ERROR, "read-only"),
        ({"kind": "file"}, (), "target", State.ERROR, "is a file"),
        ({"kind": "mount"}, (), "target", State.ERROR, "mount point"),
        ({"link": "/elsewhere"}, (), "target", State.ERROR, "did not make"),
        ({"link": ".deployer/other/releases/x"}, (), "target", State.ERROR, "did not make"),
        ({}, ("present",), "target", State.ERROR, "gone"),
        ({}, ("sealed",), "target", State.WARNING, "wrote into the live release"),
        ({"kind": "none"}, (), "target", State.OK, "the first deploy makes it"),
        ({"kind": "directory"}, (), "target", State.OK, "plain directory"),
        ({"kind": "directory", "exchange": ""}, (), "target", State.WARNING, "2 ms"),
        ({"kind": "directory", "target": "0 root 755 66 no"}, (), "target", State.WARNING, "belongs to root"),
        (
            {"kind": "directory", "parent": "0 root 1777 66 yes", "target": "0 root 755 66 no"},
            (),
            "target",
            State.ERROR,
            "sticky bit",
        ),
        (
            {"kind": "directory", "parent": "0 root 1777 66 yes", "target": "1000 deploy 755 66 yes"},
            (),
            "target",
            State.OK,
            "",
        ),
        ({}, ("deployer", "root", "state"), "state", State.OK, "not there yet"),
        ({"deployer": "0 root 711 66 no"}, ("root", "state"), "state", State.ERROR, "/www/.deployer belongs to root"),
        ({"deployer": "0 root 711 66 no"}, (), "state", State.OK, "as it should be"),
        ({"root": "0 root 711 66 no"}, (), "state", State.ERROR, "/www/.deployer/blog belongs to root"),
        ({"state": "0 root 700 66 no"}, (), "state", State.ERROR, "state belongs to root"),
        ({"state": "1000 deploy 700 67 yes"}, (), "state", State.ERROR, "another file system"),
        ({"deployer": "1000 deploy 755 66 yes"}, (), "state", State.WARNING, "mode 755"),
        ({"root": "1000 deploy 775 66 yes"}, (), "state", State.WARNING, "mode 775"),
        ({"state": "1000 deploy 750 66 yes"}, (), "state", State.WARNING, "mode 750"),
        ({"app": "shop"}, (), "state", State.ERROR, "'shop'"),
        ({"version": "2"}, (), "state", State.ERROR, "version 2"),
        ({"blocks": "/dev/a 10000000 1 900000 91% /"}, (), "disk", State.WARNING, "922 MB of 10.2 GB"),
        ({"blocks": "/dev/a 10000000 1 1500 20% /"}, (), "disk", State.WARNING, "twice"),
        ({"blocks": "/dev/a 10000000 1 300 99% /a b"}, (), "disk", State.ERROR, "full"),
        ({"blocks": "-"}, (), "disk", State.OK, "does not say"),
        ({"inodes": "/dev/a 1000 950 50 95% /"}, (), "inodes", State.WARNING, "50 of 1,000"),
        ({"inodes": "/dev/a 100 80 20 20% /"}, (), "inodes", State.WARNING, "twice"),
        ({"inodes": "/dev/a 1000 1000 0 100% /"}, (), "inodes", State.ERROR, "no more files"),
        ({"inodes": "/dev/a 0 0 0 - /"}, (), "inodes", State.OK, "does not count"),
        ({"lock": "anna@laptop"}, (), "lock", State.WARNING, "held by anna@laptop"),
        ({"lock": "anna@laptop", "lock_stale": "dead"}, (), "lock", State.WARNING, "has ended (dead)"),
        ({"pending": f"{RELEASE} {BEFORE}"}, (), "interrupted", State.WARNING, "20261120T080000Z-aaaaaaa"),
        ({"failed": [BEFORE]}, (), "failed", State.WARNING, "20261119T080000Z-bbbbbbb"),
    ],
)
def test_what_is_not_right_is_told(
    changed: dict[str, Any], without: tuple[str, ...], name: str, state: State, words: str
) -> None:
    """Every fact that matters has its line, and what is not fine says how to mend it."""
    found = look(*without, **changed)[name]
    assert (found.state, bool(found.mend)) == (state, state is not State.OK), found
    assert words in found.found


def test_the_parent_is_mended_for_the_user_that_logs_in() -> None:
    """The command can be pasted as it is, also for a path with spaces."""
    found = look("parent", at="/my www/blog", user="deploy")["parent"]
    assert found.mend == "sudo mkdir -p '/my www' && sudo chown deploy '/my www'"


def test_another_apps_target_is_wrong_input() -> None:
    """A run would end with code 2, so does the check."""
    assert look(app="shop")["state"].code == 2


def test_a_switch_that_waits_for_its_gate_is_no_interruption() -> None:
    """While its deploy holds the lock."""
    assert "interrupted" not in look(lock="anna", pending=f"{RELEASE} {BEFORE}")
    assert "interrupted" in look(lock="anna", lock_stale="dead", pending=f"{RELEASE} {BEFORE}")


def test_an_empty_answer_is_all_wrong_but_no_crash() -> None:
    """A host without any tool tells almost nothing."""
    found = look(*HEALTHY)
    assert found["tools"].state is State.ERROR
    assert found["parent"].state is State.ERROR


@pytest.mark.parametrize("source", ["/www/blog", "/www/blog/assets", "/srv/www/blog"])
def test_a_container_that_mounts_the_target_is_an_error(source: str) -> None:
    """It keeps the old release's inode; the mend shows the volume before and after."""
    found = look(docker="answered", parent_path="/srv/www", containers=container("web", (source, "/html")))["mounts"]
    assert found.state is State.ERROR
    assert "web mounts" in found.found
    assert f"{source}:/html:ro" in found.mend
    assert '"/www:/www:ro"' in found.mend


@pytest.mark.parametrize(
    ("source", "inside", "seen"),
    [("/www", "/html", "/html/blog"), ("/", "/host", "/host/www/blog"), ("/srv/www", "/html/", "/html/blog")],
)
def test_a_container_that_mounts_above_the_target_is_fine(source: str, inside: str, seen: str) -> None:
    """And it says where in the container the site is."""
    mounts = container("web", ("/etc/nginx", "/etc/nginx"), (source, inside))
    found = look(docker="answered", parent_path="/srv/www", containers=mounts)["mounts"]
    assert found.state is State.OK
    assert found.found.endswith(f" at {seen}")


def test_containers_that_have_nothing_to_do_with_it_are_not_told() -> None:
    """Nor do a neighbour's similar name or a volume without a source disturb."""
    lines = [
        container("other", ("/www/blog2", "/html")),
        json.dumps({"name": "/volume", "mounts": [{"Type": "tmpfs", "Destination": "/tmp"}]}),
        json.dumps({"name": "/none", "mounts": None}),
        "Error: No such object: abc",
    ]
    found = look(docker="answered", containers="\n".join(lines))["mounts"]
    assert (found.state, "no running container" in found.found) == (State.OK, True)


def test_docker_that_does_not_answer_is_a_warning() -> None:
    """The deploy does not need it, but nobody looked at the mounts; without docker there is no line at all."""
    found = look(docker="failed", docker_said="permission denied\nwhile trying")["mounts"]
    assert (found.state, "permission denied while trying" in found.found) == (State.WARNING, True)
    assert "5 s" in look(docker="failed", docker_said="")["mounts"].found
    assert "mounts" not in look()
