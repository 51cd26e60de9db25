"""Rebuilding files with the host's awk: every one that is here makes the same bytes, whatever is in names and texts."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from deployer.static.host import program
from deployer.static.matching import match, record
from deployer.static.signatures import frame, is_text, sign
from tests.conftest import need

# `sh` and its neighbour, which every host has; beside them, what this machine has more.
AWKS = ["awk", "busybox", *(awk for awk in ("mawk", "gawk", "original-awk") if shutil.which(awk))]
NAMES = [
    "a b.html",
    "-dash.txt",
    "q'uote\".css",
    "am&p;$(x)`.js",
    "=x=y",
    "tab\there",
    "ünï/ø.html",
    "%s%d",
    "a/b/c.txt",
    "dev/stdout",
    "*[?]",
    "~",
    "#",
    "\udcff\udcfe.txt",
]

Rebuild = Callable[[bytes], "subprocess.CompletedProcess[bytes]"]


def function(name: str) -> str:
    """The text of one of the program's functions."""
    found = re.search(rf"^{name}\(\) (\(.*?^\)|{{.*?^}})[^\n]*\n", program(), re.MULTILINE | re.DOTALL)
    assert found
    return found[0]


@pytest.fixture(params=AWKS)
def programs(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A directory with one kind of awk under this name."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "awk").symlink_to(need(request.param, "to rebuild files as a host does"))
    return programs


def run(text: str, programs: Path, script: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "LC_ALL": "C", "work": str(programs.parent)}
    return subprocess.run(
        ["sh", "-c", text], input=script, env=environment, capture_output=True, check=False, timeout=60
    )


@pytest.fixture
def rebuild(programs: Path, tmp_path: Path) -> Rebuild:
    """Runs the program's function in a directory with ``old`` and ``new``, with 16 open files at most."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    text = f'ulimit -n 16\n{function("rebuild")}{{ cat; echo $? >"$work/fed"; }} | rebuild'
    return partial(run, text, programs)


def test_which_awk_is_fit(programs: Path) -> None:
    """Each that is here; not one that counts characters, says nothing, or is missing."""
    text = f"{function('counts_bytes')}counts_bytes"
    assert run(text, programs).returncode == 0
    for unfit in ("printf '\\303\\2511'", "exit 0", "exit 127"):
        (programs / "awk").unlink()
        (programs / "awk").write_text(f"#!/bin/sh\ncat >/dev/null\n{unfit}\n")
        (programs / "awk").chmod(0o755)
        assert run(text, programs).returncode != 0


def texts(choose: random.Random) -> bytes:
    """One of the kinds of text that have tripped some tool."""
    return choose.choice(
        [
            b"",
            bytes(range(2, 256)) * choose.randint(1, 50),
            b"\r\n".join(b"line %d %%s \\n & \\\\ %d" % (choose.randint(0, 9), n) for n in range(100)),
            b"x" * choose.choice([1, 70_000, 500_000]),
            b"\n" * choose.randint(1, 300),
            b"".join(b'<p class="%d">t\xc3\xa9xt</p>' % choose.randint(0, 50) for _ in range(choose.randint(1, 5000))),
            b"\n".join(b"  " + bytes(choose.choices(b"abc \t", k=choose.randint(0, 60))) for _ in range(300)),
        ]
    )


def edit(text: bytes, choose: random.Random) -> bytes:
    for _ in range(choose.randint(0, 4)):
        at = choose.randint(0, len(text))
        put = bytes(choose.choices(b"new \n<>\r\\&\xff", k=choose.randint(0, 40)))
        text = text[:at] + put + text[at + choose.randint(0, 40) :]
    return text.rstrip(b"\n") if choose.random() < 0.2 else text


def test_any_text_under_any_name(rebuild: Rebuild, tmp_path: Path) -> None:
    """A hundred files: bytes of all values, lines of all lengths, no last line break, empty; more than can be open."""
    choose = random.Random(7)
    script, wanted = b"", {}
    for number in range(100):
        path = f"{number}/{NAMES[number % len(NAMES)]}"
        old = texts(choose)
        new = edit(old, choose) or b"\n"
        if not is_text(new):
            continue
        for folder in ("old", "new"):
            (tmp_path / folder / path).parent.mkdir(parents=True)
        (tmp_path / "old" / path).write_bytes(old)
        wanted[path] = new
        script += record(os.fsencode(path), new, match(new, sign(old, frame([old, old]))))
    done = rebuild(b"sums\1" + script)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "patched").read_bytes() == b"sums"
    made = {path: (tmp_path / "new" / path).read_bytes() for path in wanted}
    assert [path for path in wanted if made[path] != wanted[path]] == []


def test_never_through_a_link(rebuild: Rebuild, tmp_path: Path) -> None:
    """What stands in the new tree already is a link to the live file: awk would write into it, so it gives up instead."""
    (tmp_path / "old/page").write_bytes(b"live")
    (tmp_path / "old/empty").write_bytes(b"")
    for name in ("page", "empty"):
        (tmp_path / "new" / name).hardlink_to(tmp_path / "old" / name)
        rebuild(b"sums\1" + record(name.encode(), b"new text", []))
    assert (tmp_path / "old/page").read_bytes() == b"live"
    assert (tmp_path / "old/empty").read_bytes() == b""


def test_a_script_that_is_cut(rebuild: Rebuild, tmp_path: Path) -> None:
    """Wherever it ends, nothing but its own files is written."""
    (tmp_path / "old/page").write_bytes(b"one two three")
    whole = b"sums\1" + record(b"page", b"one 2 three", match(b"one 2 three", sign(b"one ")))
    for size in range(len(whole)):
        (tmp_path / "new/page").unlink(missing_ok=True)
        rebuild(whole[:size])
        assert {path.name for path in (tmp_path / "new").iterdir()} <= {"page"}
    assert (tmp_path / "old/page").read_bytes() == b"one two three"


def test_the_script_is_read_to_its_end(rebuild: Rebuild, tmp_path: Path) -> None:
    """Also when awk gives up at its first file: what sends it must not be stopped, for requests follow it."""
    (tmp_path / "old/page").write_bytes(b"live")
    (tmp_path / "new/page").write_bytes(b"here")
    rebuild(b"sums\1" + record(b"page", b"new", []) + os.urandom(1_000_000))
    assert (tmp_path / "fed").read_text() == "0\n"


def test_a_live_file_that_is_gone_or_no_text(rebuild: Rebuild, tmp_path: Path) -> None:
    """The next file is rebuilt all the same; what is wrong with this one, its hash sum says."""
    (tmp_path / "old/binary").write_bytes(b"a\1b\0c" * 100)
    (tmp_path / "old/page").write_bytes(b"one two")
    copies = match(b"one two", sign(b"one two"))
    rebuild(b"sums\1" + b"".join(record(name, b"one two", copies) for name in (b"gone", b"binary", b"page")))
    assert (tmp_path / "new/page").read_bytes() == b"one two"
