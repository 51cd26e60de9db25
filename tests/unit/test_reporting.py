"""The reporters: plain lines, the live display, and the log that is kept."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import pytest

from deployer.ports import Reporter
from deployer.reporting import PlainReporter, RecordingReporter, choose
from deployer.reporting.console import ConsoleReporter


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Ticker:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def deploy(reporter: Reporter) -> None:
    """One small deploy as the engine reports it."""
    reporter.step_started("upload", "send 3 files")
    reporter.progress("upload", 10, 100)
    reporter.output("built \x1b[1mpage\x1b[0m\n")
    reporter.warning("name with \n in it")
    reporter.note("noted")
    reporter.progress("upload", 100, 100)
    reporter.step_finished("upload", 1.25)


def screen(text: str) -> list[str]:
    """The lines that stay on a terminal which was sent this text."""
    rows, row = [""], 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", text):
        if token == "\n":
            row += 1
            rows.extend([""] * (row + 1 - len(rows)))
        elif token.endswith("A") and token.startswith("\x1b"):
            row -= 1
        elif token in ("\x1b[2K", "\r"):
            rows[row] = ""
        elif not token.startswith("\x1b"):
            rows[row] += token
    return [line.rstrip() for line in rows if line.strip()]


def test_plain_lines() -> None:
    """One line per step when it ends; output, notes and warnings as they come; nothing that steers a terminal."""
    stream = io.StringIO()
    deploy(PlainReporter(stream))
    assert stream.getvalue() == (
        "built \\x1b[1mpage\\x1b[0m\nwarning: name with \\n in it\nnoted\nupload: send 3 files (1.2 s)\n"
    )


def test_plain_verbose_and_quiet() -> None:
    """Verbose also says when a step begins; quiet keeps only the warnings."""
    verbose, quiet = io.StringIO(), io.StringIO()
    deploy(PlainReporter(verbose, verbose=True))
    deploy(PlainReporter(quiet, quiet=True))
    assert verbose.getvalue().splitlines()[0] == "upload: send 3 files …"
    assert quiet.getvalue() == "warning: name with \\n in it\n"


def test_plain_long_steps_show_that_they_live() -> None:
    """A step that moves bytes for long says every ten seconds how far it is, and no more often."""
    stream, clock = io.StringIO(), Ticker()
    reporter = PlainReporter(stream, monotonic=clock)
    reporter.step_started("upload", "")
    for second in range(0, 26, 5):
        clock.now = second
        reporter.progress("upload", second * 1_000_000, 50_000_000)
    clock.now = 40
    reporter.progress("scan", 5, 0)
    reporter.step_finished("upload", 40)
    assert stream.getvalue().splitlines() == [
        "upload: 10 MB of 50 MB (20 %) …",
        "upload: 20 MB of 50 MB (40 %) …",
        "upload (40 s)",
    ]


def test_plain_output_of_progress_bars() -> None:
    """A build's bar that overwrites itself leaves its last state; tabs are spaces; line ends go."""
    stream = io.StringIO()
    reporter = PlainReporter(stream)
    reporter.output("10 %\r50 %\r100 %\r\n")
    reporter.output("a\tb")
    assert stream.getvalue() == "100 %\na       b\n"


def test_console_leaves_plain_lines_behind(capsys: pytest.CaptureFixture[str]) -> None:
    """After the display is gone, the terminal holds one line per step and message, and its cursor; stdout is empty."""
    stream = Terminal()
    reporter = ConsoleReporter(stream)
    deploy(reporter)
    reporter.close()
    assert screen(stream.getvalue()) == [
        "  built \\x1b[1mpage\\x1b[0m",
        "warning: name with \\n in it",
        "noted",
        "✓ upload: send 3 files  1.2 s",
    ]
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")
    assert capsys.readouterr().out == ""


def test_console_shows_bytes_rate_and_time_left() -> None:
    """While bytes move, the display tells how many of how many."""
    stream = Terminal()
    reporter = ConsoleReporter(stream)
    reporter.step_started("upload", "[not markup]")
    reporter.progress("upload", 40_000_000, 100_000_000)
    assert reporter._progress is not None
    reporter._progress.refresh()
    reporter.close()
    assert "40 MB of 100 MB" in stream.getvalue()
    assert "[not markup]" in stream.getvalue()


def test_console_closed_in_the_middle() -> None:
    """An interrupted step leaves no line, and the cursor comes back; closing twice and unknown steps do no harm."""
    stream = Terminal()
    reporter = ConsoleReporter(stream)
    reporter.step_started("upload", "")
    reporter.close()
    reporter.close()
    reporter.progress("upload", 1, 2)
    assert screen(stream.getvalue()) == []
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")
    reporter.step_finished("upload", 0.5)
    assert screen(stream.getvalue()) == ["✓ upload  0.5 s"]


def test_console_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR keeps the display and drops its colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    reporter = ConsoleReporter(stream)
    reporter.warning("careful")
    reporter.close()
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", stream.getvalue())


def test_recording_keeps_the_log_and_passes_on() -> None:
    """The log holds what a plain reporter would show, also when the people's side is quiet."""
    shown = io.StringIO()
    recording = RecordingReporter(PlainReporter(shown, quiet=True))
    deploy(recording)
    assert recording.text == (
        "built \\x1b[1mpage\\x1b[0m\nwarning: name with \\n in it\nnoted\nupload: send 3 files (1.2 s)\n"
    )
    assert shown.getvalue() == "warning: name with \\n in it\n"


def test_recording_is_bounded() -> None:
    """Only the last lines are kept, whole, within the limit in bytes, and the log says that older ones are missing."""
    recording = RecordingReporter(PlainReporter(io.StringIO()), limit=1000)
    for number in range(500):
        recording.output(f"line {number} é")
    assert len(recording.text.encode()) <= 1000
    lines = recording.text.splitlines()
    assert lines[0] == f"({500 - len(lines) + 1} older lines were left out)"
    assert lines[-1] == "line 499 é"
    recording.output("x" * 5000)
    assert recording.text.splitlines()[-1] == "x" * 250 + " …"
    assert "line 499 é" in recording.text


def test_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    """The live display is for a person at a terminal; pipes, CI, --quiet and --json get plain lines."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    assert isinstance(choose(Terminal()), ConsoleReporter)
    assert isinstance(choose(io.StringIO()), PlainReporter)
    assert isinstance(choose(Terminal(), quiet=True), PlainReporter)
    assert isinstance(choose(Terminal(), json=True), PlainReporter)
    monkeypatch.setenv("CI", "true")
    assert isinstance(choose(Terminal()), PlainReporter)


def test_rich_is_loaded_late() -> None:
    """Importing the reporters does not import Rich: start-up time counts."""
    code = "import sys, deployer.reporting; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
