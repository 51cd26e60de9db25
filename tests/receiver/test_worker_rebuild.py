"""Rebuild apps on this machine: the checkout that serves is brought to the pushed commit, whatever its branch."""

from __future__ import annotations

from pathlib import Path

from receiver.store import Source, Status, jobs
from receiver.store.queueing import Request
from tests.end_to_end.repository import git
from tests.receiver.worker_parts import WorkerProcess, World

_MAKEFILE = "build:\n\tcp version built\nup:\n\tcp built '{served}'\n"


class Rebuilt(World):
    """The app ``blog`` is a checkout in ``server``, and ``served`` what visitors get."""

    def configure(self) -> None:
        """Write the files."""
        super().configure()
        self.checkout, self.page = self.folder / "server" / "blog", self.folder / "page"
        (self.folder / "blog.toml").write_text(
            f'app = "blog"\nstrategy = "rebuild"\nhost = "local"\n'
            f'[rebuild]\npath = "{self.checkout}"\nrepository = "{self.origin.bare}"\n'
        )

    def commit(self, version: str, ref: str = "refs/heads/main") -> str:
        """A version of the app."""
        makefile = _MAKEFILE.format(served=self.page)
        return self.origin.commit({"version": version, "Makefile": makefile, ".gitignore": "built\n"}, ref)


def test_a_push_rebuilds_the_checkout(tmp_path: Path) -> None:
    """Each push brings checkout and branch to its commit, a force-push too; a second look finds nothing to do."""
    world = Rebuilt(tmp_path)
    (tmp_path / "server").mkdir()
    with WorkerProcess(world):
        first = world.commit("one")
        world.succeeded(world.ask())
        assert (world.page.read_text(), git(world.checkout, "rev-parse", "HEAD")) == ("one", first)
        second = world.commit("two")
        job = world.succeeded(world.ask())
        assert (world.page.read_text(), job.commit) == ("two", second)
        world.origin.push(first)
        job = world.succeeded(world.ask())
        assert (world.page.read_text(), job.commit) == ("one", first)
        assert git(world.checkout, "symbolic-ref", "HEAD") == "refs/heads/main"
        assert git(world.checkout, "rev-parse", "main") == first
        again = jobs.request(world.database, Request("blog", "refs/heads/main", Source.MANUAL, forced=True))
        assert world.over(again).status is Status.UNCHANGED


def test_a_rollback_brings_the_release_before_back(tmp_path: Path) -> None:
    """A rollback job goes to the release before; what is live says which."""
    world = Rebuilt(tmp_path)
    (tmp_path / "server").mkdir()
    with WorkerProcess(world):
        first = world.commit("one")
        released = world.succeeded(world.ask()).release
        world.commit("two")
        world.succeeded(world.ask())
        job = world.succeeded(world.ask("", kind="rollback"))
        assert (world.page.read_text(), job.commit, job.release) == ("one", first, released)
        live = world.live()
        assert live is not None and (live.commit, live.release, live.ref) == (first, released, "")
        # The branch's head was dealt with: nothing brings it back by itself.
        assert world.over(world.ask()).status is Status.UNCHANGED


def test_a_tag_that_is_older_than_what_is_live_changes_nothing(tmp_path: Path) -> None:
    """Only the history tells that a tag is older than the live branch; a history of its own is fetched for that."""
    world = Rebuilt(tmp_path)
    (tmp_path / "server").mkdir()
    with WorkerProcess(world):
        first = world.commit("one")
        world.commit("two")
        world.succeeded(world.ask())
        world.origin.push(first, "refs/tags/v1")
        job = world.over(world.ask("refs/tags/v1"))
        assert (job.status, job.commit) == (Status.SUPERSEDED, first)
        assert world.page.read_text() == "two"
        third = world.commit("three")
        world.origin.push(third, "refs/tags/v2")
        job = world.succeeded(world.ask("refs/tags/v2"))
        assert (world.page.read_text(), job.commit) == ("three", third)
