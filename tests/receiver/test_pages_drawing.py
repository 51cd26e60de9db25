"""The parts of pages that are made of values: the chart, results, texts, links, and what goes from a log to a page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.config import App, GitHub, ReceiverConfig, SecretSource
from receiver.web.chart import probe_chart
from receiver.web.login import safe_target
from receiver.web.logview import steps_of
from receiver.web.outcome import Step
from receiver.web.places import GitHubLinks
from receiver.web.streams import shown_line
from receiver.web.texts import ago, several_lines, shown
from receiver.web.views import fits

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
APP = App(
    repository="octo/blog", config="x", secrets=(SecretSource(env="X"),), refs=("refs/heads/main", "refs/tags/v*")
)


def svg(html: str) -> ElementTree.Element:
    """The drawing, which must be well-formed."""
    return ElementTree.fromstring(html)


def marks(html: str, kind: str) -> list[float]:
    """Where the lines of a kind are, in per cent."""
    return [float(at) for at in re.findall(rf'<line class="chart-{kind}" x1="([\d.]+)%"', html)]


def test_a_chart_marks_drops_and_the_switch_where_they_were() -> None:
    """Over the time from the first to the last request."""
    points = [(10.0 + number, 5.0, number in {3, 7}) for number in range(11)]
    html = probe_chart(points, 15.0, "eleven requests")
    assert marks(html, "drop") == [30.0, 70.0] and marks(html, "switch") == [50.0]
    assert svg(html).find("svg/title").text == "eleven requests"  # type: ignore[union-attr]


def test_a_dropped_request_breaks_the_curve() -> None:
    """Its latency is no answer's: nothing is drawn through it, and a lone answer between two is a dot."""
    html = probe_chart([(0, 1, False), (1, 1, False), (2, 900, True), (3, 1, False), (4, 1, True)], None, "")
    line = re.search(r'class="chart-line" d="([^"]+)"', html)
    assert line and line[1].count("M") == 2 and line[1].endswith("h0")
    assert "1 ms" in html and "900" not in html


@pytest.mark.parametrize("points", [[], [(1.0, 2.0, False)], [(float("nan"), 1.0, False), (1.0, float("inf"), True)]])
def test_too_few_points_are_no_chart(points: list[tuple[float, float, bool]]) -> None:
    """Nothing is drawn of one request, or of numbers that are none."""
    assert probe_chart(points, 1.0, "") == ""


@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.booleans())), st.none() | NUMBERS, st.text())
def test_a_chart_is_well_formed_whatever_was_measured(
    points: list[tuple[float, float, bool]], switch: float | None, told: str
) -> None:
    """All positions are within the drawing, and no text is markup."""
    printable = "".join(filter(str.isprintable, told))
    html = probe_chart(points, switch, printable)
    if html:
        svg(html)
        drawing = html.partition("</title>")[2]
        assert "nan" not in drawing and "inf" not in drawing
        assert all(0 <= at <= 100 for kind in ("drop", "switch") for at in marks(html, kind))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("10%\r50%\r100%", "100%"),
        ("a\r\nb", "a\nb"),
        ("a\tb", "a   b"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\x00\x07", "\\x00\\x07"),
        ("שלום 👩\u200d💻", "שלום 👩\u200d💻"),
    ],
)
def test_what_was_meant_for_a_terminal_is_left_out(text: str, expected: str) -> None:
    """Colours go, a progress line keeps its last state, and nothing hides or turns round what follows."""
    assert several_lines(text) == expected


@given(st.text())
def test_no_text_can_steer_what_follows_it(text: str) -> None:
    """What comes onto a page has no control or direction characters, and showing it twice changes nothing."""
    once = shown(text)
    assert shown(once) == once and not re.search("[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]", once)


@pytest.mark.parametrize(
    ("passed", "words"),
    [(-60, "1 Jan 2026"), (0, "just now"), (59, "59 s ago"), (60, "1 min ago"), (3_599, "59 min ago"), (3_600, "1 h ago"),
     (86_399, "23 h ago"), (86_400, "1 d ago"), (14 * 86_400, "1 Jan 2026"), (1e18, "1 Jan 1970")],
)  # fmt: skip
def test_times_past_are_words(passed: float, words: str) -> None:
    """Rounded down, so that nothing is older than it is; after two weeks the day says more."""
    at = 1_767_225_600.0 + 7_200
    assert ago(at if passed < 1e18 else -1e18, at + passed) == words


def test_steps_are_those_of_the_last_attempt() -> None:
    """In the order in which they began; the one that has not ended has no duration."""
    log: list[dict[str, object]] = [
        {"kind": "attempt"}, {"kind": "step", "name": "connect"}, {"kind": "done", "name": "connect", "seconds": 1},
        {"kind": "attempt"}, {"kind": "step", "name": "connect"}, {"kind": "done", "name": "connect", "seconds": 0.5},
        {"kind": "step", "name": "build", "text": "make"}, {"kind": "output", "text": "x"},
    ]  # fmt: skip
    assert steps_of(log) == (Step("connect", 0.5), Step("build", None))


@given(
    st.dictionaries(
        st.sampled_from(["at", "kind", "text", "name", "seconds"]),
        st.none() | st.text() | NUMBERS | st.lists(st.integers()),
    )
)
def test_any_line_can_be_shown(line: dict[str, object]) -> None:
    """Whatever a log holds, a page gets the types that it expects."""
    told = shown_line(line)
    assert isinstance(told["at"], int | float) and 0 <= told["at"] < 1e12
    assert isinstance(told["text"], str) and str(told["kind"]).isalpha()


@pytest.mark.parametrize(
    ("api", "expected"),
    [("https://api.github.com", "https://github.com/o/r/commit/abc"), ("https://ghe.example/api/v3", "https://ghe.example/o/r/commit/abc"),
     ("javascript:alert(1)", "https:///o/r/commit/abc")],
)  # fmt: skip
def test_links_lead_to_the_configured_github(api: str, expected: str) -> None:
    """GitHub's own, or a company's; never another scheme."""
    config = ReceiverConfig(apps={}, github=GitHub(api_url=api))
    assert GitHubLinks(config).commit("o/r", "abc") == expected


@pytest.mark.parametrize(
    ("ref", "expected"),
    [("refs/heads/main", True), ("refs/tags/v1", True), ("refs/tags/v1/x", False), ("refs/heads/dev", False),
     ("main", False), ("", False)],
)  # fmt: skip
def test_by_hand_no_more_can_be_deployed_than_by_a_push(ref: str, *, expected: bool) -> None:
    """The app's patterns are the same for people."""
    assert fits(APP, ref) is expected


@given(st.text())
def test_a_target_after_the_login_is_always_ours(target: str) -> None:
    """One slash, and no second one of either kind behind it."""
    assert re.match(r"/(?![/\\])", safe_target(target)) or safe_target(target) == "/"
