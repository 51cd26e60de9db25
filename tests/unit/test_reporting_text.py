"""Sizes, durations, tables, and texts from outside made safe."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.reporting.text import (
    colored,
    format_bytes,
    format_duration,
    format_milliseconds,
    is_terminal,
    table,
    visible,
    width,
    write_line,
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "caf\\xe9"),
        ("\ud800", "\\ud800"),
        ("a\u202eb\u2028c\x9bd", "a\\u202eb\\u2028c\\x9bd"),
        ("grüße 日本 👩\u200d💻", "grüße 日本 👩\u200d💻"),
        ("no\u00a0break", "no\u00a0break"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_visible_shows_what_would_steer_a_terminal(text: str, shown: str) -> None:
    """Controls, escapes, bidirectional marks and non-UTF-8 bytes become escapes; writing of any language stays."""
    assert visible(text) == shown


@given(st.text(st.characters(exclude_categories=[])))
def test_visible_is_one_encodable_line(text: str) -> None:
    """Whatever comes in, one line without control characters that UTF-8 can encode comes out."""
    shown = visible(text)
    assert len(shown.splitlines()) <= 1
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in shown)
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (9949, "9.9 kB"),
        (9960, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (45_300_000, "45 MB"),
        (4 * 10**9, "4.0 GB"),
        (10**19, "10000 PB"),
    ],
)
def test_bytes_have_decimal_units(count: int, shown: str) -> None:
    """Sizes are short: one decimal below ten, none above, the next unit from 999.5 on."""
    assert format_bytes(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1.0, "0 ms"),
        (0.012, "12 ms"),
        (0.0999, "0.1 s"),
        (1.1, "1.1 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations_are_said_as_people_do(seconds: float, shown: str) -> None:
    """Two units at most, from milliseconds to days."""
    assert format_duration(seconds) == shown


@pytest.mark.parametrize(("value", "shown"), [(0, "0 ms"), (0.42, "0.4 ms"), (61.2, "61 ms"), (1234, "1.2 s")])
def test_latencies_are_short(value: float, shown: str) -> None:
    """Below a millisecond one decimal, from a second on seconds."""
    assert format_milliseconds(value) == shown


def test_table_aligns_wide_and_unsafe_cells() -> None:
    """Columns line up by what a terminal shows, not by characters; a newline in a cell does not break its row."""
    lines = table([("日本", "1"), ("a\nb", "20"), ("short",)], header=("name", "n"), right=(1,))
    assert lines == ["name    n", "日本    1", "a\\nb   20", "short"]
    assert table([]) == []
    assert width("e\u0301") == 1


def test_write_line_survives_its_stream() -> None:
    """Characters that the stream lacks are escaped; a closed or broken stream stops nothing."""
    raw = io.BytesIO()
    ascii_only = io.TextIOWrapper(raw, encoding="ascii")
    write_line(ascii_only, "→ é")
    assert raw.getvalue() == b"\\u2192 \\xe9\n"

    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    write_line(Broken(), "x")
    closed = io.StringIO()
    closed.close()
    write_line(closed, "x")
    assert not is_terminal(closed, {"TERM": "xterm"})


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({}, False), ({"TERM": "xterm", "CI": "true"}, False)],
)
def test_terminal_needs_a_person(environment: dict[str, str], expected: bool) -> None:
    """CI systems and dumb terminals get plain lines even where they pretend to be terminals."""
    assert is_terminal(Terminal(), environment) is expected
    assert not is_terminal(io.StringIO(), environment)


def test_color_honours_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours appear on terminals only, and never with NO_COLOR."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert colored("x", "red", Terminal()) == "\x1b[31mx\x1b[0m"
    assert colored("x", "red", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert colored("x", "red", Terminal()) == "x"
