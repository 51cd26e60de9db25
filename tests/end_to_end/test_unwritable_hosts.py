"""Hosts that do not let us write: a read-only disk, somebody else's directory, files that nobody may change."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from tests.end_to_end.deployment import Deployment, listing, tree
from tests.end_to_end.faults import LOOKING, check_next_run, check_old_site, mounted
from tests.end_to_end.held_programs import run_and_act_in
from tests.end_to_end.hosts import NOBODY, ordinary_user

# --- a disk that is read-only ----------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[mounted]:
    """Where sites go is a disk of its own."""
    directory = tmp_path / "www"
    directory.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=20m,mode=755", "tmpfs", directory) as made:
        yield made


def test_a_read_only_disk(disk: mounted, site: Deployment) -> None:
    """Nothing can be written: exit 1 and one message that names the place, and the site is served as before."""
    site.files(index="older", same="same")
    site.deploy()
    site.files(index="old", same="same")
    site.deploy()
    before = listing(site.parent)
    site.write("index.html", "new")
    disk.remount("ro")

    for command in ("run", "rollback"):
        site.command(command).failed(1, str(site.parent))
        assert listing(site.parent) == before
    disk.remount("rw")
    check_old_site(site)
    check_next_run(site)


def test_a_read_only_disk_is_named(disk: mounted, site: Deployment) -> None:
    """The message says that it is read-only, and nothing of an owner that is right."""
    site.files(index="old", same="same")
    site.deploy()
    site.write("index.html", "new")
    disk.remount("ro")

    said = site.run().failed(1, str(site.parent), "ead-only")

    assert "chown" not in said


def test_looking_at_a_read_only_disk(disk: mounted, site: Deployment) -> None:
    """What changes nothing works there: that is when one wants to look."""
    site.files(index="old", same="same")
    site.deploy()
    disk.remount("ro")

    for command in LOOKING:
        assert site.command(command).code == 0, command


def test_a_disk_that_becomes_read_only_in_the_middle(disk: mounted, site: Deployment) -> None:
    """As ext4 does when it finds an error: exit 1, the old site whole; mounted anew, the next run needs no repair."""
    site.files(index="old", same="same")
    site.deploy()
    site.write("index.html", "new")
    site.write("movie.bin", os.urandom(4 << 20))

    run_and_act_in(site, "zstd", lambda: disk.remount("ro")).failed(1)

    assert site.text("index.html") == "old"
    disk.remount("rw")
    check_next_run(site)


def test_a_disk_that_becomes_read_only_is_named(disk: mounted, site: Deployment) -> None:
    """The message says what the system says."""
    site.files(index="x")

    run_and_act_in(site, "df", lambda: disk.remount("ro")).failed(1, "ead-only")


# --- somebody else's directory ---------------------------------------------------------------------------------------------


@pytest.fixture
def ordinary(open_directory: Path, as_root: None) -> Deployment:
    """A site of an ordinary user, who may write beside the target, where root has made ``.deployer``."""
    site = Deployment(open_directory)
    site.variables["PATH"] = ordinary_user(open_directory / "bin")
    site.parent.chmod(0o777)
    (site.parent / ".deployer").mkdir(mode=0o711)
    site.files(index="old", same="same")
    return site


@pytest.mark.parametrize("mode", [0o711, 0o700])
def test_a_deployer_directory_of_somebody_else(ordinary: Deployment, mode: int) -> None:
    """The first app of a server was root's: exit 1, the directory is named, and making it there is enough."""
    (ordinary.parent / ".deployer").chmod(mode)
    before = listing(ordinary.parent)

    ordinary.run().failed(1, str(ordinary.root))

    assert listing(ordinary.parent) == before
    (ordinary.parent / ".deployer").chmod(0o711)
    ordinary.root.mkdir(mode=0o711)
    os.chown(ordinary.root, NOBODY, NOBODY)
    check_next_run(ordinary)


def test_whose_deployer_directory_it_is(ordinary: Deployment) -> None:
    """The message says whose the directory is, and gives a command that mends it."""
    ordinary.run().failed(1, str(ordinary.root), "belongs to root", "sudo")


# --- files that nobody may change ------------------------------------------------------------------------------------------


@pytest.fixture
def immutable(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Makes a file or directory immutable, for root too (chattr +i), until the end of the test."""
    chattr = need("chattr", "to make files that nobody may change")

    def make(path: Path) -> None:
        done = subprocess.run([chattr, "+i", path], check=False, capture_output=True)
        need("chattr +i", "to make files that nobody may change", present=done.returncode == 0)

    yield make
    subprocess.run([chattr, "-R", "-f", "-i", tmp_path], check=False, capture_output=True)


def mutable(path: Path) -> None:
    subprocess.run(["chattr", "-i", path], check=True)


@pytest.fixture
def kept(site: Deployment) -> Deployment:
    """A site of two releases, of which no more are kept."""
    site.static["keep"] = 2
    for text in ("older", "old"):
        site.files(index=text, same="same")
        site.deploy()
    site.write("index.html", "new")
    return site


Immutable = Callable[[Path], None]


def test_an_immutable_file_of_the_live_release(kept: Deployment, immutable: Immutable) -> None:
    """It cannot be linked: the run does without, or ends with exit 1 and names it; taking the flag away is enough."""
    page = kept.target.resolve() / "same.html"
    immutable(page)

    ended = kept.run()

    if ended.code == 0:
        assert kept.served() == tree(kept.source)
        kept.write("index.html", "newer")
    else:
        ended.failed(1, "same", "Operation not permitted")
        check_old_site(kept)
    mutable(page)
    check_next_run(kept)


def test_an_immutable_file_is_copied(kept: Deployment, immutable: Immutable) -> None:
    """Where linking is refused, a copy serves as well."""
    immutable(kept.target.resolve() / "same.html")

    check_next_run(kept)


def test_an_immutable_release_directory(kept: Deployment, immutable: Immutable) -> None:
    """The live release itself: the next ones go live; it is removed when that becomes possible."""
    directory = kept.target.resolve()
    immutable(directory)

    for text in ("new", "newer", "newest"):
        kept.write("index.html", text)
        check_next_run(kept)
    assert directory.is_dir()
    mutable(directory)
    for text in ("1", "2"):
        kept.write("index.html", text)
        check_next_run(kept)
    assert not directory.exists()
    assert len(kept.releases()) == 2


def test_an_immutable_file_of_an_old_release(kept: Deployment, immutable: Immutable) -> None:
    """It cannot be removed with its release: that stops nothing, and is done later."""
    oldest = next(path for path in (kept.root / "releases").iterdir() if path != kept.target.resolve())
    immutable(oldest / "index.html")

    for text in ("new", "newer"):
        kept.write("index.html", text)
        check_next_run(kept)
    assert not oldest.exists()
    (left,) = kept.state.glob("gone.*")
    mutable(left / "index.html")
    kept.write("index.html", "newest")
    check_next_run(kept)
    assert not left.exists()


@pytest.mark.parametrize("where", ["parent", "root", "state", "releases"])
def test_an_immutable_directory_of_the_host(kept: Deployment, immutable: Immutable, where: str) -> None:
    """Where the link, the lock or the release has to go: exit 1, the place is named, and nothing is switched."""
    directories = {"parent": kept.parent, "root": kept.root, "state": kept.state, "releases": kept.root / "releases"}
    immutable(directories[where])

    for command in ("run", "rollback"):
        ended = kept.command(command)
        if ended.code == 0:  # it does not need to write there
            assert (where, command) in (("root", "run"), ("root", "rollback"), ("releases", "rollback"))
        else:
            ended.failed(1, str(kept.parent))
            check_old_site(kept)
    mutable(directories[where])
    kept.write("index.html", "at last")
    check_next_run(kept)


def test_an_immutable_parent_is_named(kept: Deployment, immutable: Immutable) -> None:
    """The message does not send root to make root the owner."""
    immutable(kept.parent)

    said = kept.run().failed(1, str(kept.parent), "not permitted")

    assert "chown" not in said


@pytest.mark.parametrize("which", ["site", "site/same.html"])
def test_an_immutable_site_is_not_adopted(site: Deployment, immutable: Immutable, which: str) -> None:
    """A plain directory that may not be moved, or a file in it not linked: exit 1, and it stays what it was."""
    site.target.mkdir()
    for name, text in (("index.html", "old"), ("same.html", "same")):
        (site.target / name).write_text(text)
    site.files(index="new", same="same")
    immutable(site.parent / which)

    for _ in range(2):
        ended = site.run()
        if ended.code == 0:
            break
        ended.failed(1, Path(which).name, "Operation not permitted")
        assert not site.target.is_symlink()
        assert [path.name for path in site.parent.iterdir() if path.name.startswith(".site")] == []
        check_old_site(site)
    mutable((site.parent / which).resolve())
    site.write("index.html", "newest")
    check_next_run(site)
