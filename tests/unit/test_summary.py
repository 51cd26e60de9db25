"""The summary of a job: what it tells, and that nothing in it gets out of its place."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.latency import Mark, Sample, report
from deployer.reporting.chart import latency_chart
from deployer.reporting.markdown import cells, code, fenced, link, plain
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
HOSTILE = "a|b`c```\n</details><img src=x>[x](javascript:y) @anna ![x](y)\x1b[31m\u202e::error::no"


def seen(dropped: int = 0) -> Any:
    samples = [
        Sample(number * 0.05, 0.02 + number / 1000, number >= dropped or number == 0, "") for number in range(200)
    ]
    return report(samples, [Mark("switch", 5.0)])


def test_a_deploy_at_a_glance() -> None:
    """What is live, where, in how long, what changed, and whether anything was dropped."""
    text = summarise(ANSWER, probe=seen(), notes=["7f247f9 Write more"])
    assert text.startswith("### ✅ blog is live in 1.1 s\n")
    assert "| url | <https://example.org/blog/> |" in text
    assert "| release | `20261122T190300Z-7f247f9` |" in text
    assert "| files | 1,532 in all, 12 uploaded, 1 deleted |" in text
    assert "<summary>1 added, 1 removed</summary>" in text
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
        (
            {"status": "rolled_back", "error": "bad gate\n  look there"},
            ["↩️ blog was rolled back", "bad gate", "`20261121T080112Z-0c1d2e3` is live again", "said last"],
        ),
        ({"status": "failed", "error": "no", "app": None, "probe": None}, ["❌ Deploy failed", "no", "said last"]),
        ({"status": "planned", "steps": [{"name": "upload", "summary": "2 files"}]}, ["📋 blog", "`2 files`"]),
        ({"probe": {"requests": 0}}, ["measured nothing"]),
        ({"probe": {**ANSWER["probe"], "dropped": 3}}, ["| **3** |", "(red) what was dropped"]),
    ],
)
def test_every_end_has_its_words(changed: dict[str, Any], words: list[str]) -> None:
    """Unchanged, rolled back, failed with the last lines, planned, dropped."""
    text = summarise({**ANSWER, **changed}, probe=seen(), output=["first"] * 100 + ["said last"])
    for word in words:
        assert word in text
    assert text.count("\nfirst\n") <= 30


def test_the_chart_marks_switch_and_drops() -> None:
    """At most sixty points; the bars are as high as the line's top."""
    chart = latency_chart(seen(dropped=100)).splitlines()
    rows: dict[str, list[list[float]]] = {"bar": [], "line": []}
    for line in chart:
        if match := re.fullmatch(r"\s+(bar|line) \[(.*)\]", line):
            rows[match[1]].append([float(value) for value in match[2].split(", ")])
    (switch, lost), (latencies,) = rows["bar"], rows["line"]
    assert len(switch) == len(lost) == len(latencies) == 60
    assert [number for number, value in enumerate(switch) if value] == [30]
    assert switch[30] == max(latencies)
    assert sum(1 for value in lost if value) == 30
    assert latency_chart(report([], [])) == ""
    assert len(latency_chart(report([Sample(0.0, 0.01, good=True)])).splitlines()) == 7


@given(st.one_of(st.text(), st.just(HOSTILE)))
def test_code_spans_hold_whatever_they_are_given(text: str) -> None:
    """No run of back-quotes inside is as long as the marks, no line ends, no cell does."""
    span = code(text)
    if not span:
        return
    marks = re.match("`+", span)
    assert marks
    inner = span[len(marks[0]) : -len(marks[0])]
    assert span.endswith(marks[0])
    assert all(len(run) != len(marks[0]) for run in re.findall("`+", inner))
    assert "\n" not in span
    assert not re.search(r"(?<!\\)\|", inner)


@given(st.lists(st.one_of(st.text(), st.just(HOSTILE))))
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
    text = summarise(answer, probe=seen(), notes=[HOSTILE], output=[HOSTILE])
    outside = re.sub(r"^(`{3,})[^\n]*\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", outside)
    assert "<img" not in outside
    assert "@anna" not in outside
    assert "javascript" not in outside
    assert outside.count("<details>") == outside.count("</details>")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "<img" not in re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", summarise_findings("a", [{"found": HOSTILE}]))


def test_the_size_is_bounded() -> None:
    """However many files there are, and however long their names."""
    many = [{"action": "add", "path": f"{number}.html", "bytes": 1} for number in range(100_000)]
    text = summarise({**ANSWER, "changes": many})
    assert "100,000 added" in text
    assert "and 99,950 more" in text
    long = [{"action": "add", "path": "x" * 100_000, "bytes": 1}] * 50
    assert len(summarise({**ANSWER, "changes": long}).encode()) <= MOST_BYTES
    assert len(summarise_findings("a", [{"found": "x" * 100_000}] * 9).encode()) <= MOST_BYTES


def test_small_things() -> None:
    """Links, headings and tables."""
    assert link("https://example.org/a?b=c") == "<https://example.org/a?b=c>"
    assert link("https://example.org/<img>") == "`https://example.org/<img>`"
    assert plain("a<b>`c_d") == "abc\\_d"
    assert code("") == code(" ") == ""
    assert cells([("a", "b")], ("", "")) == "|  |  |\n| --- | --- |\n| a | b |\n"


def test_findings_are_a_table() -> None:
    """Each with its state, and how to mend it."""
    findings = [
        {"name": "target", "host": "h", "state": "error", "found": "is not there", "mend": "mkdir /www\nchown x /www"},
        {"name": "disk", "host": "h", "state": "ok", "found": "12 GB", "mend": ""},
    ]
    text = summarise_findings("blog", findings)
    assert text.startswith("### ❌ blog: 1 errors, 0 warnings\n")
    assert "| ❌ | `target` | `h` | `is not there` | `mkdir /www`<br>`chown x /www` |" in text
