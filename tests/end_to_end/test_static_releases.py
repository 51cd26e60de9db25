"""Releases over time: kept, pruned, gone back to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.end_to_end.deployment import Deployment, tree


def deploy_versions(site: Deployment, *versions: str) -> list[str]:
    """Deploy these texts one after the other; the releases' identifiers."""
    releases = []
    for version in versions:
        site.files(index=version, same="same")
        releases.append(str(site.deploy()["release"]))
    return releases


def test_identifiers_sort_by_time_and_name_the_contents(site: Deployment) -> None:
    """Three deploys within a second still get identifiers that sort, each later than the one before."""
    releases = deploy_versions(site, "1", "2", "3")

    assert releases == sorted(set(releases))
    assert all(re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{7}", release) for release in releases)
    assert site.releases() == releases
    assert site.live == releases[-1]


def test_exactly_keep_releases_stay(site: Deployment) -> None:
    """After any number of deploys ``keep`` releases are left, the live one included, with their records and logs."""
    site.static["keep"] = 3
    releases = deploy_versions(site, "1", "2", "3", "4", "5")

    assert site.releases() == releases[-3:]
    for folder in ("records", "logs"):
        assert sorted(path.name.partition(".")[0] for path in (site.state / folder).iterdir()) == releases[-3:]
    assert [each["release"] for each in site.answer("releases")["releases"]] == releases[:1:-1]


def test_rollback_goes_to_the_release_before(site: Deployment) -> None:
    """The previous contents are live again, at once and whole, and the answer says so."""
    first, second = deploy_versions(site, "1", "2")

    answer = site.answer("rollback")

    assert (answer["status"], answer["release"], answer["previous_release"]) == ("rolled_back", first, second)
    assert site.live == first
    assert site.text("index.html") == "1"
    assert site.is_unlocked()


def test_rollback_twice_goes_two_back(site: Deployment) -> None:
    """A second rollback goes on into the past; it never comes back to the release that was left."""
    first, second, _third = deploy_versions(site, "1", "2", "3")

    assert site.answer("rollback")["release"] == second
    assert site.answer("rollback")["release"] == first
    site.command("rollback", "--json").failed(1, first, "nothing")
    assert site.text("index.html") == "1"
    assert site.is_unlocked()


@pytest.mark.parametrize("short", [False, True])
def test_rollback_to_a_named_release(site: Deployment, short: bool) -> None:
    """Any kept release can be named, by its identifier or a part of it, forwards too."""
    first, _second, third = deploy_versions(site, "1", "2", "3")

    assert site.answer("rollback", first[-7:] if short else first)["release"] == first
    assert site.text("index.html") == "1"
    assert site.answer("rollback", third)["release"] == third
    assert site.text("index.html") == "3"


def test_rollback_to_the_live_release_changes_nothing(site: Deployment) -> None:
    """Naming what is live is no mistake: it is unchanged."""
    _first, second = deploy_versions(site, "1", "2")

    answer = site.answer("rollback", second)

    assert (answer["status"], answer["release"]) == ("unchanged", second)
    assert site.is_unlocked()


@pytest.mark.parametrize("name", ["20200101T000000Z-abcdef0", "nonsense", "Z-", "../../../etc", "line\nbreak", "-x"])
def test_rollback_to_an_unknown_release_is_refused(site: Deployment, name: str) -> None:
    """A name that means no kept release, or several, is an error that lists the kept ones."""
    releases = deploy_versions(site, "1", "2")

    said = site.command("rollback", "--json", "--", name).failed(2, "Kept: ")

    assert all(release in said for release in releases)
    assert site.text("index.html") == "2"
    assert site.is_unlocked()


def test_rollback_with_nothing_to_go_back_to(site: Deployment) -> None:
    """Before the first deploy, and after it, there is nothing: exit 1, and the site stays."""
    site.command("rollback", "--json").failed(1, "nothing is live")
    assert site.is_unlocked()

    site.files(index="x")
    site.deploy()
    site.command("rollback", "--json").failed(1, "nothing")
    assert site.text("index.html") == "x"


def test_rollback_when_the_previous_release_was_pruned(site: Deployment) -> None:
    """A previous release that is not kept any more is named, and nothing happens."""
    site.static["keep"] = 2
    first, second, third = deploy_versions(site, "1", "2", "3")
    site.answer("rollback")

    site.command("rollback", "--json").failed(1, first, "not kept")

    assert site.live == second
    assert site.answer("rollback", third)["status"] == "rolled_back"


def test_a_deploy_after_a_rollback_is_a_new_release(site: Deployment) -> None:
    """The source that was rolled back deploys again as a new release; its rollback goes to what it replaced."""
    first, second = deploy_versions(site, "1", "2")
    site.answer("rollback")

    answer = site.deploy()

    assert answer["status"] == "deployed"
    assert answer["release"] > second
    assert answer["previous_release"] == first
    assert site.text("index.html") == "2"
    assert site.answer("rollback")["release"] == first


def test_the_live_release_is_never_pruned(site: Deployment) -> None:
    """After a rollback to the oldest, deploys keep what is live and what was live before, whatever ``keep`` says."""
    site.static["keep"] = 2
    first, _second = deploy_versions(site, "1", "2")
    site.answer("rollback")
    site.files(index="3", same="same")

    third = site.deploy()["release"]

    assert first in site.releases()
    assert site.live == third
    assert site.answer("rollback")["release"] == first


def test_a_release_is_independent_of_the_others(site: Deployment) -> None:
    """Removing the releases that a file came from does not take it away."""
    site.static["keep"] = 2
    deploy_versions(site, "1", "2", "3", "4")

    assert site.served() == tree(site.source)
    assert len(site.releases()) == 2


def test_two_apps_beside_each_other_do_not_meet(site: Deployment, tmp_path: Path) -> None:
    """Targets with one parent have states of their own."""
    other = Deployment(tmp_path)
    other.settings["app"] = "other"
    other.static["target"] = str(site.parent / "other")
    site.files(index="site")
    site.deploy()

    assert other.deploy()["status"] == "deployed"
    site.files(index="changed")
    assert site.deploy()["status"] == "deployed"
    assert (site.parent / "other" / "index.html").read_text() == "site"
