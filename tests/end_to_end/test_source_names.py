"""Whatever a file system can hold as a name arrives as it is, on every kind of host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.end_to_end.deployment import Deployment, tree
from tests.end_to_end.hosts import busybox_programs, programs_without

NAMES = [
    b"two  spaces ",
    b" leading space",
    b"line\nbreak",
    b"\nfirst\n\n",
    b"carriage\rreturn",
    b"tab\there",
    b"'single' \"double\" `back`",
    b"$(touch injected) ${HOME} $HOME",
    b"; touch injected; #",
    b"& | < > * ? [a-z] {b,c} ! ~",
    b"-rf",
    b"--checkpoint-action=exec=false",
    b"@list",
    b"back\\slash",
    b"trailing\\",
    b"\\nnot-a-break",
    b"%s%n %d",
    b"latin-1-\xe9\xff",
    b"\x80\xfe",
    "ünïcödé-文字-🎉".encode(),
    b"bell\x07escape\x1b[31m",
    b"x" * 255,
    b"\xff" * 255,
    b"...",
    b".hidden",
    b"=equals",
    b"colon:name",
    b"record",
    b"new",
    b"old",
    b"sums",
]


def write_names(site: Deployment, prefix: bytes) -> None:
    for number, name in enumerate(NAMES):
        site.write(prefix + name, b"contents %d" % number)
    site.write(prefix + b"dir " + NAMES[2] + b"/$(x)/-/" + NAMES[-1], b"in odd directories")
    site.write(prefix + b"/".join([b"d" * 49] * 2) + b"/99", b"just at the field's size")
    for length in (99, 100, 101, 155, 156, 254, 255, 256, 257):
        site.write(prefix + b"long/" + long_path(length), b"a path of %d bytes" % length)
    site.write(prefix + b"deep/" + long_path(1900), b"a very long path")


def long_path(length: int) -> bytes:
    text = b"/".join([b"p" * 80] * (length // 81 + 1))[:length]
    return text[:-1] + b"e"


def expected(site: Deployment) -> dict[bytes, tuple[str, bytes]]:
    return tree(site.source)


def hosts(directory: Path, kind: str) -> str:
    match kind:
        case "busybox":
            return busybox_programs(directory / "bin")
        case "gzip":
            return programs_without(directory / "bin", "zstd")
        case _:
            return os.environ["PATH"]


@pytest.mark.parametrize("kind", ["gnu", "gzip", "busybox"])
def test_every_name_arrives(tmp_path: Path, kind: str) -> None:
    """Spaces, line breaks, quotes, shell text, options, bytes that are not UTF-8 and the longest names arrive unchanged."""
    site = Deployment(tmp_path)
    site.variables["PATH"] = hosts(tmp_path, kind)
    write_names(site, b"")

    answer = site.deploy()

    assert site.served() == expected(site)
    assert answer["files_total"] == answer["files_uploaded"] == len(NAMES) + 12
    assert not list(tmp_path.rglob("injected"))


@pytest.mark.parametrize("kind", ["gnu", "busybox"])
def test_every_name_is_linked_copied_and_deleted(tmp_path: Path, kind: str) -> None:
    """The next deploys keep odd names in place, move and remove them, without sending them again."""
    site = Deployment(tmp_path)
    site.variables["PATH"] = hosts(tmp_path, kind)
    write_names(site, b"")
    site.deploy()
    site.write("new page", "new")

    linked = site.deploy()
    assert site.served() == expected(site)
    assert linked["files_uploaded"] == 1

    moved = site.source.parent / "moved"
    site.source.rename(moved)
    site.source.mkdir()
    moved.rename(site.source / "moved")
    copied = site.deploy()
    assert site.served() == expected(site)
    assert copied["files_uploaded"] == 0

    site.files(index="only")
    assert site.deploy()["files_deleted"] == len(NAMES) + 13
    assert site.served() == expected(site)


def test_odd_names_are_found_again_when_somebody_wrote_into_the_release(tmp_path: Path) -> None:
    """A live release that has to be hashed anew keeps its odd names right, whether they can be linked or are sent again."""
    site = Deployment(tmp_path)
    write_names(site, b"")
    site.deploy()
    (site.target / "stray").write_text("not ours")

    site.deploy()

    assert site.served() == expected(site)


def test_plan_shows_odd_names_without_breaking_its_lines(tmp_path: Path) -> None:
    """A line break or an escape sequence in a name cannot draw on the terminal, and the JSON stays one line of ASCII."""
    site = Deployment(tmp_path)
    write_names(site, b"")

    shown = site.command("plan")
    answer = site.command("plan", "--json")

    assert shown.code == 0
    assert "\x1b" not in shown.err
    assert "\x07" not in shown.err
    assert len([line for line in shown.err.splitlines() if line.startswith("+ ")]) == len(NAMES) + 12
    assert answer.out.isascii()
    assert len(answer.out.splitlines()) == 1
    paths = [change["path"] for change in answer.json["changes"]]
    assert sorted(os.fsencode(path) for path in paths)[:2] == [b"\nfirst\n\n", b" leading space"]
