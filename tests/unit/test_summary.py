"""The summary of a job: what it tells, and that nothing in it gets out of its place."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.latency import Mark, ProbeReport, Sample, report
from deployer.reporting.chart import latency_chart
from deployer.reporting.markdown import LONGEST, cell, cells, code, fenced, link, plain
from deployer.reporting.summary import MOST_BYTES, summarise, summarise_findings

ANSWER: dict[str, Any] = {
    "app": "blog",
    "strategy": "static",
    "environment": None,
    "hosts": ["deploy@example.org:22"],
    "release": "20261122T190300Z-7f247f9",
    "previous_release": "20261121T080112Z-0c1d2e3",
    "status": "deployed",
    "commit": "7f247f9",
    "url": "https://example.org/blog/",
    "files_total": 1532,
    "files_uploaded": 12,
    "files_deleted": 1,
    "bytes_uploaded": 48_211,
    "duration_seconds": 1.084,
    "steps": [{"name": "connect", "seconds": 0.41}],
    "probe": {"requests": 18, "dropped": 0, "p50_ms": 21.3, "p99_ms": 40.1, "longest_gap_ms": 70.9},
    "error": None,
    "changes": [{"action": "add", "path": "a.html", "bytes": 12}, {"action": "remove", "path": "b|c.html", "bytes": 1}],
}
HOSTILE = (
    "a|b\\|`c```\n</details><img src=x>[x](javascript:y) @anna ![x](y) www.example.org\x1b[31m\u202e\udcff::error::no\\"
)
texts = st.one_of(st.text(), st.just(HOSTILE), st.text(alphabet="`|\\\n\r\t<>[]()!@#*_~&;: ax\u202e\u2028\udcff"))


def seen(dropped: int = 0) -> Any:
    samples = [
        Sample(number * 0.05, 0.02 + number / 1000, number >= dropped or number == 0, "refused")
        for number in range(200)
    ]
    return report(samples, [Mark("switch", 5.0)])


def test_a_deploy_at_a_glance() -> None:
    """What is live, where, in how long, what changed, and whether anything was dropped."""
    text = summarise(ANSWER, probe=seen(), notes=["7f247f9 Write more"])
    assert text.startswith("### ✅ blog is live in 1.1 s, no request dropped\n")
    assert "| url | <https://example.org/blog/> |" in text
    assert "| release | `20261122T190300Z-7f247f9` |" in text
    assert "| files | 1,532 in all, 12 uploaded, 1 deleted |" in text
    assert "<summary>1 added (12 bytes), 1 removed (1 byte)</summary>" in text
    assert "\n+ a.html  (12 bytes)\n- b|c.html\n" in text
    assert "| 18 | 0 | 21 ms | 40 ms | 71 ms |" in text
    assert "```mermaid\n" in text
    assert "\n7f247f9 Write more\n" in text
    assert "| `connect` | 0.4 s |" in text


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"status": "unchanged"}, ["✅ blog is unchanged"]),
        ({"status": "rolled_back"}, ["✅ blog is rolled back in 1.1 s"]),
        ({"status": "rolled_back", "error": "bad gate\n  look"}, ["↩️ blog was rolled back", "  look", "said last"]),
        (
            {"status": "failed", "error": "no", "exit_code": 1, "app": None, "probe": None},
            ["❌ Deploy failed", "no", "`20261121T080112Z-0c1d2e3` still serves", "said last"],
        ),
        (
            {"status": "failed", "error": "no", "exit_code": 4, "previous_release": None},
            ["What was live before still serves"],
        ),
        ({"status": "failed", "error": "no", "exit_code": 7}, ["❌ blog needs a look now"]),
        ({"status": "failed", "error": "no", "exit_code": 130}, ["❌ blog was interrupted"]),
        ({"error": "too many"}, ["⚠️ blog is live"]),
        (
            {"status": "planned", "warnings": ["has a gap"], "steps": [{"name": "upload", "summary": "2 files"}]},
            ["📋 blog: what a run would do", "`2 files`", "⚠️ `has a gap`"],
        ),
        ({"status": "planned", "steps": [], "changes": []}, ["✅ blog: nothing would change"]),
        ({"probe": {"requests": 0}}, ["measured nothing: `refused` (5)"]),
        (
            {"probe": {**ANSWER["probe"], "dropped": 3}},
            [", 3 requests dropped", "| **3** |", "Dropped: `refused` (5)", "red: dropped requests"],
        ),
    ],
)
def test_every_end_has_its_words(changed: dict[str, Any], words: list[str]) -> None:
    """Unchanged, rolled back, failed with the last lines, planned, dropped."""
    text = summarise({**ANSWER, **changed}, probe=seen(dropped=6), output=["first"] * 100 + ["said last"])
    for word in words:
        assert word in text
    assert text.count("\nfirst\n") <= 30


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"status": "rolled_back", "exit_code": 6}, "⚠️ blog is rolled back"), ({"exit_code": 6}, "⚠️ blog is live")],
)
def test_a_spent_budget_leaves_the_release_live(changed: dict[str, Any], word: str) -> None:
    """Also behind a rollback that was asked for: nothing is said to be live that is not."""
    text = summarise({**ANSWER, **changed, "error": "3 of 18 requests were dropped"})
    assert word in text
    assert "live again" not in text
    assert "still serves" not in text


def test_of_several_hosts_only_the_reason_says_what_is_live() -> None:
    """Those that were deployed to before the one that failed may have the new release."""
    failed = {**ANSWER, "status": "failed", "error": "web2: no\n  web1: new is live", "exit_code": 1}
    assert "still serves" in summarise(failed)
    assert "still serves" not in summarise({**failed, "hosts": ["web1", "web2"]})


def test_what_changes_on_all_hosts_is_told_once() -> None:
    """A change of some of them names these."""
    both = [{"action": "add", "path": "a.html", "bytes": 12, "host": host} for host in ("web1", "web2")]
    one = {"action": "change", "path": "b.html", "bytes": 3, "host": "web2"}
    text = summarise({**ANSWER, "hosts": ["web1", "web2"], "changes": [*both, one]})
    assert "<summary>1 added (12 bytes), 1 changed (3 bytes)</summary>" in text
    assert "\n+ a.html  (12 bytes)\n! web2: b.html  (3 bytes)\n" in text


def rows_of(seen: ProbeReport) -> list[list[float]]:
    """The chart's series: switch, dropped, latencies."""
    chart = latency_chart(seen)
    assert chart is not None
    found = re.findall(r"^    bar \[(.*)\]$", chart.text, flags=re.MULTILINE)
    return [[float(value) for value in row.split(", ")] for row in found]


def test_the_chart_marks_switch_and_drops() -> None:
    """At most sixty points; what was dropped stands out behind the latencies, and the switch behind both."""
    switch, lost, latencies = rows_of(seen(dropped=120))
    assert len(switch) == len(lost) == len(latencies) == 60
    assert [number for number, value in enumerate(switch) if value] == [30]
    assert sum(1 for value in lost if value) == 36
    assert switch[30] > lost[30] > max(latencies)


def test_the_chart_marks_the_way_back() -> None:
    """After a failing gate there are two switches, and the caption says what the second one is."""
    calm = seen()
    back = replace(calm, marks=(*calm.marks, Mark("return", 7.5)))
    assert [number for number, value in enumerate(rows_of(back)[0]) if value] == [30, 45]
    charts = [latency_chart(calm), latency_chart(back)]
    assert ["grey: the switch and the way back" in chart.caption for chart in charts if chart] == [False, True]


def test_of_very_many_notes_both_ends_are_kept() -> None:
    """The newest commits come first, and images last."""
    notes = [f"{number:07} commit" for number in range(100)] + ["image of blog: a → b"]
    text = summarise(ANSWER, notes=notes)
    assert "\n0000000 commit\n" in text
    assert "\nand 72 more\n" in text
    assert "\nimage of blog: a → b\n" in text
    assert text.count(" commit\n") == 28
    assert "more" not in summarise(ANSWER, notes=notes[-30:])


def test_the_chart_is_drawn_from_two_requests_on() -> None:
    """One alone has no course, and none have nothing."""
    assert latency_chart(report([])) is None
    assert latency_chart(report([Sample(0.0, 0.01, good=True)])) is None
    two = report([Sample(0.0, 0.01, good=True), Sample(0.0, 0.01, good=True)])
    chart = latency_chart(two)
    assert chart is not None
    assert '"seconds" 0 --> 0.01\n' in chart.text


def test_a_switch_before_the_first_good_answer_is_not_drawn() -> None:
    """A first deploy's is before all that counts; drawn at the edge it would be at a wrong time."""
    first = report([Sample(number * 0.05, 0.01, number > 20) for number in range(100)], [Mark("switch", 0.5)])
    assert not any(rows_of(first)[0])
    chart = latency_chart(first)
    assert chart is not None
    assert "switch" not in chart.caption


def test_long_latencies_make_a_whole_chart() -> None:
    """Long lines of texts are cut, but not those of a chart."""
    slow = report([Sample(number * 0.05, 10_000.0 + number, good=True) for number in range(200)])
    block = re.search(r"^```mermaid\n(.*?)\n```$", summarise(ANSWER, probe=slow), flags=re.MULTILINE | re.DOTALL)
    assert block
    chart = latency_chart(slow)
    assert chart is not None
    assert block[1] == chart.text
    assert len(max(chart.text.splitlines(), key=len)) > LONGEST


@given(texts)
def test_code_spans_hold_whatever_they_are_given(text: str) -> None:
    """No run of back-quotes inside is as long as the marks, no line ends, no cell does."""
    for span in (code(text), cell(text)):
        if not span:
            continue
        marks = re.match("`+", span)
        assert marks
        inner = span[len(marks[0]) : -len(marks[0])]
        assert span.endswith(marks[0])
        assert all(len(run) != len(marks[0]) for run in re.findall("`+", inner))
        assert len(span.splitlines()) == 1
    assert not re.search(r"(?<!\\)\|", cell(text))


@given(st.lists(texts))
def test_fenced_blocks_hold_whatever_they_are_given(lines: list[str]) -> None:
    """Only the last line closes the block."""
    block = fenced(lines).splitlines()
    assert not any(line.strip().startswith(block[0]) for line in block[1:-1])
    assert block[-1] == block[0]
    assert len(block) == max(3, len(lines) + 2)


def test_hostile_texts_stay_in_their_place() -> None:
    """Names, hosts, errors and output with markup show as what they are."""
    answer = {**ANSWER, "error": HOSTILE, "status": "failed", "hosts": [HOSTILE], "commit": HOSTILE, "url": HOSTILE}
    answer["changes"] = [{"action": "add", "path": HOSTILE, "bytes": 1, "from": HOSTILE, "host": HOSTILE}]
    answer["steps"] = [{"name": HOSTILE, "seconds": 1.0}]
    answer |= {"app": HOSTILE, "environment": HOSTILE, "warnings": [HOSTILE], "release": HOSTILE}
    bad = report([Sample(0.0, 0.1, good=True), Sample(1.0, 0.1, good=False, reason=HOSTILE)])
    answer["probe"] = {**ANSWER["probe"], "dropped": 1}
    text = summarise(answer, probe=bad, notes=[HOSTILE], output=[HOSTILE], link=HOSTILE)
    outside = re.sub(r"^(`{3,})[^\n]*\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", outside)
    assert "<img" not in outside
    assert "@anna" not in outside
    assert "javascript:" not in outside
    assert "www." not in outside
    assert outside.count("<details") == outside.count("</details>")
    assert "\x1b" not in text
    assert "\u202e" not in text
    findings = summarise_findings(HOSTILE, [{"name": HOSTILE, "state": "error", "found": HOSTILE, "mend": HOSTILE}])
    assert "<img" not in re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", findings)


def test_the_size_is_bounded() -> None:
    """However many files there are, and however long their names."""
    many = [{"action": "add", "path": f"{number}.html", "bytes": 1} for number in range(100_000)]
    text = summarise({**ANSWER, "changes": many})
    assert "100,000 added" in text
    assert "and 99,950 more" in text
    for letter in ("x", "\U0001f600", "`", "\t", "\x1b"):
        endless = letter * 100_000
        long = {**ANSWER, **dict.fromkeys(("app", "release", "url", "commit", "environment"), endless)}
        long |= {"changes": [{"action": "add", "path": f"{n}{endless}", "bytes": 1} for n in range(50)]}
        long |= {"status": "failed", "error": f"the reason\n{endless}", "warnings": [endless], "hosts": [endless] * 300}
        text = summarise(long, probe=seen(), notes=[endless] * 40, output=[endless] * 40)
        assert len(text.encode()) <= MOST_BYTES
        assert "\nthe reason\n" in text
        findings = [{"name": "disk", "state": "error", "found": endless, "mend": f"{endless}\n" * 11}] * 50
        assert len(summarise_findings("a", findings).encode()) <= MOST_BYTES


def test_what_does_not_fit_is_left_out_whole() -> None:
    """No part is cut in its middle, where a table or a fold would stay open; what comes behind it may still fit."""
    text = summarise({**ANSWER, "hosts": ["\U0001f600" * 500] * 300})
    assert "| url |" not in text
    assert "| `connect` | 0.4 s |" in text
    assert text.endswith("What does not fit here is in the log.\n")


def test_small_things() -> None:
    """Links, headings and tables."""
    assert link("https://example.org/a?b=c") == "<https://example.org/a?b=c>"
    assert link("https://example.org/<img>") == "`https://example.org/<img>`"
    assert link("https://example.org/" + "a" * 500).startswith("`")
    assert plain("a<b>`c-D.1") == "abc-D1"
    assert code("") == code(" ") == ""
    assert code(" a ") == "`  a  `"
    assert code("a|b") == "`a|b`"
    assert cell("a|b") == "`a\\|b`"
    assert cells([("a", "b")], ("", "")) == "|  |  |\n| --- | --- |\n| a | b |\n"


def test_findings_are_a_table() -> None:
    """Each with its state, and how to mend it."""
    findings = [
        {"name": "target", "host": "h", "state": "error", "found": "is not there", "mend": "mkdir /www\nchown x /www"},
        {"name": "disk", "host": "h", "state": "ok", "found": "12 GB", "mend": ""},
    ]
    text = summarise_findings("blog", findings)
    assert text.startswith("### ❌ blog: 1 error\n")
    assert "<summary>1 check fine</summary>" in text
    assert text.index("target") < text.index("<details>") < text.index("disk")
    assert summarise_findings("blog", findings[1:]).startswith("### ✅ blog: all is fine\n")
    assert "| ❌ | `target` | `h` | `is not there` | `mkdir /www`<br>`chown x /www` |" in text
