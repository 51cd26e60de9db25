"""Any history of any site: deploys, failed gates, strangers' writes and rollbacks, held against a model.

Real files and the real program, in each shell and set of tools that a host may have.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from deployer.engine import Gate
from deployer.errors import DeployFailed, GateFailed
from deployer.static.rollback import StaticRollback
from tests.conftest import need
from tests.contract.conftest import Way
from tests.contract.site import Site

Shape = tuple[str, ...]  # of a name: kind, mode and hash, or kind and target
Files = dict[bytes, Shape]

NAMES = st.sampled_from(
    [b"a", b"b", b"c.html", b"d e", b"f\ng", b"\xff", b"h\\i", b"-j", b"'k\"", b"$(l)", b" m ", b"n" * 200]
)
SIZES = st.sampled_from([0, 1, 2, 1000, 40_000])
KINDS = st.sampled_from(["file", "file", "file", "program", "link", "directory"])
TREES = st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=3), KINDS, SIZES, NAMES), min_size=1, max_size=10)


def build(folder: Path, tree: list[tuple[list[bytes], str, int, bytes]]) -> None:
    """Make the tree anew; what does not fit beside what is there already is left out."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "index.html").write_text(str(tree))
    for parts, kind, size, target in tree:
        path = folder.joinpath(*map(os.fsdecode, parts))
        with contextlib.suppress(OSError):  # a loop of links has no class of its own
            path.parent.mkdir(parents=True, exist_ok=True)
            match kind:
                case "directory":
                    path.mkdir()
                case "link":
                    path.symlink_to(os.fsdecode(target))
                case _:
                    path.touch(0o700 if kind == "program" else 0o600, exist_ok=False)
                    path.write_bytes(b"page " * size)


def look(folder: Path, *, served: bool = False) -> tuple[Files, dict[bytes, tuple[int, int]]]:
    """Every name with its shape, and the time and inode of each file. What is served has exact modes."""
    files: Files = {}
    inodes: dict[bytes, tuple[int, int]] = {}
    for path in folder.rglob("*"):
        about, name = path.lstat(), os.fsencode(path.relative_to(folder))
        if stat.S_ISLNK(about.st_mode):
            files[name] = ("link", str(path.readlink()))
        elif stat.S_ISDIR(about.st_mode):
            files[name] = ("directory", "755" if not served else f"{about.st_mode & 0o7777:o}")
        else:
            mode = about.st_mode & 0o7777 if served else 0o755 if about.st_mode & 0o100 else 0o644
            files[name] = ("file", f"{mode:o}", hashlib.sha256(path.read_bytes()).hexdigest())
            inodes[name] = (about.st_mtime_ns, about.st_ino)
    return files, inodes


class History(RuleBasedStateMachine):
    """A site, and what visitors must see of it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        (self.folder / "www").mkdir()
        self.site = Site(Way("local", {"host": ("local",), "static.keep": 3}, self.folder))
        self.live, self.inodes = look(self.site.target)
        self.releases: dict[str, Files] = {}
        self.written: set[str] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def take_over(self) -> None:
        before, inodes = self.live, self.inodes
        self.live, self.inodes = look(self.site.target, served=True)
        for name in self.inodes.keys() & inodes.keys():
            if self.live[name] == before[name]:
                assert self.inodes[name] == inodes[name], f"{name!r} is unchanged, and yet another file"
            else:
                assert self.inodes[name][0] > inodes[name][0], f"{name!r} changed, and its time did not"

    @precondition(lambda self: not self.releases and not self.live)
    @rule(tree=TREES)
    def was_copied_there(self, tree: Any) -> None:
        """The site was put there by other means: the first deploy adopts it."""
        build(self.site.target, tree)

    @rule(tree=TREES)
    def deploy(self, tree: Any) -> None:
        build(self.site.source, tree)
        result = self.site.deployed()
        assert look(self.site.target, served=True)[0] == look(self.site.source)[0]
        if self.releases and not self.written:
            self.take_over()
        self.live, self.inodes = look(self.site.target, served=True)
        self.releases[result.release] = self.live
        self.written.clear()
        assert self.site.run().status == "unchanged"

    @precondition(lambda self: self.releases)
    @rule(tree=TREES)
    def fail_the_gate(self, tree: Any) -> None:
        build(self.site.source, tree)
        before = look(self.site.target)
        bad: Gate = lambda: "bad"  # noqa: E731
        result = self.site.run(gate=bad)
        assert result.status == "unchanged" or isinstance(result.error, GateFailed)
        assert look(self.site.target) == before

    @precondition(lambda self: self.releases)
    @rule(how=st.sampled_from(["replace", "add", "remove", "chmod"]))
    def a_stranger_writes(self, how: str) -> None:
        page = self.site.target / "index.html"
        match how:
            case "replace":
                page.unlink(missing_ok=True)
                page.write_bytes(b"a stray scp")
            case "add":
                (self.site.target / "stray").write_bytes(b"a stray scp")
            case "remove":
                page.unlink(missing_ok=True)
            case _ if page.exists():
                page.chmod(0o600)
        self.written.add(how)

    @precondition(lambda self: self.releases and not self.written)
    @rule()
    def roll_back(self) -> None:
        config = self.site.way.config(lock_wait=30)
        result = self.site.run(StaticRollback(config, "", label="anna", log=str))
        if isinstance(result.error, DeployFailed):  # nothing before it is kept, or a stranger wrote into that
            assert look(self.site.target, served=True)[0] == self.live
            return
        assert result.error is None
        self.live, self.inodes = look(self.site.target, served=True)
        if result.release in self.releases:
            assert self.live == self.releases[result.release]
        self.releases[result.release] = self.live


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("tools", ["dash", "bash", "busybox"])
def test_visitors_always_see_what_was_deployed(tools: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After any history the live directory is exactly the source that was deployed last, or the one that was gone back to.

    Unchanged files stay the same files, changed ones get a later time, a failed gate leaves nothing behind.
    """
    program = need(tools, "to be the host's shell")
    folder = tmp_path / "bin"
    folder.mkdir()
    if tools == "busybox":
        subprocess.run([program, "--install", "-s", str(folder)], check=True, capture_output=True)
        monkeypatch.setenv("PATH", str(folder))
    else:
        (folder / "sh").symlink_to(program)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=4, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
