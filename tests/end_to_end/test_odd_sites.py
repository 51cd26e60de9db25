"""Sites of a shape that nobody planned for: what a name was changes its kind, its case, its depth or its number."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.deployment import Deployment, tree
from tests.end_to_end.hosts import busybox_programs, programs_without

HOSTS = ("gnu", "busybox")
PAGE = b"a page that the host has already"


def use_host(site: Deployment, kind: str) -> None:
    """Deploy to a host with GNU's programs and no zstd, or with BusyBox's alone."""
    folder = site.directory / "bin"
    site.variables["PATH"] = busybox_programs(folder) if kind == "busybox" else programs_without(folder, "zstd")


def write_into_the_live_release(site: Deployment) -> None:
    """So that the next deploy has to hash what is there anew, instead of reading the manifest."""
    (site.target / "stray").write_text("by hand")


# --- names that differ in their case alone ---------------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOSTS)
def test_a_name_may_change_its_case(site: Deployment, host: str) -> None:
    """``Index.html`` becomes ``index.html``: visitors get exactly the new name, nothing is sent, and going back works."""
    use_host(site, host)
    site.write("Index.html", "home")
    site.write("Docs/Page.html", "page")
    site.deploy()
    before = site.served()
    (site.source / "Index.html").rename(site.source / "index.html")
    (site.source / "Docs").rename(site.source / "docs")

    answer = site.deploy()

    assert (answer["files_uploaded"], answer["files_deleted"]) == (0, 2)
    assert set(site.served()) == {b"index.html", b"docs", b"docs/Page.html"}
    assert site.served() == tree(site.source)
    site.answer("rollback")
    assert site.served() == before


def test_names_that_differ_in_case_stay_apart(site: Deployment) -> None:
    """Two such names side by side, a file and a directory even, are two; and one of them may go or change alone."""
    site.write("Readme", "upper")
    site.write("README", "all upper")
    site.write("readme/index.html", "in a directory")
    site.deploy()
    assert site.served() == tree(site.source)

    site.write("Readme", "changed")
    (site.source / "README").unlink()
    answer = site.deploy()

    assert (answer["files_uploaded"], answer["files_deleted"]) == (1, 1)
    assert site.served() == tree(site.source)


# --- names that become something else --------------------------------------------------------------------------------------


def a_file(path: Path) -> None:
    path.write_bytes(PAGE)


def another_file(path: Path) -> None:
    path.write_bytes(b"made of " + os.fsencode(path.name))


def an_executable(path: Path) -> None:
    path.write_bytes(PAGE)
    path.chmod(0o755)


def a_directory(path: Path) -> None:
    path.mkdir()
    (path / "page").write_bytes(PAGE)


def a_deeper_directory(path: Path) -> None:
    (path / "page").mkdir(parents=True)
    (path / "page" / "page").write_bytes(PAGE)


def an_empty_directory(path: Path) -> None:
    path.mkdir()


def a_link_to_a_file(path: Path) -> None:
    path.symlink_to("fixed/page")


def a_link_to_a_directory(path: Path) -> None:
    path.symlink_to("fixed")


def a_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


KINDS = (
    a_file,
    another_file,
    an_executable,
    a_directory,
    a_deeper_directory,
    an_empty_directory,
    a_link_to_a_file,
    a_link_to_a_directory,
    a_dangling_link,
)


def write_kinds(site: Deployment, which: int, *, beside: str) -> None:
    """One name for each change of a kind into another: what it is before (``which`` 0) or after (1)."""
    shutil.rmtree(site.source)
    site.source.mkdir()
    site.write("fixed/page", PAGE)
    site.write("version", beside)
    for change in itertools.permutations(KINDS, 2):
        change[which](site.source / " to ".join(kind.__name__ for kind in change))


def leave_alone(_site: Deployment) -> None:
    pass


def lose_the_manifest(site: Deployment) -> None:
    (site.record() / "list.gz").unlink()


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("meanwhile", [leave_alone, write_into_the_live_release, lose_the_manifest])
def test_a_name_may_become_anything(site: Deployment, host: str, meanwhile: Callable[[Deployment], None]) -> None:
    """Every kind becomes every other kind in one deploy, and is again what it was after a rollback.

    A file may stand where a directory was, a directory where a link to one with the same file in it was; whether the host
    knows what it has by its manifest or has to look.
    """
    use_host(site, host)
    write_kinds(site, 0, beside="old")
    site.deploy()
    old = tree(site.source)
    assert site.served() == old
    meanwhile(site)
    write_kinds(site, 1, beside="new")

    answer = site.deploy()

    assert site.served() == tree(site.source)
    assert answer["files_total"] == 2 + 5 * (len(KINDS) - 1)  # five of the kinds have a file
    if meanwhile is not write_into_the_live_release:  # which is not gone back to
        site.answer("rollback")
        assert site.served() == old


def test_a_plain_site_may_become_anything(site: Deployment) -> None:
    """The same when the site before was put there by hand, and comes back by a rollback."""
    write_kinds(site, 0, beside="by hand")
    shutil.copytree(site.source, site.target, symlinks=True)
    by_hand = tree(site.target)
    write_kinds(site, 1, beside="new")

    site.deploy()

    assert site.served() == tree(site.source)
    site.answer("rollback")
    assert site.served() == by_hand


# --- many and deep ---------------------------------------------------------------------------------------------------------

MANY = 10_000


@pytest.mark.parametrize("host", HOSTS)
def test_ten_thousand_files_in_one_directory(site: Deployment, host: str) -> None:
    """They arrive; when ten change, only those are sent, even after somebody wrote into the directory."""
    use_host(site, host)
    (site.source / "all").mkdir()
    for number in range(MANY):
        (site.source / "all" / f"an entry of the archive, number {number:05}.html").write_bytes(b"%d" % number)

    first = site.deploy()

    assert first["files_total"] == first["files_uploaded"] == MANY
    assert site.served() == tree(site.source)
    for number in range(10):
        (site.source / "all" / f"an entry of the archive, number {number:05}.html").write_bytes(b"changed %d" % number)
    (site.target / "all" / "stray").write_text("by hand")
    second = site.deploy()
    assert (second["files_uploaded"], second["files_deleted"]) == (10, 1)
    assert site.served() == tree(site.source)


@pytest.mark.parametrize("host", HOSTS)
def test_a_tree_two_hundred_deep(site: Deployment, host: str) -> None:
    """A file at the bottom arrives, is kept, changes and goes, and the old releases are removed to the last directory."""
    use_host(site, host)
    site.static["keep"] = 2
    bottom = "/".join(["folder-in-it"] * 200)
    site.write(f"{bottom}/page.html", "deep")
    site.write(f"{bottom}/same.html", "same")
    (site.source / bottom / "empty").mkdir()
    site.deploy()
    assert site.served() == tree(site.source)

    for text in ("changed", "changed again", "and again"):
        site.write(f"{bottom}/page.html", text)
        assert site.deploy()["files_uploaded"] == 1
        assert site.served() == tree(site.source)
    assert len(site.releases()) == 2
    write_into_the_live_release(site)
    site.files(index="flat")
    assert site.deploy()["files_deleted"] == 3  # with the stray one
    assert site.served() == tree(site.source)
    assert site.is_unlocked()
