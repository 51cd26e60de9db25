"""The pages in a real browser: what a person does and sees, with the receiver's own server behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from receiver.store import Status
from tests.attempts import until
from tests.receiver.browser import PATIENCE, Window, chromium
from tests.receiver.pages_parts import PASSWORD_HASH, Place
from tests.receiver.pages_story import APPS, tell
from tests.receiver.program import Receiver, free_port, push
from tests.receiver.test_pages_content import NASTY
from tests.receiver.worker_parts import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
LARGEST_IMAGE = 150_000
PHONE = {"width": 390, "height": 844}
expect.set_options(timeout=PATIENCE)


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002  # werkzeug's name
        """Say nothing."""


class Site:
    """A place that is served on loopback, and can go away and come back at the same port."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.server: BaseWSGIServer | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.app = self.place.app()
        self.server = make_server("127.0.0.1", self.port, self.app, threaded=True, request_handler=_Quiet)
        self.port = self.server.port
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self) -> None:
        if self.server is not None:
            self.app.extensions["receiver-streams"].watch.close()
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()
            self.server = None


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(Place(tmp_path, apps=APPS))
    yield found
    found.stop()


@pytest.fixture
def window(browser: Browser, site: Site) -> Iterator[Window]:
    found = Window(browser, site.url)
    yield found
    found.close()


def test_a_person_logs_in_and_out(window: Window, site: Site) -> None:
    """By the keyboard alone: the field has the focus; a wrong password is told, the right one leads to the wanted page."""
    page = window.page
    page.goto("/deliveries")
    expect(page).to_have_url(f"{site.url}/login?next=%2Fdeliveries")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("This is not the password.")
    window.complaints.clear()  # Chromium itself complains about the status 401
    window.log_in("/deliveries")
    expect(page.get_by_role("heading", name="Deliveries")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    assert window.complaints == []


def test_a_log_grows_while_one_watches(window: Window, site: Site) -> None:
    """Lines come as they are written, steps with them; at the end the result is there, without a reload."""
    site.place.deliver("blog")
    job = site.place.run()
    log = site.place.log(job.id)
    log.write("step", "make build", name="build")
    page = window.log_in(f"/deployments/{job.id}")
    lines = page.locator("#log li")
    expect(lines).to_have_count(1)
    expect(page.locator("#log-state")).to_have_text("live")
    log.write("output", "compiling")
    expect(lines).to_have_count(2)
    log.write("done", "", name="build", seconds=1.5)
    expect(page.locator(".steps")).to_contain_text("1.5 s")
    page.evaluate("window.stayed = true")
    log.write("end", "done")
    site.place.end(job, commit="b" * 40, release="20261122T190300Z-bbbbbbb", result='{"steps": []}')
    expect(page.locator(".title-state")).to_contain_text("Deployed")
    assert page.locator("#log .line-text").all_inner_texts() == [
        "build: make build",
        "compiling",
        "build 1.5 s",
        "done",
    ]
    assert page.evaluate("window.stayed") is True
    expect(page.locator("#log-state")).to_have_text("")
    assert window.complaints == []


def test_a_log_goes_on_after_the_connection_broke(window: Window, site: Site) -> None:
    """The server ends and comes back: no line is missing, and none is there twice."""
    site.place.deliver("blog")
    job = site.place.run()
    log = site.place.log(job.id)
    log.write("output", "line 0")
    page = window.log_in(f"/deployments/{job.id}")
    expect(page.locator("#log-state")).to_have_text("live")
    log.write("output", "line 1")
    expect(page.locator("#log li")).to_have_count(2)
    site.stop()
    expect(page.locator("#log-state")).to_contain_text("trying again")
    log.write("output", "line 2")
    site.start()
    log.write("output", "line 3")
    expect(page.locator("#log li")).to_have_count(4)
    assert page.locator("#log .line-text").all_inner_texts() == [f"line {number}" for number in range(4)]


def test_a_rollback_asks_before_it_happens(window: Window, site: Site) -> None:
    """The button opens a question; no leaves everything as it is, yes queues the rollback and leads to it."""
    for number in range(2):
        site.place.deployed("blog", f"{number:040x}", f"20261122T19030{number}Z-{number:07x}")
    page = window.log_in("/apps/blog")
    button = page.get_by_role("button", name="Roll back to 20261122T190300Z-0000000")
    button.click()
    question = page.get_by_role("dialog", name="Roll back blog?")
    expect(question).to_contain_text("To release 20261122T190300Z-0000000. Live now: 20261122T190301Z-0000001.")
    question.get_by_role("button", name="Keep what is live").click()
    expect(question).to_be_hidden()
    assert page.url == f"{site.url}/apps/blog"
    button.click()
    question.get_by_role("button", name="Roll back").click()
    expect(page).to_have_url(f"{site.url}/deployments/3")
    expect(page.get_by_text("Rollback to 20261122T190300Z-0000000")).to_be_visible()
    job = site.place.job(3)
    assert (job.kind, job.target, job.status, job.requested_by) == (
        "rollback", "20261122T190300Z-0000000", Status.WAITING, "dashboard"
    )  # fmt: skip
    assert window.complaints == []


def test_everything_works_without_javascript(browser: Browser, site: Site) -> None:
    """Login, a deploy by hand, its cancellation, and a rollback that asks on a page of its own."""
    for number in range(2):
        site.place.deployed("blog", f"{number:040x}", f"20261122T19030{number}Z-{number:07x}")
    window = Window(browser, site.url, java_script_enabled=False)
    page = window.log_in("/apps/blog")
    page.get_by_role("button", name="Deploy again").click()
    expect(page.locator(".title-state")).to_contain_text("Waiting")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".title-state")).to_contain_text("Cancelled")
    expect(page.get_by_text("cancelled by dashboard")).to_be_visible()
    page.goto("/apps/blog")
    page.get_by_role("button", name="Roll back to").click()
    expect(page.get_by_role("heading", name="Roll back blog?")).to_be_visible()
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("Rollback to")).to_be_visible()
    window.close()


def test_the_overview_follows_by_itself(window: Window, site: Site) -> None:
    """A job that begins and ends is seen without a reload, and what has the focus keeps it."""
    site.place.deliver("blog")
    page = window.log_in()
    card = page.locator("li.card", has_text="octo/blog")
    expect(card).to_contain_text("Waiting")
    page.get_by_role("link", name="docs", exact=True).first.focus()
    job = site.place.run()
    expect(card).to_contain_text("Deploying")
    expect(page.get_by_role("link", name="docs", exact=True).first).to_be_focused()
    site.place.end(job, commit="b" * 40, release="20261122T190300Z-bbbbbbb", result="")
    expect(card).to_contain_text("went live")
    assert window.complaints == []


def test_hostile_texts_do_nothing_in_a_browser(window: Window, site: Site) -> None:
    """No dialog, no error, no violation of the content security policy, no sideways scrolling; also in a live log."""
    site.place.deliver("blog", f"refs/heads/{NASTY}{'x' * 600}", "c" * 40)
    job = site.place.run()
    log = site.place.log(job.id)
    log.write("output", NASTY)
    page = window.log_in(f"/deployments/{job.id}")
    expect(page.locator("#log-state")).to_have_text("live")
    log.write("step", NASTY, name=NASTY)
    log.write("error", NASTY + "y" * 3_000)
    expect(page.locator("#log li")).to_have_count(3)
    expect(page.locator("#log li").last).to_contain_text("\\u202egnp.exe")
    for path in ("/", "/apps/blog", "/deliveries", f"/deployments/{job.id}"):
        for width in (PHONE["width"], 1_280):
            page.set_viewport_size({"width": width, "height": 800})
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, width)
    assert (window.complaints, window.dialogs) == ([], [])


def test_a_violation_of_the_policy_would_be_seen(window: Window) -> None:
    """The console of the tests above is the one that Chromium complains to: an inline script is refused there."""
    page = window.log_in()
    expect(page.locator(".brand")).to_be_visible()
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    until(lambda: page.evaluate("1") == 1 and any("Content Security Policy" in each for each in window.complaints))
    assert page.evaluate("window.ran") is None


def test_a_push_is_watched_and_taken_back(browser: Browser, tmp_path: Path) -> None:
    """With `receiver run` as it is: a delivery's build is followed live until it serves; a button takes it back."""
    port = free_port()
    (tmp_path / "password").write_text(PASSWORD_HASH, "utf-8")
    world = World(
        tmp_path,
        build="for n in 1 2 3 4; do echo part $n; sleep 0.5; done; mkdir -p public && cp version public/index.html",
        top=f'bind = "127.0.0.1:{port}"\nlog_streams = 20',
        rest='[login]\npassword_hash = { file = "password" }',
    )
    with Receiver(tmp_path, command="run", port=port) as receiver:
        window = Window(browser, f"http://127.0.0.1:{port}")
        page = window.log_in()
        for version in ("one", "two"):
            assert receiver.deliver(push(after=world.origin.commit({"version": version}))).status == 202
            page.goto("/deliveries")
            page.get_by_role("link", name="blog #").first.click()
            expect(page.locator("#log")).to_contain_text("part 4")
            expect(page.locator(".title-state")).to_contain_text("Live now")
            expect(page.locator(".steps")).to_contain_text("upload")
            assert world.served == version
        page.goto("/apps/blog")
        page.get_by_role("button", name="Roll back").click()
        page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
        expect(page.locator(".title-state")).to_contain_text("Rolled back")
        assert world.served == "one"
        assert window.complaints == []
        window.close()


def _contrast(page: Page, selector: str) -> float:
    script = """
    (element) => {
      const parse = (text) => {
        const canvas = new OffscreenCanvas(1, 1).getContext('2d');
        canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
      };
      const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
        .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      let ground = element;
      while (parse(getComputedStyle(ground).backgroundColor)[3] < 255) ground = ground.parentElement;
      const a = light(parse(getComputedStyle(element).color));
      const b = light(parse(getComputedStyle(ground).backgroundColor));
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    }
    """
    return float(page.locator(selector).first.evaluate(script))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_both_schemes(browser: Browser, site: Site, scheme: str) -> None:
    """Contrast is 4.5 to 1 at least (WCAG 2.2, AA), for each kind of text and state, on the ground that it stands on."""
    jobs = tell(site.place)
    window = Window(browser, site.url, color_scheme=scheme)
    page = window.log_in()
    ratios = {}
    for path, selectors in {
        "/": ".state-succeeded .state-failed .state-running .state-waiting .card-repository a .cell-when .ref "
        ".probe-bad .card-error thead_th .plain",
        f"/deployments/{jobs['failed'].id}": ".notice-first .hint .notice_.quiet dt .commit .step-took h1_.quiet",
        f"/deployments/{jobs['live'].id}": ".line-at .line-step .line-done_.line-text .line-warning_.line-text figcaption",
        "/apps/blog": ".button-main .button-small",
    }.items():
        page.goto(path)
        for selector in selectors.split():
            ratios[selector] = _contrast(page, selector.replace("_", " "))
    window.close()
    assert {name: round(ratio, 2) for name, ratio in ratios.items() if ratio < 4.5} == {}


def test_screenshots_for_the_documentation(browser: Browser, site: Site, tmp_path: Path) -> None:
    """docs/images has the pages, light and dark, wide and on a phone, each small enough for a repository.

    With DEPLOYER_SCREENSHOTS=1 they are drawn there anew.
    """
    jobs = tell(site.place)
    folder = IMAGES if os.environ.get("DEPLOYER_SCREENSHOTS") == "1" else tmp_path
    wide = {"width": 1_100, "height": 860}
    for name, path, scheme, size in (
        ("overview", "/", "light", wide),
        ("overview-dark", "/", "dark", wide),
        ("overview-phone", "/", "light", PHONE),
        ("app", "/apps/blog", "light", wide),
        ("deployment", f"/deployments/{jobs['live'].id}", "light", wide),
        ("deployment-dark", f"/deployments/{jobs['running'].id}", "dark", wide),
        ("deployment-phone", f"/deployments/{jobs['live'].id}", "dark", PHONE),
    ):
        window = Window(browser, site.url, color_scheme=scheme, viewport=size)
        page = window.log_in(path)
        expect(page.locator(".brand")).to_be_visible()
        page.wait_for_load_state("load")
        file = folder / f"receiver-{name}.png"
        page.screenshot(path=file, animations="disabled")
        window.close()
        assert file.read_bytes().startswith(b"\x89PNG") and file.stat().st_size < LARGEST_IMAGE
        assert (IMAGES / file.name).exists()
