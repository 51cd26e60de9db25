"""A real nginx must never tell a browser that changed contents are the same, nor hand out what is not live."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import need
from tests.end_to_end.deployment import Deployment
from tests.nginx import Nginx


@dataclass
class Browser:
    """Asks as browsers do: with the validators of what it has, which it forgets only where the contents came anew."""

    port: int
    kept: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body, dict(answer.getheaders())

    def visit(self, path: str) -> bytes:
        """What a person sees: the kept contents where the server says so, for either validator and for both."""
        if path not in self.kept:
            status, body, headers = self.get(path)
            assert status == 200
            self.kept[path] = body, headers
            return body
        old, known = self.kept[path]
        tag, time = {"If_None_Match": known["ETag"]}, {"If_Modified_Since": known["Last-Modified"]}
        seen = []
        for validators in (tag, time, tag | time):
            status, body, headers = self.get(path, **validators)
            assert status in (200, 304)
            seen.append(old if status == 304 else body)
            if status == 200:
                self.kept[path] = body, headers
        assert len(set(seen)) == 1, f"{path} depends on how one asks: {seen}"
        return seen[0]


@pytest.fixture(params=["off", "max=100 inactive=60s"])
def browser(request: pytest.FixtureRequest, site: Deployment, tmp_path: Path) -> Iterator[Browser]:
    """A browser in front of a real nginx, without and with its cache of open files (checked anew after 0 s)."""
    need("nginx", "to serve the target with its own validators")
    cache = "open_file_cache_valid 0;" if request.param != "off" else ""
    with Nginx(site.parent, tmp_path / "nginx", open_file_cache=request.param, server_directives=cache) as nginx:
        yield Browser(nginx.port)


def check(site: Deployment, browser: Browser) -> None:
    """Every file that is live is seen as it is."""
    for path in sorted(site.source.rglob("*.html")):
        name = path.relative_to(site.source)
        assert browser.visit(f"/site/{name}") == path.read_bytes(), name


def test_changed_contents_of_the_same_size(site: Deployment, browser: Browser) -> None:
    """Several deploys a second, each with other contents of the same size: every visit sees the live ones."""
    for number in range(4):
        site.files(index=f"version {number}", same="same")
        site.deploy()
        check(site, browser)
    _, known = browser.kept["/site/same.html"]
    assert browser.get("/site/same.html", If_None_Match=known["ETag"])[0] == 304  # caching still works


def test_two_files_that_swap_their_contents(site: Deployment, browser: Browser) -> None:
    """Contents that are on the host at another path get a new time where they arrive."""
    for one, two in (("11", "22"), ("22", "11"), ("11", "22")):
        site.files(one=one, two=two)
        site.deploy()
        check(site, browser)


def test_a_file_that_is_moved_over_another(site: Deployment, browser: Browser) -> None:
    """A file that takes the name of another of the same size is seen at once."""
    site.files(index="aaaa", draft="bbbb")
    site.deploy()
    check(site, browser)
    (site.source / "draft.html").rename(site.source / "index.html")

    assert site.deploy()["files_uploaded"] == 0

    check(site, browser)
    assert browser.get("/site/draft.html")[0] == 404


def test_rollback_and_redeploy(site: Deployment, browser: Browser) -> None:
    """Back, forth and on: contents that return may be known, and others are never taken for them."""
    for version in ("1", "2"):
        site.files(index=version)
        site.deploy()
        check(site, browser)
    site.answer("rollback")
    assert browser.visit("/site/index.html") == b"1"
    site.files(index="3")
    site.deploy()
    check(site, browser)
    site.answer("rollback")
    assert browser.visit("/site/index.html") == b"1"
    site.files(index="2")
    site.deploy()
    check(site, browser)


def test_an_adopted_site(site: Deployment, browser: Browser) -> None:
    """Files that were copied by hand within the same second are told apart from the first release's."""
    site.target.mkdir()
    (site.target / "index.html").write_text("by hand")
    assert browser.visit("/site/index.html") == b"by hand"
    site.files(index="by tool")

    site.deploy()
    check(site, browser)
    site.answer("rollback")
    assert browser.visit("/site/index.html") == b"by hand"


def test_a_stray_file_that_is_put_right(site: Deployment, browser: Browser) -> None:
    """A hot fix of the same size that visitors have seen is replaced for them too."""
    site.files(index="right", page="page")
    site.deploy()
    check(site, browser)
    stray = site.target / "index.html"
    stray.write_text("wrong")
    later = stray.stat().st_mtime + 100  # nginx itself cannot tell two writes within a second
    os.utime(stray, (later, later))
    assert browser.visit("/site/index.html") == b"wrong"

    site.deploy()
    check(site, browser)


def test_a_clock_that_went_back(site: Deployment, browser: Browser) -> None:
    """Live files with times in the future: the next contents are later still."""
    site.target.mkdir()
    page = site.target / "index.html"
    page.write_text("future")
    os.utime(page, (4_000_000_000, 4_000_000_000))
    assert browser.visit("/site/index.html") == b"future"
    for text in ("today!", "then!!"):
        site.files(index=text)
        site.deploy()
        check(site, browser)


@pytest.mark.parametrize("listing", ["off", "on"])
def test_releases_cannot_be_reached_by_guessing(open_directory: Path, listing: str) -> None:
    """Nobody can list releases or read state through a server that runs as another user, with its index on or off."""
    need("nginx", "to serve the parent of the target")
    need("root", "to have a server that runs as another user", present=os.geteuid() == 0)
    site = Deployment(open_directory)
    for version in ("old", "new"):
        site.files(index=version)
        site.deploy()
    release = site.target.readlink().name
    guesses = ["", "site", "site/", "site/releases", "site/releases/", f"site/releases/{release.partition('.')[0]}/"]
    guesses += [
        "site/state/",
        "site/state/journal",
        "site/state/app",
        "site/state/records/",
        f"site/state/logs/{release}",
    ]
    with Nginx(
        site.parent, open_directory / "nginx", directives=f"autoindex {listing};", user="nobody nogroup"
    ) as nginx:
        browser = Browser(nginx.port)
        assert browser.get("/site/index.html")[:2] == (200, b"new")
        for guess in guesses:
            status, body, _ = browser.get(f"/.deployer/{guess}")
            assert status in (301, 403, 404), guess
            assert release.encode() not in body, guess
