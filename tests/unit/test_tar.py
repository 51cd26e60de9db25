"""Tar headers, read back by the standard library, by GNU tar and by BusyBox."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.static import tar
from tests.conftest import need

TIME = 1_795_374_180
COMPONENTS = st.binary(min_size=1, max_size=120).map(
    lambda raw: raw.replace(b"\0", b"0").replace(b"/", b"1").replace(b".", b"2")
)
NAMES = st.lists(COMPONENTS, min_size=1, max_size=5).map(b"/".join)
SIZES = st.one_of(st.integers(0, 1 << 20), st.integers(8**11 - 2, 8**11 + 2), st.integers(0, 1 << 60))

Unpack = Callable[[bytes, Path], None]


def read(header: bytes) -> tarfile.TarInfo:
    """The one member whose header this is."""
    with tarfile.open(fileobj=io.BytesIO(header + tar.END), encoding="utf-8", errors="surrogateescape") as archive:
        (member,) = archive.getmembers()
        return member


@given(NAMES, st.sampled_from([0o644, 0o755]), SIZES, st.integers(0, 1 << 32))
def test_a_files_header_reads_back(name: bytes, mode: int, size: int, time: int) -> None:
    """Names of any length and bytes, and sizes beyond 8 GiB, as the standard library understands them."""
    header = tar.file(name, mode, size, time)
    assert len(header) % tar.BLOCK == 0
    member = tarfile.TarInfo.frombuf(header[-tar.BLOCK :], "utf-8", "surrogateescape")
    assert (member.mode, member.size, member.mtime, member.type) == (mode, size, time, tarfile.REGTYPE)
    assert os.fsencode(read(tar.file(name, mode, 0, time)).name) == name


@given(NAMES, NAMES)
def test_links_read_back(name: bytes, target: bytes) -> None:
    """Hard and symbolic links with names and targets of any length."""
    hard, symbolic = read(tar.hard_link(name, target, TIME)), read(tar.symbolic_link(name, target, TIME))
    assert (hard.islnk(), symbolic.issym()) == (True, True)
    assert [os.fsencode(text) for text in (hard.name, hard.linkname)] == [name, target]
    assert [os.fsencode(text) for text in (symbolic.name, symbolic.linkname)] == [name, target]


@given(NAMES)
def test_directories_read_back(name: bytes) -> None:
    """A directory, mode 0755."""
    member = read(tar.directory(name, TIME))
    assert (os.fsencode(member.name), member.isdir(), member.mode) == (name, True, 0o755)


@pytest.mark.parametrize("length", [1, 98, 99, 100, 101, 255, 256, 512, 4000])
def test_names_around_the_fields_edges(length: int) -> None:
    """The name field holds 100 bytes: one less, exactly, one more."""
    name = (b"x" * 200 + b"/") * 20
    name = name[:length].rstrip(b"/") or b"x"
    assert os.fsencode(read(tar.file(name, 0o644, 0, TIME)).name) == name
    assert os.fsencode(read(tar.symbolic_link(b"l", name, TIME)).linkname) == name


@given(st.integers(0, 5000))
def test_padding_fills_the_block(size: int) -> None:
    """Contents and padding are whole blocks, with less than a block of zeros."""
    padding = tar.padding(size)
    assert (size + len(padding)) % tar.BLOCK == 0
    assert len(padding) < tar.BLOCK
    assert not any(padding)


@pytest.fixture(params=["tar", "busybox"])
def unpack(request: pytest.FixtureRequest) -> Unpack:
    program = need(request.param, "to read our archives")
    command = [program, "tar"] if request.param == "busybox" else [program]

    def run(archive: bytes, folder: Path) -> None:
        done = subprocess.run(
            [*command, "-x", "-o", "-f", "-"], cwd=folder, input=archive, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")

    return run


def member(name: bytes, data: bytes, mode: int = 0o644) -> bytes:
    return tar.file(name, mode, len(data), TIME) + data + tar.padding(len(data))


@pytest.mark.parametrize(
    "name",
    [
        b"plain",
        b"a b",
        b"new\nline",
        b"-rf",
        b"\xff\xfe",
        b"back\\slash",
        b"$(x)",
        b"*?[a]",
        b"x" * 255,
        b"y" * 100,
        b"z" * 99,
    ],
    ids=lambda name: name[:12].decode("ascii", "backslashreplace"),
)
def test_real_tars_make_what_was_meant(unpack: Unpack, name: bytes, tmp_path: Path) -> None:
    """GNU tar and BusyBox unpack files, deep directories and links of such names, with contents, mode and time."""
    folder = b"/".join([b"d" * 90, b"e" * 90, name])
    archive = (
        tar.directory(b"d" * 90, TIME) + tar.directory(b"d" * 90 + b"/" + b"e" * 90, TIME) + tar.directory(folder, TIME)
    )
    archive += member(folder + b"/" + name, b"contents" * 100, 0o755)
    archive += tar.hard_link(folder + b"/h", folder + b"/" + name, TIME)
    archive += tar.symbolic_link(folder + b"/s", name, TIME)
    unpack(archive + tar.END, tmp_path)
    made = os.path.join(os.fsencode(tmp_path), folder, name)
    with open(made, "rb") as file:  # noqa: PTH123  # bytes, which Path does not take
        assert file.read() == b"contents" * 100
    about = os.stat(made)  # noqa: PTH116
    assert (about.st_mode & 0o777, int(about.st_mtime), about.st_nlink) == (0o755, TIME, 2)
    assert os.readlink(os.path.join(os.fsencode(tmp_path), folder, b"s")) == name


def test_real_tars_take_long_link_targets(unpack: Unpack, tmp_path: Path) -> None:
    """A symbolic link's text may be as long as a path."""
    target = b"/".join([b"t" * 200] * 10)
    unpack(tar.symbolic_link(b"link", target, TIME) + tar.END, tmp_path)
    assert os.readlink(os.fsencode(tmp_path / "link")) == target


@pytest.mark.parametrize("size", [8**11 - 1, 8**11, 20 << 30])
def test_gnu_tar_reads_sizes_beyond_eight_gigabytes(size: int) -> None:
    """Listing needs the header only: the size is what was meant (the rest of the archive never comes)."""
    program = need("tar", "to read our archives")
    command = [program, "--list", "--verbose", "--numeric-owner", "--file", "-"]
    listing = subprocess.run(
        command, input=tar.file(b"huge", 0o644, size, TIME), capture_output=True, check=False
    ).stdout
    assert str(size).encode() in listing.split()


def test_busybox_reads_sizes_beyond_eight_gigabytes() -> None:
    """As GNU tar does."""
    command = [need("busybox", "to read our archives"), "tar", "-t", "-v", "-f", "-"]
    size = 20 << 30
    listing = subprocess.run(
        command, input=tar.file(b"huge", 0o644, size, TIME), capture_output=True, check=False
    ).stdout
    assert str(size).encode() in listing.split()
