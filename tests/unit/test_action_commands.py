"""What a step writes for the runner: commands that cannot be forged, and masks."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.action.commands import annotation, group, harmless, masks, output_text
from deployer.action.log import WorkflowReporter
from deployer.action.secrecy import secret_in, workflow_file

PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\r\nb3BlbnNzaC1rZXktdjEAAAAA\r\nAAAE\r\n-----END OPENSSH PRIVATE KEY-----\r\n"


def is_command(line: str) -> bool:
    """As the runner decides it: the older form counts anywhere, the newer one behind white space."""
    return "##[" in line or line.lstrip().startswith("::")


@given(st.text(":#[] \t\u3000abc=", max_size=30))
def test_no_line_is_a_command(line: str) -> None:
    """Whatever a build or a server prints."""
    assert not is_command(harmless(line))


@pytest.mark.parametrize("line", ["plain", "a::b", "1 :: 2", "# [x]", ""])
def test_other_lines_stay_as_they_are(line: str) -> None:
    """Only what would be a command is changed."""
    assert harmless(line) == line


@given(st.text(), st.text())
def test_annotations_are_one_line_whatever_they_quote(text: str, title: str) -> None:
    """Line ends, per cents and the separators of properties are escaped, so nothing gets out."""
    line = annotation("error", text, {"title": title, "file": ""})
    assert "\n" not in line
    assert "\r" not in line
    head, _, data = line.removeprefix("::error").partition("::")
    assert data.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%") == text
    assert head.count(",") == 0
    assert "\n" not in group(text)


def test_long_lines_of_a_key_are_masked_and_its_frame_is_not() -> None:
    """The runner masks by line; a short one would be masked wherever it stands by chance."""
    assert list(masks([PEM, "short", "", "a pass % phrase"])) == [
        "::add-mask::b3BlbnNzaC1rZXktdjEAAAAA",
        "::add-mask::a pass %25 phrase",
    ]
    assert list(masks([PEM.replace("\r\n", "\\n")])) == ["::add-mask::b3BlbnNzaC1rZXktdjEAAAAA"]


def test_outputs_may_hold_anything() -> None:
    """Values with line ends and equal signs travel between delimiters."""
    assert output_text({"a": "1\nb=2", "c": ""}, "D") == "a<<D\n1\nb=2\nD\nc<<D\n\nD\n"


def test_output_of_commands_is_folded_and_harmless() -> None:
    """A step that prints has a group, closed before its line; a step that does not print has none."""
    stream = io.StringIO()
    reporter = WorkflowReporter(stream)
    reporter.step_started("connect", "to a")
    reporter.step_started("build", "make\n::error::x")
    reporter.output("::set-output name=a::b\n")
    reporter.output("fine\r\n")
    reporter.warning("two\nlines")
    reporter.step_finished("connect", 0.1)
    reporter.step_finished("build", 1)
    reporter.note("##[error]no")
    reporter.close()
    assert stream.getvalue().splitlines() == [
        "::group::build: make\\n::error::x",
        ": :set-output name=a::b",
        "fine",
        "::warning::two\\nlines",
        "connect: to a (0.1 s)",
        "::endgroup::",
        "build: make\\n::error::x (1.0 s)",
        "## [error]no",
    ]


def test_an_open_group_ends_with_the_display() -> None:
    """What failed in the middle of its output is not hidden in its group."""
    stream = io.StringIO()
    reporter = WorkflowReporter(stream)
    reporter.step_started("build", "")
    reporter.output("x")
    reporter.close()
    reporter.close()
    assert stream.getvalue() == "::group::build\nx\n::endgroup::\n"


WORKFLOW = """
      - uses: o/deployer@v1
        with:
          app: blog
          username: ${{ secrets.SERVER_USER }}
          host: ${{secrets['SERVER_DOMAIN']}}
          url: https://${{ vars.DOMAIN }}/
"""


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"username": "blog", "host": "a.example"}, "username"),
        ({"username": "me", "host": "example.org"}, "host"),
        ({"username": "me", "host": "you@example.org:22"}, "host"),
        ({"username": "", "host": "a.example", "url": "https://example.org/blog/", "app": "blog"}, ""),
    ],
)
def test_an_output_that_holds_a_secret_is_found(given: dict[str, str], name: str) -> None:
    """The workflow file says which inputs are secrets; GitHub drops a job's output that has the text of one."""
    assert secret_in("https://example.org/blog/", WORKFLOW, given) == name


def test_the_workflow_file_is_found() -> None:
    """By the reference that the runner gives; without one there is none."""
    reference = {"GITHUB_REPOSITORY": "o/r", "GITHUB_WORKFLOW_REF": "o/r/.github/workflows/d.yml@refs/heads/a"}
    assert str(workflow_file(reference)) == ".github/workflows/d.yml"
    assert workflow_file({}) is None
    assert workflow_file({**reference, "GITHUB_REPOSITORY": "x/y"}) is None
