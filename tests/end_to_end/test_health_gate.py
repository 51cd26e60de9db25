"""After the switch the site is looked at: a release that breaks it is taken back at once, and the message says why."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.end_to_end.deployment import Deployment, Ran, tree
from tests.end_to_end.front import Fault, front
from tests.integration.web_servers import Exchange, LoopbackServer, self_signed


def no_answer(exchange: Exchange) -> bool:
    time.sleep(3)
    return False


def no_http(exchange: Exchange) -> bool:
    exchange.send(b"\x16\x03garbage\r\n\r\n")
    return False


FAULTS: dict[str, tuple[Fault, str]] = {
    "wrong status": (lambda exchange: exchange.answer(500, b"oops"), "answered 500 instead of 200"),
    "still starting": (lambda exchange: exchange.answer(503, b"wait"), "answered 503"),
    "not found": (lambda exchange: exchange.answer(404, b"oops"), "answered 404"),
    "time-out": (no_answer, "timed out"),
    "reset": (lambda exchange: exchange.reset(), "incomplete answer"),
    "redirect loop": (lambda exchange: exchange.answer(302, b"", Location="/"), "redirect"),
    "no HTTP": (no_http, "not HTTP"),
    "other contents": (lambda exchange: exchange.answer(200, b"bad, but not the release's"), "other contents"),
}


@pytest.fixture
def gated(site: Deployment) -> Deployment:
    """A site with a health check, and a first release that passes it."""
    site.settings["health"] = {}
    site.files(index="good", page="page")
    with front(site):
        site.deploy()
    return site


def rolled_back(site: Deployment, ended: Ran, previous: str, reason: str) -> None:
    """Check that the failed release is away, the previous one whole, and the reason told in one line."""
    ended.failed(5, "failed its health gate", reason)
    (message,) = ended.errors
    assert reason in message
    answer = ended.json
    assert answer["status"] == "rolled_back"
    assert answer["previous_release"] == previous == site.live
    assert message in answer["error"]
    assert site.is_unlocked()


@pytest.mark.parametrize("kind", FAULTS)
def test_a_release_that_breaks_the_site_is_taken_back(gated: Deployment, kind: str) -> None:
    """Exit 5, one line that says why, and the previous release is live again as it was."""
    site, (fault, reason) = gated, FAULTS[kind]
    good, before = site.live, site.served()
    site.files(index="bad", page="other")
    site.settings["health"] = {"timeout": 1.5}  # which most of these are asked again for

    with front(site, fault):
        ended = site.run()

    rolled_back(site, ended, good, reason)
    assert site.served() == before


def test_a_page_without_its_text_is_taken_back(gated: Deployment) -> None:
    """``contains`` is looked for in the body, and named when it is not there."""
    site = gated
    site.settings["health"] |= {"contains": "good"}
    good = site.live
    site.files(index="worse")

    with front(site):
        ended = site.run()
        rolled_back(site, ended, good, "'good'")
        site.files(index="still good")
        assert site.deploy()["status"] == "deployed"


def test_a_certificate_that_nobody_trusts_is_taken_back(gated: Deployment, tmp_path: Path) -> None:
    """A TLS error is named as such."""
    site = gated
    good = site.live
    site.files(index="new")
    _, tls = self_signed(tmp_path)
    with LoopbackServer(lambda exchange: exchange.answer(200, b"new"), tls=tls) as server:
        site.settings["url"] = server.url

        ended = site.run()

    rolled_back(site, ended, good, "certificate")


def test_a_failed_release_is_kept_and_never_gone_back_to(gated: Deployment) -> None:
    """It stays for inspection, marked as failed; ``rollback`` passes it over, and the next failure replaces it."""
    site = gated
    good = site.live
    failed = []
    for text in ("bad one", "bad two"):
        site.files(index=text)
        with front(site, FAULTS["wrong status"][0]):
            failed.append(site.run().json["release"])
    states = {each["release"]: each["state"] for each in site.answer("releases")["releases"]}
    assert states == {good: "live", failed[1]: "failed"}
    kept = next((site.root / "releases").glob(f"{failed[1]}.*"))
    assert (kept / "index.html").read_text() == "bad two"

    with front(site):
        site.files(index="better")
        site.deploy()
        assert site.answer("rollback")["release"] == good
    assert site.text("index.html") == "good"


def test_a_failed_release_is_not_unchanged(gated: Deployment) -> None:
    """The same source runs through upload and gate again, and goes live once the site bears it."""
    site = gated
    site.files(index="bad")
    with front(site, FAULTS["wrong status"][0]):
        assert site.run().code == 5
        assert site.run().code == 5
    with front(site):
        assert site.deploy()["status"] == "deployed"
    assert site.text("index.html") == "bad"


def test_a_failed_first_deploy_leaves_nothing_live(site: Deployment) -> None:
    """With nothing before it, there is nothing after it; the next run goes live as if it were the first."""
    site.files(index="bad")
    with front(site, FAULTS["wrong status"][0]):
        ended = site.run()
        ended.failed(5, "500", "Nothing is live")
        assert ended.json["previous_release"] is None
        assert not site.target.exists()
        assert not site.target.is_symlink()
        assert site.is_unlocked()
        site.files(index="good")
        assert site.deploy()["status"] == "deployed"
    assert site.served() == tree(site.source)


def test_a_failed_adoption_gives_the_directory_back(site: Deployment) -> None:
    """The old files are served as they were, and the next good run adopts them."""
    site.target.mkdir()
    (site.target / "index.html").write_text("by hand")
    before = site.served()
    site.files(index="bad")
    with front(site, FAULTS["wrong status"][0]):
        site.run().failed(5, "500")
        assert site.served() == before
        site.files(index="good")
        answer = site.deploy()
        assert site.answer("rollback")["release"] == answer["previous_release"]
    assert site.served() == before


def test_a_rollback_passes_the_same_gate(gated: Deployment) -> None:
    """Going back to a release that breaks the site is undone: exit 5, and what was live stays."""
    site = gated
    site.files(index="bad, when nobody looked")
    site.settings["url"] = ""
    site.deploy()
    bad = site.live
    site.files(index="good again")
    site.deploy()
    good = site.live

    with front(site, FAULTS["wrong status"][0]):
        ended = site.command("rollback", "--json")

    rolled_back(site, ended, good, "500")
    assert site.text("index.html") == "good again"
    assert bad in site.releases()


def test_a_slow_start_is_waited_for(gated: Deployment) -> None:
    """503 for a moment after the switch is what a restart looks like: the gate asks again until its time-out."""
    site = gated
    site.files(index="bad at first")
    began: list[float] = []

    def starting(exchange: Exchange) -> bool:
        began.append(time.monotonic())
        ready = time.monotonic() - began[0] > 0.5
        return exchange.answer(200 if ready else 503, (site.target / "index.html").read_bytes())

    site.settings["probe"] = {"budget": 1000}
    with front(site, starting, only="/"):
        assert site.deploy()["status"] == "deployed"


def test_other_statuses_may_be_good(gated: Deployment) -> None:
    """``health.status`` says which answers are good: a page behind a login may be 401."""
    site = gated
    site.settings["health"] |= {"status": [200, 401]}
    site.files(index="bad")
    with front(site, lambda exchange: exchange.answer(401, b"who?")):
        answer = site.deploy()

    assert answer["status"] == "deployed"
    assert answer["probe"]["dropped"] == 0


def test_a_query_in_the_url_is_not_shown(gated: Deployment) -> None:
    """A health URL's query may hold a token: the reason leaves it out."""
    site = gated
    site.files(index="bad")
    with front(site, FAULTS["wrong status"][0]) as server:
        site.settings["health"] |= {"url": f"{server.url}?token=hush"}
        ended = site.run()

    assert ended.code == 5
    assert "hush" not in ended.err
    assert "hush" not in ended.json["error"]
    journal = (site.state / "journal").read_text()
    assert "hush" not in journal


def test_status_tells_the_health(gated: Deployment) -> None:
    """``status`` asks the site as the gate does."""
    site = gated
    with front(site) as server:
        assert site.answer("status")["health"] == {"ok": True, "url": server.url, "error": ""}
    site.settings["health"] = {"timeout": 1}
    health = site.answer("status")["health"]
    assert not health["ok"]
    assert health["error"]
