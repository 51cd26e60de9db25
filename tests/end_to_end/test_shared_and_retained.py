"""What the server keeps across releases: shared paths, and files that open pages still ask for."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest

from tests.end_to_end.deployment import Deployment


@pytest.fixture(autouse=True)
def first(site: Deployment) -> None:
    """The source of the first release."""
    site.files(index="one")


def uploads(site: Deployment) -> Path:
    return site.target / "uploads"


def age(site: Deployment, days: float) -> None:
    """Make the host believe that the last release is older, by turning its record back."""
    for file in (site.state / "records").glob("*/retained"):
        lines = zlib.decompress(file.read_bytes(), wbits=31).decode().split("\0")[:-1]
        aged = [f"{int(line.split(' ', 1)[0]) - int(days * 86_400)} {line.split(' ', 1)[1]}\0" for line in lines]
        packer = zlib.compressobj(wbits=31)
        file.write_bytes(packer.compress("".join(aged).encode()) + packer.flush())


# --- shared paths ----------------------------------------------------------------------------------------------------------


def test_what_the_server_puts_there_stays_through_deploys_and_rollbacks(site: Deployment) -> None:
    """It is linked into every release, and no deploy and no pruning removes it."""
    site.static |= {"shared": ["uploads"], "keep": 2}
    site.deploy()
    (uploads(site) / "cat.jpg").write_text("a cat")
    for number in range(4):
        site.files(index=f"{number}")
        site.deploy()
        assert (uploads(site) / "cat.jpg").read_text() == "a cat"
    site.answer("rollback")
    (uploads(site) / "dog.jpg").write_text("a dog")
    assert sorted(path.name for path in uploads(site).iterdir()) == ["cat.jpg", "dog.jpg"]
    assert uploads(site).readlink() == Path("../../shared/uploads")
    assert site.deploy()["status"] in ("deployed", "unchanged")


def test_an_adopted_site_keeps_what_visitors_uploaded(site: Deployment) -> None:
    """With its modes and times, and the plan does not call it removed."""
    (uploads(site) / "2026").mkdir(parents=True)
    (uploads(site) / "2026" / "cat.jpg").write_text("a cat")
    os.utime(uploads(site) / "2026" / "cat.jpg", (1_000_000_000, 1_000_000_000))
    uploads(site).chmod(0o2775)
    (site.target / "old.html").write_text("old")
    site.static["shared"] = ["uploads"]
    planned = site.answer("plan")
    assert "uploads/2026/cat.jpg" not in [change["path"] for change in planned["changes"]]
    site.deploy()
    assert (uploads(site) / "2026" / "cat.jpg").stat().st_mtime == 1_000_000_000
    assert uploads(site).stat().st_mode & 0o7777 == 0o2775
    assert not (site.target / "old.html").exists()


def test_what_was_deployed_before_becomes_the_servers(site: Deployment) -> None:
    """A directory that came with the site so far, and is shared from now on."""
    site.write("uploads/first.txt", "from the source")
    site.deploy()
    site.static["shared"] = ["uploads"]
    ended = site.run()
    assert ended.code == 0, ended.err
    assert "1 files of the source are not uploaded" in ended.err
    assert (uploads(site) / "first.txt").read_text() == "from the source"
    assert site.deploy()["status"] == "unchanged"


def test_a_file_of_the_source_in_its_place_is_refused(site: Deployment) -> None:
    """Exit 2 before anything is touched."""
    site.deploy()
    site.write("uploads", "a file")
    site.run("--shared", "uploads").failed(2, "'uploads' is a file in static.source", "static.shared")
    assert not uploads(site).exists()


def test_a_shared_path_in_a_directory_of_the_site(site: Deployment) -> None:
    """The link climbs as far as it has to."""
    site.write("data/page.html", "page")
    site.static["shared"] = ["data/up loads"]
    site.deploy()
    (site.target / "data" / "up loads" / "x").write_text("x")
    site.files(index="two")
    site.write("data/page.html", "page")
    site.deploy()
    assert (site.target / "data" / "up loads" / "x").read_text() == "x"


def test_no_longer_shared_it_is_left_on_the_server(site: Deployment) -> None:
    """The link goes, what visitors uploaded does not."""
    site.deploy("--shared", "uploads")
    (uploads(site) / "cat.jpg").write_text("a cat")
    site.deploy()
    assert not uploads(site).exists()
    assert (site.state.parent / "shared" / "uploads" / "cat.jpg").read_text() == "a cat"
    site.deploy("--shared", "uploads")
    assert (uploads(site) / "cat.jpg").read_text() == "a cat"


# --- retained assets -------------------------------------------------------------------------------------------------------

RETAIN = ("--retain-assets", "assets/*", "--retain-days", "7")


def version(site: Deployment, number: int) -> None:
    site.files(index=f"page of {number}")
    for path in (site.source / "assets").glob("*"):
        path.unlink()
    site.write(f"assets/app.{number}.js", f"code of {number}")


def assets(site: Deployment) -> list[str]:
    return sorted(path.name for path in (site.target / "assets").iterdir())


def test_hashed_files_stay_reachable_for_their_days(site: Deployment) -> None:
    """A page that was opened before the switch finds its script; after the days, the next deploy drops it."""
    for number in (1, 2, 3):
        version(site, number)
        site.deploy(*RETAIN)
    assert assets(site) == ["app.1.js", "app.2.js", "app.3.js"]
    assert (site.target / "assets" / "app.1.js").read_text() == "code of 1"
    assert site.deploy(*RETAIN)["status"] == "unchanged"
    age(site, 8)
    version(site, 4)
    site.deploy(*RETAIN)
    assert assets(site) == ["app.3.js", "app.4.js"]


def test_a_retained_file_never_shadows_a_new_one(site: Deployment) -> None:
    """The same name with new contents is the new one, and a file where the directory was wins."""
    version(site, 1)
    site.deploy(*RETAIN)
    version(site, 2)
    site.deploy(*RETAIN)
    site.write("assets/app.1.js", "other code")
    site.deploy(*RETAIN)
    assert (site.target / "assets" / "app.1.js").read_text() == "other code"
    for path in (site.source / "assets").glob("*"):
        path.unlink()
    (site.source / "assets").rmdir()
    site.write("assets", "a file now")
    site.deploy(*RETAIN)
    assert (site.target / "assets").read_text() == "a file now"


def test_retained_files_survive_damage_of_the_live_release(site: Deployment) -> None:
    """Somebody writes into the live release: what is really there is hashed, and the dropped files still count."""
    version(site, 1)
    site.deploy(*RETAIN)
    version(site, 2)
    site.deploy(*RETAIN)
    (site.target / "stray.txt").write_text("stray")
    version(site, 3)
    site.deploy(*RETAIN)
    assert assets(site) == ["app.1.js", "app.2.js", "app.3.js"]
    assert not (site.target / "stray.txt").exists()


def test_only_what_matches_is_retained(site: Deployment) -> None:
    """Pages go at once."""
    site.write("old.html", "old")
    site.deploy(*RETAIN)
    (site.source / "old.html").unlink()
    site.deploy(*RETAIN)
    assert not (site.target / "old.html").exists()
