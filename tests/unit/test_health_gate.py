"""The gate's rules, with answers as values and a clock that does not wait."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from deployer.health import ExpectedFile, HealthSettings, Verdict, check
from deployer.web import Answer, Fault, WebError
from tests.fakes import FakeClock

URL = "https://site.test/app/"
FILE = ExpectedFile("css/main.css", "ab" * 32, 10)
Reaction = Answer | WebError


def answer(status: int = 200, body: bytes = b"", sha256: str = FILE.sha256, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(URL, status, named, body, sha256, len(body), 0.01)


@dataclass
class ScriptedWeb:
    """Gives the prepared reactions in turn, the last one for ever; each takes ``seconds``."""

    clock: FakeClock
    reactions: Iterable[Reaction]
    seconds: float = 0.0
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left = list(self.reactions)

    def __call__(
        self, url: str, *, connect_to: str, timeout: float, until: Collection[int], headers: Mapping[str, str]
    ) -> Answer:
        self.asked.append(
            {"url": url, "timeout": timeout, "until": until, "headers": headers, "connect_to": connect_to}
        )
        self.clock.now += min(self.seconds, timeout)
        reaction = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        if isinstance(reaction, WebError):
            raise reaction
        return reaction


@dataclass
class Gate:
    """One run of the gate and what it asked."""

    verdict: Verdict
    web: ScriptedWeb

    @property
    def urls(self) -> list[str]:
        return [asked["url"] for asked in self.web.asked]


def gate(
    *reactions: Reaction,
    expected: tuple[ExpectedFile, ...] = (),
    seconds: float = 0.0,
    token: Callable[[], str] = lambda: "t",
    **settings: Any,
) -> Gate:
    clock = FakeClock()
    web = ScriptedWeb(clock, reactions, seconds)
    return Gate(check(HealthSettings(**{"url": URL, **settings}), expected, web, clock, token), web)


def refused() -> WebError:
    return WebError(Fault.UNREACHABLE, "cannot connect to site.test port 443: connection refused")


def test_a_right_answer_passes_at_once() -> None:
    """One good answer is enough, and the caller learns what it took."""
    run = gate(answer())
    assert run.verdict == Verdict(passed=True, reason="", attempts=1, seconds=0.0)
    assert run.web.asked[0]["timeout"] == 60


def test_the_address_and_the_good_statuses_reach_the_client() -> None:
    """The client connects where it is told, stops at a redirect that is a good answer, and asks past caches."""
    asked = gate(answer(302), status=frozenset({302}), connect_to="10.0.0.1").web.asked[0]
    assert (asked["connect_to"], asked["until"]) == ("10.0.0.1", {302})
    assert asked["headers"] == {"Cache-Control": "no-cache"}


def test_a_redirect_may_be_the_good_answer() -> None:
    """A first answer whose status is wanted counts, even when it is a redirect."""
    assert gate(answer(302), status=frozenset({302})).verdict.passed


@pytest.mark.parametrize("status", [404, 500, 301, 403, 429])
def test_a_wrong_status_fails_after_three_tries(status: int) -> None:
    """A definite wrong answer is believed after three in a row, 0.3 s apart."""
    verdict = gate(answer(status)).verdict
    assert (verdict.passed, verdict.attempts) == (False, 3)
    assert verdict.seconds == pytest.approx(0.6)
    assert verdict.reason == f"https://site.test/app/ answered {status} instead of 200"


def test_a_wrong_text_fails_after_three_tries() -> None:
    """A page without the wanted text is a definite wrong answer."""
    verdict = gate(answer(body=b"old"), contains="new").verdict
    assert (verdict.passed, verdict.attempts) == (False, 3)
    assert verdict.reason == "https://site.test/app/ answered without the text 'new'"


def test_the_text_is_compared_as_utf8() -> None:
    """A wanted text with other than ASCII characters is looked for in UTF-8."""
    assert gate(answer(body="grüße".encode()), contains="grüße").verdict.passed


@pytest.mark.parametrize("fault", [Fault.TLS, Fault.REDIRECTS, Fault.BAD_URL])
def test_definite_errors_fail_after_three_tries(fault: Fault) -> None:
    """What waiting does not mend, a bad certificate say, fails soon."""
    verdict = gate(WebError(fault, "for a reason")).verdict
    assert (verdict.passed, verdict.attempts, verdict.reason) == (False, 3, f"{URL}: for a reason")


@pytest.mark.parametrize(
    "reaction",
    [answer(502), answer(503), answer(504), *(WebError(fault, "x") for fault in (Fault.TIMED_OUT, Fault.INCOMPLETE))],
)
def test_a_server_that_starts_is_waited_for(reaction: Reaction) -> None:
    """No answer and 502 to 504 are asked again, up to the time-out."""
    assert gate(*[reaction] * 50, answer()).verdict.attempts == 51
    verdict = gate(reaction, timeout=3).verdict
    assert not verdict.passed
    assert verdict.seconds == pytest.approx(3)


def test_wrong_answers_count_in_a_row_only() -> None:
    """Two wrong answers, a restart, and two wrong ones again do not settle it."""
    wrong = answer(500)
    assert gate(wrong, wrong, refused(), wrong, wrong, answer()).verdict.passed


def test_time_out_may_come_before_the_third_try() -> None:
    """With little time the definite answer of the first tries is the reason."""
    verdict = gate(answer(500), timeout=0.5).verdict
    assert (verdict.attempts, verdict.reason) == (2, "https://site.test/app/ answered 500 instead of 200")


def test_each_request_gets_the_time_that_is_left() -> None:
    """A request may take as long as the gate still has, never longer."""
    run = gate(answer(503), timeout=2, seconds=0.5)
    assert [asked["timeout"] for asked in run.web.asked] == pytest.approx([2, 1.2, 0.4])


def test_the_last_short_time_out_does_not_hide_the_reason() -> None:
    """A last request that had next to no time says less than the answers before it."""
    timed_out = WebError(Fault.TIMED_OUT, "timed out")
    assert "503" in gate(*[answer(503)] * 6, timed_out, timeout=2).verdict.reason


def test_expected_files_are_fetched_below_the_site() -> None:
    """Each file is asked for by its encoded bytes, with a query that no cache has seen."""
    tokens = iter("abc")
    names = ("a b#?.css", "ü/\udcff.js", "x%41.txt")
    files = tuple(ExpectedFile(name, FILE.sha256, 1) for name in names)
    run = gate(answer(), expected=files, token=lambda: next(tokens))
    assert run.verdict.passed
    assert run.urls == [
        URL,
        URL + "a%20b%23%3F.css?deployer=a",
        URL + "%C3%BC/%FF.js?deployer=b",
        URL + "x%2541.txt?deployer=c",
    ]


@pytest.mark.parametrize(
    ("site", "base"),
    [
        ("https://site.test", "https://site.test/"),
        ("https://site.test/app", "https://site.test/app/"),
        ("https://site.test/app/index.html?x=1#y", "https://site.test/app/"),
        ("https://site.test:8443/v1.2/app/", "https://site.test:8443/v1.2/app/"),
    ],
)
def test_the_sites_directory(site: str, base: str) -> None:
    """Files are below the site's directory, whichever page of it the URL names."""
    assert gate(answer(), expected=(FILE,), url=site).urls[1] == base + "css/main.css?deployer=t"
    assert gate(answer(), expected=(FILE,), url="https://site.test/healthz", site=site).urls[1].startswith(base)


def test_stale_contents_are_waited_for() -> None:
    """Other contents than the release's may come from a cache that is about to end."""
    assert gate(
        answer(), answer(sha256="old"), answer(sha256="old"), answer(sha256="old"), answer(), expected=(FILE,)
    ).verdict.passed


def test_contents_that_stay_stale_name_the_mount() -> None:
    """A mismatch to the end fails with the URL and the likely cause."""
    verdict = gate(answer(), answer(sha256="old"), expected=(FILE,), timeout=4).verdict
    assert not verdict.passed
    assert verdict.seconds == pytest.approx(4)
    assert verdict.reason.startswith("https://site.test/app/css/main.css has other contents than the release")
    assert "mounts the target itself" in verdict.reason and "mount its parent instead" in verdict.reason


@pytest.mark.parametrize("status", [404, 401, 403])
def test_a_file_that_is_not_shown_is_reported_with_its_status(status: int) -> None:
    """A file that the server hides, or an old mount does not have, fails with the status."""
    verdict = gate(answer(), answer(status, sha256="x"), expected=(FILE,)).verdict
    assert (verdict.passed, verdict.attempts) == (False, 4)
    assert f"css/main.css answered {status}: the server hides this file, or a container" in verdict.reason


def test_right_contents_count_with_any_status() -> None:
    """A changed page that is shown as an error page is the release's page."""
    assert gate(answer(), answer(404), expected=(FILE,)).verdict.passed


def test_a_restarting_server_is_waited_for_with_files_too() -> None:
    """A file that answers 503 for a while is asked again."""
    assert gate(answer(), *[answer(503, sha256="x")] * 9, answer(), expected=(FILE,)).verdict.passed


@pytest.mark.parametrize("status", [401, 302])
def test_a_site_behind_a_login_passes_with_a_note(status: int) -> None:
    """Where the site's right answer is to ask for a login, contents cannot be compared, and the verdict says so."""
    verdict = gate(answer(status, sha256="x"), expected=(FILE,), status=frozenset({status})).verdict
    assert verdict.passed
    assert verdict.reason == f"the contents of {URL}css/main.css could not be compared: it answered {status}"


def test_unasked_compression_is_named() -> None:
    """A server that compresses against our will cannot be compared, and is not called stale."""
    verdict = gate(answer(), answer(sha256="x", content_encoding="gzip"), expected=(FILE,)).verdict
    assert not verdict.passed and "compressed" in verdict.reason


def test_no_time_left_for_the_files() -> None:
    """A page that took all the time leaves the contents uncompared, which is a failure with that reason."""
    verdict = gate(answer(), expected=(FILE,), seconds=60).verdict
    assert (verdict.passed, verdict.attempts) == (False, 1)
    assert verdict.reason == "the time-out passed before the served contents could be compared"


def test_reasons_do_not_show_queries() -> None:
    """A URL's query may hold a token; reasons name the URL without it."""
    reason = gate(refused(), url="https://site.test/health?token=secret", timeout=1).verdict.reason
    assert reason.startswith("https://site.test/health: cannot connect")
    assert "secret" not in reason
