"""Somebody else writes into the live release, or into what deployer remembers of it: the next run puts it right."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.deployment import Deployment, tree


@pytest.fixture
def site(tmp_path: Path) -> Deployment:
    """A site with two releases, deployed to this machine; some of its files are the same in both."""
    site = Deployment(tmp_path)
    site.files(index="old", page="page", other="same")
    site.deploy()
    site.files(index="new", page="page", other="same")
    site.deploy()
    return site


def overwrite(live: Path) -> None:
    (live / "page.html").write_text("evil")


def overwrite_with_the_same_size_and_time(live: Path) -> None:
    page = live / "page.html"
    about = page.stat()
    fresh = live / "fresh"
    fresh.write_text("evil")
    os.utime(fresh, ns=(about.st_atime_ns, about.st_mtime_ns))
    fresh.rename(page)


def add(live: Path) -> None:
    (live / "stray.html").write_text("stray")


def add_a_link(live: Path) -> None:
    (live / "stray").symlink_to("/etc")


def add_an_odd_name(live: Path) -> None:
    (live / "stray\n\\name").write_text("stray")


def remove(live: Path) -> None:
    (live / "page.html").unlink()


def change_a_mode(live: Path) -> None:
    (live / "page.html").chmod(0o600)


def rename(live: Path) -> None:
    (live / "page.html").rename(live / "renamed.html")


def replace_by_a_directory(live: Path) -> None:
    (live / "page.html").unlink()
    (live / "page.html").mkdir()
    (live / "page.html" / "x").write_text("x")


def empty(live: Path) -> None:
    for path in live.iterdir():
        path.unlink()


DAMAGES = [
    overwrite,
    overwrite_with_the_same_size_and_time,
    add,
    add_a_link,
    add_an_odd_name,
    remove,
    change_a_mode,
    rename,
    replace_by_a_directory,
    empty,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_same_source_puts_the_live_release_right(site: Deployment, damage: Callable[[Path], None]) -> None:
    """A stray scp is noticed by the next run of the same source, which serves exactly the source again and warns."""
    damage(site.target.resolve())

    ended = site.run()

    assert ended.code == 0, ended.err
    assert ended.json["status"] == "deployed"
    assert site.served() == tree(site.source)
    assert "somebody wrote into the live release" in ended.err
    assert site.deploy()["status"] == "unchanged"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_release_is_not_gone_back_to(site: Deployment, damage: Callable[[Path], None]) -> None:
    """Rolling back to a release that was changed is refused, and what is live stays live."""
    previous = site.releases()[0]
    damage(next(path for path in (site.root / "releases").iterdir() if path.name.startswith(previous)))

    site.command("rollback", "--json").failed(1, previous, "changed after it was deployed")

    assert site.text("index.html") == "new"
    states = {each["release"]: each["state"] for each in site.answer("releases")["releases"]}
    assert states[previous] == "damaged"
    assert site.is_unlocked()


def test_a_write_through_a_shared_file_damages_both_releases(site: Deployment) -> None:
    """A file that two releases share was written in place: neither is trusted, and a new run serves the source again."""
    overwrite(site.target.resolve())

    site.command("rollback", "--json").failed(1, "changed after it was deployed")
    site.deploy()

    assert site.served() == tree(site.source)


def test_a_stray_file_that_equals_the_source_may_stay_linked(site: Deployment) -> None:
    """A hand-made hot fix that is then deployed arrives once more with a time that no cache has seen."""
    page = site.target / "page.html"
    before = page.stat().st_mtime
    page.write_text("fixed")
    os.utime(page, (before + 500, before + 500))
    site.write("page.html", "fixed")

    site.deploy()

    assert site.served() == tree(site.source)
    assert page.stat().st_mtime >= before


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def scribble(file: Path) -> None:
    file.write_bytes(b"\x00garbage\xff" * 100)


def clear(file: Path) -> None:
    file.write_bytes(b"")


def delete(file: Path) -> None:
    file.unlink()


def lie(file: Path) -> None:
    text = gzip.decompress(file.read_bytes())
    file.write_bytes(gzip.compress(text.replace(b"page.html", b"evil.html")))


def newer(file: Path) -> None:
    text = gzip.decompress(file.read_bytes())
    file.write_bytes(gzip.compress(text.replace(b"manifest 1\n", b"manifest 2\n", 1)))


def enlarge(file: Path) -> None:
    file.write_bytes(gzip.compress(bytes(50_000_000)))


@pytest.mark.parametrize("damage", [truncate, scribble, clear, delete, lie, newer, enlarge])
def test_a_damaged_manifest_means_send_more(site: Deployment, damage: Callable[[Path], None]) -> None:
    """Whatever became of the live release's manifest, the next run deploys exactly its source, and the one after links."""
    damage(site.record() / "list.gz")
    site.files(index="newest", page="page", other="same")

    site.deploy()
    assert site.served() == tree(site.source)

    site.files(index="newest", page="page", other="changed")
    assert site.deploy()["files_uploaded"] == 1
    assert site.served() == tree(site.source)


@pytest.mark.parametrize("name", ["facts", "seal"])
@pytest.mark.parametrize("damage", [truncate, scribble, clear, delete])
def test_a_damaged_record_is_no_obstacle(site: Deployment, name: str, damage: Callable[[Path], None]) -> None:
    """A record's other files may be damaged too: the next run of the same or another source serves exactly that."""
    damage(site.record() / name)

    site.run()
    assert site.served() == tree(site.source)

    site.files(index="newest")
    site.deploy()
    assert site.served() == tree(site.source)


@pytest.mark.parametrize(
    "what", ["records", "logs", "journal", "records/*", "records/*/served", "logs/*", "version", "app", "."]
)
def test_missing_state_is_no_obstacle(site: Deployment, what: str) -> None:
    """Parts of the state, or all of it, may be gone: looking works, and the next run serves its source."""
    for path in [site.state] if what == "." else list(site.state.glob(what)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    for command in ("status", "releases", "logs"):
        assert site.answer(command)["app"] == "site"
    site.files(index="newest", page="page")
    site.deploy()

    assert site.served() == tree(site.source)
    assert site.command("rollback", "--dry-run").code in (0, 1)  # 1: what was live before went with its record


def test_the_live_release_that_is_gone_is_made_again(site: Deployment) -> None:
    """Where somebody removed the live release's directory, a run of the same source makes the site whole again."""
    shutil.rmtree(site.target.resolve())

    site.deploy()

    assert site.served() == tree(site.source)


def test_all_state_and_releases_gone(site: Deployment) -> None:
    """With only a dangling link left, a run starts anew."""
    shutil.rmtree(site.parent / ".deployer")

    site.deploy()

    assert site.served() == tree(site.source)
