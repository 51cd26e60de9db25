"""The one place that makes shell text."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployer.command import REMOTE_COMMAND, build_argv, encode_program, first_word, local_argv, quote
from tests.conftest import need

SHELLS = {
    "dash": ("dash",),
    "bash": ("bash",),
    "busybox": ("busybox", "sh"),
    "zsh": ("zsh", "--emulate", "sh"),
}
LOGIN_SHELLS = ("sh", "bash", "dash", "zsh", "csh", "fish")
AWKWARD = bytes(byte for byte in range(1, 256) if byte != ord("'")).decode("utf-8", "surrogateescape")
PROGRAM = f"""# a comment with a ' and a `
printf '%s' '{AWKWARD}'
	printf '%s|' "\\\\ \\n" \\
    'two words' $((6*7)) "$0" '\\c\\0101%b%%'
cat <<'END'
  here \\c document \\\\ $HOME `date`
END
cat
"""


def run(argv: tuple[str, ...], data: bytes, **options: object) -> bytes:
    return subprocess.run(argv, input=data, capture_output=True, check=True, timeout=60, **options).stdout  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_program_of_every_byte_arrives_unchanged(name: str, locale: str) -> None:
    """Each shell runs the decoded program exactly as it would run the text itself, and leaves the rest of its input."""
    shell = SHELLS[name]
    need(shell[0], "to run programs as hosts do")
    environment = {"LC_ALL": locale, "PATH": "/usr/bin:/bin", "HOME": "/"}
    directly = run((*shell, "-c", PROGRAM, "sh"), b"rest\n\\n", env=environment)
    argv = (*shell, "-c", local_argv()[2], "sh")
    assert run(argv, encode_program(PROGRAM) + b"rest\n\\n", env=environment) == directly
    assert AWKWARD.encode("utf-8", "surrogateescape") in directly
    assert directly.endswith(b"rest\n\\n")


@pytest.mark.parametrize("name", LOGIN_SHELLS)
def test_every_login_shell_starts_it(name: str, tmp_path: Path) -> None:
    """The constant line means the same in the shells that people log in with; sshd hands it to them by ``-c``."""
    shell = need(name, "to log in with")
    program = "printf '%s.' \"a'b\" '$x!' \\\\\ncat\n"
    output = run(
        (shell, "-c", REMOTE_COMMAND),
        encode_program(program) + b"rest",
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert output == b"a'b.$x!.\\.rest"


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8")))
def test_the_encoding_is_a_line_of_printable_ascii_and_the_packed_program(text: str) -> None:
    """The line is all that the constant command reads by itself: it may hold nothing that ``printf %b`` would change."""
    line, _, packed = encode_program(text).partition(b"\n")
    assert all(0x20 <= byte < 0x7F and byte != ord("\\") for byte in line)
    assert f"bs={len(packed)} ".encode() in line
    assert gzip.decompress(packed) == text.encode("utf-8", "surrogateescape")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30), max_size=5))
def test_quoted_arguments_stay_themselves(arguments: list[str]) -> None:
    """A quoted argument is one word with the argument's value, on its way through encoding and shell."""
    program = f"printf '%s\\0' {' '.join(quote(argument) for argument in arguments)}" if arguments else ":"
    output = run(local_argv(), encode_program(program))
    assert output == b"".join(argument.encode() + b"\0" for argument in arguments)


def test_nul_is_refused() -> None:
    """No shell holds a NUL, so that it is an error here and not something else there."""
    with pytest.raises(ValueError, match="NUL"):
        encode_program("echo \0")
    with pytest.raises(ValueError, match="NUL"):
        quote("\0")


def test_a_build_command_is_run_as_written() -> None:
    """The user's command line is the shell's, pipes and all."""
    assert run(build_argv("echo one two | tr o 0"), b"") == b"0ne tw0\n"


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("make build", "make"),
        ("A=1 B='2 3' ./build.sh", "./build.sh"),
        ("cd docker && make", "cd"),
        ("# nothing", ""),
        ("", ""),
        ("'open", ""),
        ("$MAKE build", ""),
        ("(make)", ""),
        ("{ make; }", ""),
        ("make>log", ""),
    ],
)
def test_the_program_that_a_command_begins_with(command: str, word: str) -> None:
    """Past assignments, and only where no shell is needed to know it."""
    assert first_word(command) == word
