"""What a static deploy makes of its source: links, modes, times, and what it sends for it."""

from __future__ import annotations

import os
import stat

import pytest

from tests.end_to_end.deployment import Deployment, tree

RANDOM = os.urandom(200_000)  # does not compress: what is sent can be told from bytes_uploaded


def test_links_inside_the_source_are_kept_as_links(site: Deployment) -> None:
    """Relative links to files and directories arrive as they are, a dangling one included."""
    site.write("pages/a.html", "a")
    (site.source / "latest").symlink_to("pages")
    (site.source / "pages" / "b.html").symlink_to("../pages/a.html")
    (site.source / "later").symlink_to("pages/not-yet.html")

    site.deploy()

    assert site.served() == tree(site.source)
    assert (site.target / "latest" / "b.html").read_text() == "a"
    assert site.deploy()["status"] == "unchanged"


def test_a_link_that_changes_its_aim_is_deployed(site: Deployment) -> None:
    """A link is part of the release: another target for it is a change, and the old link is not followed."""
    site.files(one="1", two="2")
    (site.source / "now").symlink_to("one.html")
    site.deploy()
    (site.source / "now").unlink()
    (site.source / "now").symlink_to("two.html")

    answer = site.deploy()

    assert answer["status"] == "deployed"
    assert answer["files_uploaded"] == 0
    assert site.text("now") == "2"


@pytest.mark.parametrize("aim", ["../outside", "/etc/hostname", "sub/../../outside", "..", "loop/../../outside"])
def test_a_link_out_of_the_source_is_refused(site: Deployment, aim: str) -> None:
    """No link may lead out of the source, however it is written; the message names link and aim, and nothing is live."""
    site.write("sub/index.html", "x")
    (site.directory / "outside").write_text("secret")
    (site.source / "loop").symlink_to("sub")
    (site.source / "odd").symlink_to(aim)

    site.run().failed(2, "odd", aim, "leads out of static.source")

    assert not site.target.is_symlink()


def test_an_absolute_link_into_the_source_is_refused(site: Deployment) -> None:
    """On the host it would lead to a path of this machine."""
    site.files(index="x")
    (site.source / "absolute").symlink_to(site.source / "index.html")

    site.run().failed(2, "absolute", "leads out of static.source")


def test_an_excluded_link_may_lead_anywhere(site: Deployment) -> None:
    """What is excluded is not looked at."""
    site.files(index="x")
    (site.source / "node_modules").symlink_to("/usr/lib")
    site.static["exclude"] = ["node_modules"]

    site.deploy()

    assert list(site.served()) == [b"index.html"]


def test_something_that_is_no_file_is_refused(site: Deployment) -> None:
    """A pipe in the source is named instead of being read for ever."""
    site.files(index="x")
    os.mkfifo(site.source / "pipe")

    site.run().failed(2, "pipe", "neither a file")


def test_empty_directories_arrive(site: Deployment) -> None:
    """An empty directory is part of the release, one that gets empty or disappears too."""
    site.files(index="x")
    (site.source / "empty" / "inner").mkdir(parents=True)
    site.deploy()
    assert site.served() == tree(site.source)

    (site.source / "empty" / "inner").rmdir()
    assert site.deploy()["status"] == "deployed"
    assert site.served() == tree(site.source)

    (site.source / "empty").rmdir()
    assert site.deploy()["status"] == "deployed"
    assert site.served() == tree(site.source)


def test_modes_do_not_depend_on_umask_or_source(site: Deployment) -> None:
    """Files are 0644, or 0755 where their owner may execute them; directories are 0755. Nothing else survives."""
    for number, mode in enumerate((0o600, 0o640, 0o666, 0o444, 0o4755, 0o700, 0o711, 0o655)):
        site.write(f"dir{number}/{mode:o}", f"{number}", mode)
        (site.source / f"dir{number}").chmod(0o700)
    before = os.umask(0o077)  # the host's program, on this machine, inherits it
    try:
        site.deploy()
    finally:
        os.umask(before)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in site.target.rglob("*")}
    executable = {"4755", "700", "711"}
    for name, mode in modes.items():
        assert mode == (0o755 if name.startswith("dir") or name in executable else 0o644), name
    assert stat.S_IMODE(site.target.stat().st_mode) == 0o755


def test_a_mode_alone_is_a_change(site: Deployment) -> None:
    """A file that becomes executable is deployed without being sent, and the old release keeps its mode."""
    site.write("tool", RANDOM)
    site.write("page", "x")
    site.deploy()
    old = site.target.resolve()
    site.write("tool", RANDOM, 0o755)

    answer = site.deploy()

    assert answer["status"] == "deployed"
    assert answer["bytes_uploaded"] < 5000
    assert stat.S_IMODE((site.target / "tool").stat().st_mode) == 0o755
    assert stat.S_IMODE((old / "tool").stat().st_mode) == 0o644


def test_same_contents_are_sent_once(site: Deployment) -> None:
    """Copies of a file travel once, whatever their names and modes."""
    for number in range(4):
        site.write(f"copy{number}", RANDOM)
    site.write("copy.x", RANDOM, 0o755)

    answer = site.deploy()

    assert len(RANDOM) < answer["bytes_uploaded"] < 1.1 * len(RANDOM)
    assert site.served() == tree(site.source)


def test_contents_that_the_host_has_are_not_sent(site: Deployment) -> None:
    """A file that was moved or copied to another path is made on the host, out of the one that is there."""
    site.write("a", RANDOM)
    site.deploy()
    site.write("b/copy", RANDOM)
    (site.source / "a").rename(site.source / "moved")

    answer = site.deploy()

    assert answer["files_uploaded"] == 0
    assert answer["bytes_uploaded"] < 5000
    assert site.served() == tree(site.source)


def test_unchanged_files_keep_inode_and_time_and_others_get_a_new_time(site: Deployment) -> None:
    """Unchanged files are the same inode with the same time; changed, moved and swapped ones get a later time."""
    site.files(same="same", changed="old", moved="moved", one="1", two="2")
    site.deploy()
    before = {path.name: path.stat() for path in site.target.iterdir()}
    site.files(same="same", changed="new", elsewhere="moved", one="2", two="1")

    site.deploy()
    after = {path.name: path.stat() for path in site.target.iterdir()}

    assert after["same.html"].st_ino == before["same.html"].st_ino
    assert after["same.html"].st_mtime_ns == before["same.html"].st_mtime_ns
    latest = max(about.st_mtime for about in before.values())
    for name in ("changed.html", "elsewhere.html", "one.html", "two.html"):
        assert after[name].st_mtime > latest, name


def test_fresh_source_times_change_nothing(site: Deployment) -> None:
    """A CI checkout gives every file a new time: that alone is not a change."""
    site.files(index="x", about="y")
    first = site.deploy()
    for path in site.source.iterdir():
        os.utime(path, (1, 1))

    answer = site.deploy()

    assert (answer["status"], answer["release"]) == ("unchanged", first["release"])
    assert answer["bytes_uploaded"] == answer["files_uploaded"] == 0
    assert len(site.releases()) == 1
    assert site.is_unlocked()


def test_a_file_may_become_a_directory_and_a_link_and_the_reverse(site: Deployment) -> None:
    """Whatever a name was before, it becomes what the source has."""
    site.write("name", "file")
    site.write("other/page", "x")
    site.deploy()
    for contents in ("directory", "link", "file"):
        (site.source / "name").unlink()
        if contents == "directory":
            site.write("name/page", "file")
        elif contents == "link":
            (site.source / "name").symlink_to("other")
        else:
            site.write("name", "file")
        site.deploy()
        assert site.served() == tree(site.source), contents
        if contents == "directory":
            (site.source / "name" / "page").unlink()
            (site.source / "name").rmdir()
            site.write("name", "between")
            site.deploy()


def test_deleted_files_are_gone_and_counted(site: Deployment) -> None:
    """What the source has no more, visitors do not get; the release before still has it."""
    site.files(index="x", old="y", older="z")
    site.deploy()
    before = site.target.resolve()
    site.files(index="x")

    assert site.deploy()["files_deleted"] == 2
    assert list(site.served()) == [b"index.html"]
    assert (before / "old.html").read_text() == "y"


def test_excluded_names_are_not_deployed(site: Deployment) -> None:
    """A pattern without a slash counts at every depth, one with a slash from the source on; directories go whole."""
    for name in ("index.html", "a.map", "js/b.map", ".git/config", "drafts/x.html", "blog/drafts/y.html", "js/c.js"):
        site.write(name, name)
    site.static["exclude"] = ["*.map", ".git", "drafts/*"]

    site.deploy()

    assert sorted(site.served()) == [
        b"blog",
        b"blog/drafts",
        b"blog/drafts/y.html",
        b"drafts",
        b"index.html",
        b"js",
        b"js/c.js",
    ]


def test_a_file_that_is_newly_excluded_disappears(site: Deployment) -> None:
    """Excluding is a change like any other."""
    site.files(index="x", draft="y")
    site.deploy()
    site.static["exclude"] = ["draft.*"]

    assert site.deploy()["files_deleted"] == 1
    assert list(site.served()) == [b"index.html"]


@pytest.mark.parametrize("kind", ["missing", "empty", "only empty directories", "all excluded", "a file"])
def test_a_source_without_files_is_refused(site: Deployment, kind: str) -> None:
    """Deploying nothing would take the site away: exit 2, whichever way there is nothing, and the live site stays."""
    site.files(index="x")
    site.deploy()
    (site.source / "index.html").unlink()
    words = "empty"
    if kind == "missing":
        site.source.rmdir()
        words = "does not exist"
    elif kind == "only empty directories":
        (site.source / "a" / "b").mkdir(parents=True)
    elif kind == "all excluded":
        site.files(index="x")
        site.static["exclude"] = ["*"]
    elif kind == "a file":
        site.source.rmdir()
        site.source.write_text("x")
        words = "is not a directory"

    site.run().failed(2, "static.source", words)

    assert site.text("index.html") == "x"
    assert site.is_unlocked()
