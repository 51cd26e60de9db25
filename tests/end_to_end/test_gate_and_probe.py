"""The gate and the probe in front of a real nginx that serves the target, as visitors get it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from tests.end_to_end.deployment import Deployment, tree
from tests.end_to_end.front import front
from tests.integration.web_servers import Exchange
from tests.nginx import Nginx


@pytest.fixture
def served(site: Deployment, tmp_path: Path) -> Iterator[Deployment]:
    """A site whose parent nginx serves, as a container does that mounts it."""
    need("nginx", "to serve the target as visitors get it")
    with Nginx(site.parent, tmp_path / "nginx") as nginx:
        site.settings["url"] = f"{nginx.url}site/"
        yield site


def test_a_first_deploy_passes_where_nothing_was_served(served: Deployment) -> None:
    """The URL answered 404 before: the gate passes, and nothing is counted as dropped."""
    served.files(index="x", page="y")

    answer = served.deploy()

    assert answer["status"] == "deployed"
    assert answer["probe"]["dropped"] == 0
    assert answer["error"] is None


def test_a_change_drops_no_request(served: Deployment) -> None:
    """The probe's figures are in the answer: requests before and after the switch, none dropped."""
    for version in ("old", "new"):
        served.files(index=version, **{f"page{number}": f"{version} {number}" for number in range(50)})
        answer = served.deploy()

    probe = answer["probe"]
    assert sorted(probe) == ["dropped", "longest_gap_ms", "p50_ms", "p99_ms", "requests"]
    assert probe["requests"] >= 5
    assert probe["dropped"] == 0
    assert 0 < probe["p50_ms"] <= probe["p99_ms"] < 5000
    assert served.deploy()["probe"] is None  # nothing was switched, so nothing was measured


def test_odd_names_are_compared_through_a_server(served: Deployment) -> None:
    """Files whose names have to be encoded in a URL pass the gate when they are the only ones that changed."""
    served.files(index="x")
    served.deploy()
    for name in ("with space.html", "per%20cent.html", "que?ry.html", "ha#sh.html", "ünïcode.html", b"latin-\xe9.html"):
        served.write(name, os.fsencode(name))
        assert served.deploy()["status"] == "deployed", name


def test_names_that_a_server_hides_do_not_fail_the_gate(served: Deployment, tmp_path: Path) -> None:
    """Dot-files, scripts and error pages, which servers do not hand out as they are, are not asked for."""
    served.files(index="x")
    served.deploy()
    for name in (".htaccess", ".well-known/x", "script.php", "404.html", "empty.html", "_headers"):
        served.write(name, "" if name == "empty.html" else "contents")

    assert served.deploy()["status"] == "deployed"


def test_a_server_that_holds_the_old_directory_open_is_found_out(site: Deployment, tmp_path: Path) -> None:
    """A container that mounts the target itself goes on serving the old directory: exit 5, with the mount as the reason."""
    need("nginx", "to serve the old directory as a container would")
    site.files(index="old")
    site.deploy()
    old = site.live
    mounted = os.open(site.target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with Nginx(Path(f"/proc/{os.getpid()}/fd/{mounted}"), tmp_path / "nginx") as nginx:
            site.settings["url"] = nginx.url
            assert site.answer("status")["health"]["ok"]
            site.files(index="new")
            site.settings["health"] = {"timeout": 2}

            ended = site.run()
    finally:
        os.close(mounted)

    ended.failed(5, "other contents", "mounts the target itself", "mount its parent")
    assert site.live == old
    assert site.text("index.html") == "old"


def test_only_removed_files_leave_nothing_to_compare(served: Deployment) -> None:
    """A release that only deletes passes on its page alone."""
    served.files(index="x", page="y")
    served.deploy()
    served.files(index="x")

    assert served.deploy()["status"] == "deployed"


def test_too_many_drops_are_exit_6_and_nothing_is_rolled_back(site: Deployment) -> None:
    """The new release is live and healthy, but requests were dropped: exit 6, the count in the message, no second switch."""
    site.files(index="good", probe="x")
    with front(site):
        site.deploy()

    def drop(exchange: Exchange) -> bool:
        return exchange.answer(500, b"dropped")

    site.files(index="bad for one page only", probe="x")
    with front(site, drop, only="/probe.html") as server:
        site.settings["probe"] = {"url": f"{server.url}probe.html", "budget": 0}
        ended = site.run()
        ended.failed(6, "live and healthy", "budget of 0")
        answer = ended.json
        assert answer["status"] == "deployed"
        assert answer["release"] == site.live
        assert answer["probe"]["dropped"] > 0
        assert "requests were dropped" in answer["error"]
        assert site.served() == tree(site.source)
        assert site.is_unlocked()

        site.files(index="bad for one page still", probe="x")
        site.settings["probe"] |= {"budget": 10_000}
        assert site.deploy()["status"] == "deployed"


def test_a_probe_url_that_never_answers_counts_nothing(site: Deployment) -> None:
    """A wrong probe URL measures nothing, and fails nothing."""
    site.files(index="good")
    with front(site) as server:
        site.settings["probe"] = {"url": f"{server.url}missing"}
        answer = site.deploy()

    assert answer["status"] == "deployed"
    assert answer["probe"]["dropped"] == 0
