"""Taking over a site that somebody copied by hand: a plain directory becomes the first release."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import need
from tests.end_to_end.deployment import Deployment, listing, tree
from tests.end_to_end.hosts import NOBODY, busybox_programs, ordinary_user, programs_without

BIG = os.urandom(300_000)
TOOLS = {
    "every tool": (),
    "no python3": ("python3",),
    "no perl": ("perl",),
    "neither": ("python3", "perl", "exch"),
}


@pytest.fixture(params=[*TOOLS, "BusyBox"])
def adopted(request: pytest.FixtureRequest, tmp_path: Path) -> Deployment:
    """A site whose target is a directory made by hand, on hosts with different tools to exchange names."""
    site = Deployment(tmp_path)
    tools: str = request.param
    programs = tmp_path / "bin"
    site.variables["PATH"] = (
        busybox_programs(programs) if tools == "BusyBox" else programs_without(programs, *TOOLS[tools])
    )
    copy_by_hand(site)
    return site


def copy_by_hand(site: Deployment) -> None:
    """What scp left at the target: some of the source's files, some old ones, in modes of their own."""
    for name, contents in {"index.html": b"old", "big": BIG, "img/logo.png": b"logo", "old": b"", "o\nd": b"x"}.items():
        path = site.target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
    (site.target / "img").chmod(0o775)
    (site.target / "latest").symlink_to("img")
    site.write("index.html", "new")
    site.write("big", BIG)
    site.write("img/logo.png", b"logo")


def test_a_plain_directory_is_adopted(adopted: Deployment) -> None:
    """The first run serves the source, sends only what the directory did not have, and nothing is left beside it."""
    site = adopted
    before = tree(site.target)

    answer = site.deploy()

    assert site.served() == tree(site.source)
    assert answer["files_uploaded"] == 1
    assert answer["bytes_uploaded"] < 10_000
    assert answer["files_deleted"] >= 1
    assert answer["previous_release"] == site.releases()[0] < answer["release"]
    assert sorted(path.name for path in site.parent.iterdir()) == [".deployer", "site"]
    old = next((site.root / "releases").glob(f"{answer['previous_release']}.*"))
    assert tree(old) == before
    assert site.is_unlocked()


def test_rollback_gives_the_copied_files_back(adopted: Deployment) -> None:
    """Going back to the adopted release serves its old bytes, in their old modes, its links too."""
    site = adopted
    before = tree(site.target)
    release = site.deploy()["release"]

    assert site.answer("rollback")["status"] == "rolled_back"
    assert site.served() == before

    assert site.answer("rollback", release)["release"] == release
    assert site.served() == tree(site.source)


def test_the_plan_tells_of_the_adoption(adopted: Deployment) -> None:
    """The plan says that a directory is taken over, warns of the gap where there is one, and changes nothing."""
    site = adopted
    before = listing(site.parent)

    answer = site.answer("plan")

    (warning,) = answer["warnings"]
    assert "adopted as the first release" in warning
    hidden = {"python3", "perl", "exch", "mv"}
    left = {name for name in hidden if (site.directory / "bin" / name).exists()}
    assert ("404" in warning) == (not left & {"python3", "perl", "exch"})
    assert answer["previous_release"] != answer["release"]
    assert listing(site.parent) == before
    assert {change["path"]: change["action"] for change in answer["changes"]}["index.html"] == "change"


def test_a_directory_with_the_same_contents_is_adopted_without_sending(adopted: Deployment) -> None:
    """Where the source is what was copied by hand, nothing travels, and the next run has nothing to do."""
    site = adopted
    (site.target / "old").unlink()
    (site.target / "o\nd").unlink()
    (site.target / "latest").unlink()
    (site.target / "index.html").write_text("new")

    assert site.deploy()["files_uploaded"] == 0
    assert site.served() == tree(site.source)
    assert site.deploy()["status"] == "unchanged"


def test_an_empty_directory_is_adopted(site: Deployment) -> None:
    """An empty target, such as `mkdir` made, is no obstacle."""
    site.target.mkdir()
    site.files(index="x")

    assert site.deploy()["status"] == "deployed"
    assert site.served() == tree(site.source)


def test_changed_files_of_an_adopted_site_get_a_later_time(site: Deployment) -> None:
    """A site that was copied with times in the future: each changed file is later still, the same ones keep theirs."""
    copy_by_hand(site)
    future = int(site.target.stat().st_mtime) + 86_400
    for path in site.target.rglob("*"):
        os.utime(path, (future, future), follow_symlinks=False)

    site.deploy()

    assert (site.target / "index.html").stat().st_mtime > future
    assert (site.target / "big").stat().st_mtime == future


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o777])
def test_files_in_other_modes_are_not_linked(site: Deployment, mode: int) -> None:
    """A file with another mode is copied into the release, whose files are 0644, and stays as it was in the old one."""
    copy_by_hand(site)
    (site.target / "big").chmod(mode)

    answer = site.deploy()

    assert site.served() == tree(site.source)
    assert answer["bytes_uploaded"] < 10_000
    site.answer("rollback")
    assert (site.target / "big").stat().st_mode & 0o777 == mode


def test_hard_links_to_elsewhere_are_not_written_through(site: Deployment) -> None:
    """A file of the old site that is linked to another place of the host keeps its contents and mode there."""
    copy_by_hand(site)
    outside = site.directory / "outside"
    os.link(site.target / "index.html", outside)
    outside.chmod(0o600)

    site.deploy()

    assert outside.read_text() == "old"
    assert outside.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def foreign(open_directory: Path, as_root: None) -> Deployment:
    """A site that root copied into a directory of nobody's, who now deploys: linking root's files is refused to him."""
    site = Deployment(open_directory)
    copy_by_hand(site)
    (site.target / "img").chmod(0o755)
    os.chown(site.parent, NOBODY, NOBODY)
    site.variables["PATH"] = ordinary_user(open_directory / "user")
    protected = Path("/proc/sys/fs/protected_hardlinks").read_text().strip() == "1"
    need("fs.protected_hardlinks", "for a link that is refused", present=protected)
    return site


def test_a_site_of_another_user_is_adopted(foreign: Deployment) -> None:
    """Where hard links are refused and the directory cannot be written, contents are copied on the host or sent."""
    site = foreign
    before = tree(site.target)

    site.deploy()

    assert site.served() == tree(site.source)
    assert all(path.stat().st_uid == NOBODY for path in site.target.rglob("*"))
    assert site.answer("rollback")["status"] == "rolled_back"
    assert site.served() == before
    site.write("index.html", "newer")
    site.deploy()
    assert site.served() == tree(site.source)
    assert site.is_unlocked()


def test_what_could_not_be_moved_is_named(foreign: Deployment) -> None:
    """Root's old directory cannot be removed by nobody: it stays beside the target, and the run says where."""
    site = foreign

    ended = site.run()

    assert ended.code == 0, ended.err
    left = sorted(path.name for path in site.parent.iterdir() if path.name not in (".deployer", "site"))
    if left:
        assert left[0] in ended.err, f"{left} is left, and nobody says so"


def test_a_site_of_another_user_in_a_foreign_parent_is_refused(foreign: Deployment) -> None:
    """Where the parent is not ours either, nothing is begun."""
    site = foreign
    os.chown(site.parent, 0, 0)
    before = listing(site.parent)

    site.run().failed(1, str(site.parent), "cannot write")

    assert listing(site.parent) == before


def test_unreadable_files_of_another_user_do_not_stop_the_adoption(foreign: Deployment) -> None:
    """A file that the deploying user may not even read ends in one clear message, or in a site that is the source."""
    site = foreign
    (site.target / "img" / "logo.png").chmod(0o600)

    ended = site.run()

    if ended.code:
        ended.failed(1, "site")
        assert (site.target / "index.html").read_text() == "old"
    else:
        assert site.served() == tree(site.source)
