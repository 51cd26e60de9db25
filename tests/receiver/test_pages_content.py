"""What the pages say, about all that can happen to a delivery and a job, and about hostile texts."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from receiver.store import Source, Status
from receiver.store.jobs import request
from receiver.store.queueing import Request
from receiver.web.assets import asset_url
from tests.receiver.pages_parts import Place, Visitor, result
from tests.receiver.pages_story import APPS, tell

NASTY = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202egnp.exe\x1b[31m{{7*7}}"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def visitor(place: Place) -> Visitor:
    found = Visitor(place.app())
    found.log_in()
    return found


class Links(HTMLParser):
    """Every address that a page leads to or loads, and the names of its elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.names: list[str] = []
        self.handlers: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        for name, value in attrs:
            if name in {"href", "src", "action"}:
                self.addresses.append(value or "")
            if name.startswith("on") or name == "style":
                self.handlers.append(name)


def text_of(html: str) -> str:
    """What a reader sees, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))


def test_an_empty_receiver_says_what_to_do(visitor: Visitor) -> None:
    """Before anything has happened, each list says how something will."""
    text = text_of(visitor.get("/").text)
    assert "No worker runs" in text and "Push to a branch of an app" in text and "ping" in text
    assert "Nothing live yet" in text


def test_the_overview_shows_each_apps_state(tmp_path: Path) -> None:
    """What is live, what runs, what waits, what failed and why, and how many requests the last deploy has cost."""
    place = Place(tmp_path, apps=APPS)
    tell(place)
    visitor = Visitor(place.app())
    visitor.log_in()
    page = visitor.get("/").text
    cards = {re.search(r'href="/apps/(\w+)"', card)[1]: text_of(card) for card in page.split('<li class="card')[1:]}  # type: ignore[index]
    assert "Live 2 of 240 requests dropped" not in cards["blog"] and "2 of 240 requests dropped" in cards["blog"]
    assert "5e6f708 on main, went live 2 h ago" in cards["blog"]
    assert "Deploying" in cards["api"] and "#8 has been running for" in cards["api"]
    assert "Waiting" in cards["site"] and "#9 waits; asked for" in cards["site"]
    assert "Failed" in cards["docs"] and "answered 502, expected 200" in cards["docs"]
    assert "No worker runs" not in page


@pytest.mark.parametrize(
    "path", ["/nothing", "/apps/nothing", "/deployments/99", "/deliveries/nothing", "/live/apps/x"]
)
def test_what_is_not_here_is_a_404_on_a_page(visitor: Visitor, path: str) -> None:
    """It looks like the others, and leads back."""
    answer = visitor.get(path)
    assert answer.status_code == 404 and "Not here" in answer.text and "To the apps" in answer.text


@pytest.mark.parametrize("path", ["/deliveries?before=x", "/deliveries?before=-1", "/deliveries?before=" + "9" * 30])
def test_a_page_that_begins_nowhere_is_the_newest(visitor: Visitor, path: str) -> None:
    """A number that is none is left out."""
    assert visitor.get(path).status_code == 200


def test_deliveries_are_paged_by_key(place: Place, visitor: Visitor) -> None:
    """Older ones follow without a gap and without one twice, while new ones arrive."""
    guids = [place.deliver(ignored="no pattern of the app fits the ref")[0] for _ in range(60)]
    seen: list[str] = []
    path = "/deliveries"
    while path:
        page = visitor.get(path).text
        seen += re.findall(r'href="/deliveries/([0-9a-f-]{36})"', page)
        place.deliver(ignored="meanwhile")
        older = re.search(r'href="(/deliveries\?before=\d+)"', page)
        path = older[1] if older else ""
    assert seen == guids[::-1]


def test_an_apps_deployments_are_paged_by_key(place: Place, visitor: Visitor) -> None:
    """Only its own, newest first."""
    for number in range(30):
        place.deployed("blog", f"{number:040x}", f"20261122T1903{number:02d}Z-{number:07x}")
        place.deployed("site", f"{number:040x}", f"20261122T1904{number:02d}Z-{number:07x}")
    first = visitor.get("/apps/blog").text
    numbers = [int(each) for each in re.findall(r"#(\d+)</span></a></th>", first)]
    older = re.search(r'href="(/apps/blog\?before=\d+)"', first)
    assert older
    numbers += [int(each) for each in re.findall(r"#(\d+)</span></a></th>", visitor.get(older[1]).text)]
    assert numbers == list(range(59, 0, -2))


def test_an_apps_releases_can_be_gone_back_to(place: Place, visitor: Visitor) -> None:
    """Newest first, the live one marked and without a button, each once, with the commit that made it."""
    names = [f"20261122T19030{number}Z-{number:07x}" for number in range(3)]
    for number, name in enumerate(names):
        place.deployed("blog", f"{number:040x}", name)
    place.rolled_back("blog", names[1])
    place.deliver("blog")
    place.end(place.run(), Status.FAILED, release=names[1], exit_code=5, error="the gate failed")
    page = visitor.get("/apps/blog").text
    section = page[page.index("<h2>Releases") : page.index("<h2>Deployments")]
    assert re.findall(r'<code class="release">([^<]+)', section) == names[::-1]
    assert re.findall(r'name="release" value="([^"]+)"', section) == [names[2], names[0]]
    live = section[section.index('class="release-live"') :].split("</li>")[0]
    assert names[1] in live and "Live" in live and f"{1:040x}" in live


def test_a_delivery_shows_its_fate(place: Place, visitor: Visitor) -> None:
    """From its receipt to the result of the job that it led to."""
    guid, number = place.deliver("blog", commit="c" * 40)
    text = text_of(visitor.get(f"/deliveries/{guid}").text)
    assert "Received and verified" in text and "blog: queued" in text and f"Waiting#{number}" in text
    place.end(place.run(), commit="c" * 40, release="20261122T190300Z-ccccccc", result=result())
    place.move(place.job(number), 60, 9)
    text = text_of(visitor.get(f"/deliveries/{guid}").text)
    assert f"Deployed#{number} began 1 min ago and took 9.0 s" in text and "20261122T190300Z-ccccccc" in text


def test_a_delivery_that_nobody_wanted_says_why(place: Place, visitor: Visitor) -> None:
    """The reason is the rule's own."""
    guid, _ = place.deliver(ignored="no pattern of the app fits the ref")
    text = text_of(visitor.get(f"/deliveries/{guid}").text)
    assert "blog: ignored" in text and "no pattern of the app fits the ref" in text


def test_a_deployment_shows_all_of_its_result(place: Place, visitor: Visitor) -> None:
    """Steps with durations, the probe's chart and figures, changes, notes, links to GitHub, what led to it."""
    place.deployed("blog", "a" * 40, "20261121T080112Z-aaaaaaa", ago=100)
    job = place.deployed("blog", "b" * 40, "20261122T190300Z-bbbbbbb", result=result(notes=["the CDN was purged"]))
    page = visitor.get(f"/deployments/{job.id}").text
    text = text_of(page)
    assert "build 6.3 s" in text and "upload 0.8 s" in text
    assert (
        '<svg role="img"><title>Latency of 240 requests over time; 0 were dropped. The switch was after 5.0 s.' in page
    )
    assert "0 of 240 requests dropped · p50 3 ms · p99 12 ms · longest gap 61 ms" in text
    assert "the CDN was purged" in text and "4 changes" in text and "images/b.png from images/a.png" in text
    assert f'href="https://github.com/octo/blog/commit/{"b" * 40}"' in page
    assert f'href="https://github.com/octo/blog/compare/{"a" * 40}...{"b" * 40}"' in page
    assert "Deliveries that led to it" in text and "Live now" in text


def test_a_failed_deployment_says_what_and_what_next(place: Place, visitor: Visitor) -> None:
    """Its error, the hint below it, and what its exit code means for what visitors see."""
    place.deliver("blog")
    job = place.end(place.run(), Status.FAILED, exit_code=5, error="the gate failed\n  look into it: deployer logs")
    text = text_of(visitor.get(f"/deployments/{job.id}").text)
    assert "the gate failed look into it: deployer logs" in text
    assert "It went live, failed its health gate and was rolled back." in text


@pytest.mark.parametrize(
    "told",
    ["", "{", "[]", '{"probe": 7, "steps": "x", "probe_chart": [[1]], "changes": {}, "notes": 1, "url": []}',
     '{"probe_chart": [[0, 1e999, 0], [1, 2, 0]], "steps": [{"name": "a", "seconds": "x"}]}', "null"],
)  # fmt: skip
def test_a_result_that_makes_no_sense_spoils_no_page(place: Place, visitor: Visitor, told: str) -> None:
    """What cannot be read is left out."""
    job = place.deployed("blog", "b" * 40, "20261122T190300Z-bbbbbbb", result=told)
    assert [visitor.get(path).status_code for path in ("/", f"/deployments/{job.id}", "/apps/blog")] == [200] * 3


def test_a_running_deployment_shows_its_steps_and_log(place: Place, visitor: Visitor) -> None:
    """As far as they have come, also without JavaScript."""
    place.deliver("blog")
    job = place.run()
    log = place.log(job.id)
    log.write("attempt", "attempt 1")
    log.write("step", "to the host", name="connect")
    log.write("done", "", name="connect", seconds=0.4)
    log.write("step", "make build", name="build")
    log.write("output", "\x1b[1mcompiling\x1b[0m\nand\tlinking")
    log.close()
    page = visitor.get(f"/deployments/{job.id}").text
    text = text_of(page)
    assert "Running for" in text and "connect 0.4 s" in text and re.search(r"build running", text)
    assert "compiling\nand linking" in page and "build: make build" in page
    assert f'data-stream="/deployments/{job.id}/log"' in page
    assert "output: compiling\nand linking\n" in visitor.get(f"/deployments/{job.id}/log.txt").text


def test_a_long_log_is_cut_on_the_page_and_whole_as_text(place: Place, visitor: Visitor) -> None:
    """The page stays small; the end is what matters, and it says that there is more."""
    job = place.deployed("blog", "b" * 40, "20261122T190300Z-bbbbbbb")
    log = place.log(job.id)
    for number in range(20_000):
        log.write("output", f"line {number} of a long log")
    log.close()
    page = visitor.get(f"/deployments/{job.id}").text
    assert len(page) < 250_000 and "line 19999 of" in page and "line 100 of" not in page and "left out here" in page
    assert visitor.get(f"/deployments/{job.id}/log.txt").text.count("\n") == 20_000


def test_a_waiting_deployment_can_be_cancelled_and_others_cannot(place: Place, visitor: Visitor) -> None:
    """There is a button only where it does something."""
    _, number = place.deliver("blog")
    assert 'id="cancel"' in visitor.get(f"/deployments/{number}").text
    place.run()
    assert 'id="cancel"' not in visitor.get(f"/deployments/{number}").text


def test_hostile_texts_are_only_text(place: Place, visitor: Visitor) -> None:
    """Refs, commits, errors, notes, paths, names of people, lines of logs: no element, no handler, no hidden direction."""
    ref = f"refs/heads/{NASTY}"
    guid, _ = place.deliver("blog", ref, NASTY[:60])
    job = place.run()
    log = place.log(job.id)
    log.write("output", NASTY)
    log.write("step", NASTY, name=NASTY)
    log.write("done", "", name=NASTY, seconds=1.0)
    log.write(NASTY, NASTY)
    log.close()
    told = result(
        notes=[NASTY], url="javascript:alert(3)", previous_release=NASTY, steps=[{"name": NASTY, "seconds": 1}],
        changes=[{"action": NASTY, "path": NASTY, "from": NASTY}],
    )  # fmt: skip
    place.end(job, Status.FAILED, commit=NASTY[:60], release=NASTY, error=f"{NASTY}\n{NASTY}", result=told)
    by = Request("blog", "refs/heads/main", Source.MANUAL, requested_by=NASTY, hint=NASTY[:60])
    number = request(place.database, by)
    for path in (
        "/",
        "/apps/blog",
        "/deliveries",
        f"/deliveries/{guid}",
        f"/deployments/{job.id}",
        f"/deployments/{number}",
    ):
        page = visitor.get(path).text
        found = Links(page)
        assert found.names.count("script") == 1 and "img" not in found.names and not found.handlers, path
        assert not any(address.lower().startswith(("javascript:", "data:")) for address in found.addresses), path
        assert "\u202e" not in page and "\x1b" not in page and "49" not in re.findall(r"exe.{0,20}", page), path
        for address in found.addresses:
            assert address.startswith(("/", "https://github.com/", "#main")), address
    assert "\\u202egnp.exe" in page or "\\u202egnp.exe" in visitor.get("/").text


def test_a_commit_with_a_slash_leads_to_no_other_place(place: Place, visitor: Visitor) -> None:
    """Every part of an address is quoted."""
    place.deployed("blog", "../../../evil/evil", "20261122T190300Z-bbbbbbb")
    assert "https://github.com/octo/blog/commit/..%2F..%2F..%2Fevil%2Fevil" in visitor.get("/").text


def test_names_and_texts_that_are_very_long_stay_whole(place: Place, visitor: Visitor) -> None:
    """Nothing is lost but what a title has; the page can still be read."""
    ref = "refs/heads/" + "x" * 900
    place.deliver("blog", ref)
    job = place.end(place.run(), Status.FAILED, error="y" * 5_000)
    assert "y" * 5_000 in visitor.get(f"/deployments/{job.id}").text
    assert "x" * 900 in visitor.get("/").text


def test_assets_are_asked_for_once(visitor: Visitor) -> None:
    """Their address has their hash, so that they may be kept for ever; another version is not found under it."""
    url = asset_url("deployer.css")
    answer = visitor.get(url)
    assert answer.status_code == 200 and answer.mimetype == "text/css"
    assert "immutable" in answer.headers["Cache-Control"] and "max-age=31536000" in answer.headers["Cache-Control"]
    assert visitor.get(url, If_None_Match=answer.headers["ETag"]).status_code == 304
    assert visitor.get("/static/0000000000000000/deployer.css").status_code == 404
    assert visitor.get("/static/0000000000000000/../sessions.py").status_code == 404


def test_a_database_that_cannot_be_read_is_told(place: Place, visitor: Visitor) -> None:
    """503 and a sentence, with when to come again; the login itself needs no database."""
    place.database.close()
    file = place.config.state / "receiver.db"
    file.rename(file.with_suffix(".away"))
    file.mkdir()
    answer = visitor.get("/")
    assert answer.status_code == 503 and "The database cannot be used" in answer.text
    assert answer.headers["Retry-After"] == "10"


def test_times_are_told_as_people_say_them(place: Place, visitor: Visitor) -> None:
    """Beside the exact time, for whoever wants that."""
    before = time.time()
    place.deployed("blog", "b" * 40, "20261122T190300Z-bbbbbbb", ago=3 * 86_400)
    after = time.time()
    page = visitor.get("/apps/blog").text
    exact = [time.strftime("%Y-%m-%dT%H:%M", time.gmtime(at - 3 * 86_400)) for at in (before, after)]
    assert "3 d ago" in page and any(f'datetime="{minute}' in page for minute in exact)
