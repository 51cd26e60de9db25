"""The journal: every whole line counts, whatever a kill or a full disk left of the others."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from deployer.journal import Event, deploys, members, parse, previous_of


def line(step: str, state: str, release: str = "", previous: str = "", deploy: str = "d1", **details: object) -> str:
    about = {"time": "2026-11-22T19:03:00Z", "deploy": deploy, "step": step, "state": state}
    return json.dumps({**about, "release": release, "previous": previous, **details})


def journal(*lines: str) -> str:
    return "".join(f"{each}\n" for each in lines)


TEXT = journal(
    line("lock", "taken", by="anna"),
    line("switch", "begin", "B", "A", commit="7f247f9"),
    line("switch", "done", "B", "A"),
    line("done", "confirmed", "B", "A"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_lines_are_events_in_order() -> None:
    """The known members are fields, further ones are details."""
    first, begin, *_ = parse(TEXT)
    assert first == Event("2026-11-22T19:03:00Z", "d1", "lock", "taken", "", "", {"by": "anna"})
    assert (begin.release, begin.previous, begin.details) == ("B", "A", {"commit": "7f247f9"})


@given(st.integers(0, len(TEXT)))
def test_a_journal_that_ends_anywhere_keeps_its_whole_lines(end: int) -> None:
    """A kill in the middle of a write loses that line only."""
    whole = TEXT[:end].count("\n")
    events = parse(TEXT[:end])
    assert events[:whole] == parse(TEXT)[:whole]
    assert len(events) in (whole, whole + 1)


@given(
    st.lists(
        st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")), JSON.map(json.dumps))
    )
)
def test_torn_lines_are_left_out(torn: list[str]) -> None:
    """Any text between good lines, JSON of any other form included, costs nothing but itself."""
    text = journal(line("lock", "taken"), *torn, line("done", "confirmed"))
    events = parse(text)
    assert events[0].step == "lock"
    assert events[-1].step == "done"


def test_deeply_nested_garbage_is_left_out() -> None:
    """A line that no parser can follow to its end is a torn line too."""
    assert len(parse(journal("[" * 200_000, '{"time":' * 5_000, line("lock", "taken")))) == 1


def test_a_torn_line_swallows_only_the_one_glued_to_it() -> None:
    """A line without its end, and the next deploy's first line behind it: later lines count again."""
    glued = line("switch", "begin", "B")[:20] + line("lock", "taken", deploy="d2")
    assert [event.step for event in parse(journal(line("lock", "taken"), glued, line("done", "confirmed")))] == [
        "lock",
        "done",
    ]


@given(st.dictionaries(st.text(min_size=1), st.one_of(st.text(), st.booleans(), st.integers()), max_size=4))
def test_members_are_one_ascii_line_that_reads_back(facts: dict[str, object]) -> None:
    """What the client has the host write is JSON on one line, whatever the texts hold."""
    text = members(facts.items())
    assert "\n" not in text
    assert text.isascii()
    assert json.loads(f'{{"x":1{text}}}') == {"x": 1, **facts}


def test_before_a_release_was_what_its_first_switch_replaced() -> None:
    """After a rollback from C to B, what comes before B is still A."""
    events = parse(
        journal(
            line("switch", "done", "A", ""),
            line("switch", "done", "B", "A"),
            line("switch", "done", "C", "B"),
            line("switch", "done", "B", "C"),
        )
    )
    assert [previous_of(events, name) for name in "ABCD"] == ["", "A", "B", ""]


def test_a_switch_that_was_recovered_counts() -> None:
    """An interrupted deploy that stayed live has a release before it, too; one that only began has none."""
    events = parse(journal(line("switch", "recovered", "B", "A"), line("switch", "begin", "C", "B")))
    assert (previous_of(events, "B"), previous_of(events, "C")) == ("A", "")


def test_events_are_grouped_by_deploy() -> None:
    """Two deploys whose lines mix, one of them waiting for the lock, stay apart, in the order of their first lines."""
    events = parse(journal(line("lock", "taken"), line("lock", "taken", deploy="d2"), line("done", "confirmed")))
    assert [[event.state for event in group] for group in deploys(events)] == [["taken", "confirmed"], ["taken"]]
