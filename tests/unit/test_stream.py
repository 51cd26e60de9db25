"""The archives of a deploy: made while they are sent, in frames that keep the lease alive, right to the last byte."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import os
import tarfile
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from deployer.errors import DeployFailed
from deployer.static import stream
from deployer.static.changes import Base, Changes, compare
from deployer.static.manifest import Entry, Kind, Manifest
from deployer.static.scan import scan
from deployer.static.stream import Contents, Names, Text, Tree, batches

TIME = 1_795_374_180
CODECS = ["zstd", "gzip"]


def silent(_read: int, _sent: int) -> None:
    """Nobody looks."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "public"
    (folder / "css").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "index.html").write_bytes(b"<h1>hello</h1>")
    (folder / "css" / "site.css").write_bytes(b"body {}")
    (folder / "css" / "same.css").write_bytes(b"body {}")
    (folder / "run.cgi").write_bytes(b"#!/bin/sh\n")
    (folder / "run.cgi").chmod(0o755)
    (folder / "new\nline").write_bytes(b"odd")
    (folder / "home").symlink_to("index.html")
    return folder


def unpacked(data: bytes, codec: str) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    text = zstandard.ZstdDecompressor().decompressobj().decompress(data) if codec == "zstd" else gzip.decompress(data)
    with tarfile.open(fileobj=io.BytesIO(text), errors="surrogateescape") as archive:
        return {
            each.name: (each, (archive.extractfile(each) or io.BytesIO()).read() if each.isreg() else b"")
            for each in archive.getmembers()
        }


def contents(source: Path, changes: Changes, codec: str = "zstd") -> bytes:
    (batch,) = batches(changes)
    return b"".join(Contents(source, batch, changes.copied, TIME, codec, silent).chunks())


@pytest.mark.parametrize("codec", CODECS)
def test_contents_are_sums_and_files(source: Path, codec: str) -> None:
    """Every sent file stands at its place with its bytes, mode and the release's time, and in the list of sums."""
    changes = compare(Base(), scan(source))
    held = unpacked(contents(source, changes, codec), codec)
    sums = held["sums"][1].decode()
    for name, entry in changes.sent.items():
        about, data = held[name]
        assert hashlib.sha256(data).hexdigest() == entry.digest
        assert (f"{about.mode:o}", about.mtime) == (entry.mode, TIME)
        assert f"{entry.digest}  {name}\n" in sums
    assert sums.count("\n") == len(changes.sent)


def test_what_the_host_has_is_a_link_to_copy_and_to_check(source: Path) -> None:
    """A moved file travels as a link from the old release, under the hash that its copy must have."""
    changes = compare(Base({entry.path + ".old": entry for entry in scan(source).files}), scan(source))
    held = unpacked(contents(source, changes), "zstd")
    sums = held["sums"][1].decode()
    assert changes.sent == {}
    for key, origin in changes.copied.items():
        assert held[f"k{key}"][0].linkname == f"old/{origin}"
        assert f"  c{key}\n" in sums


@pytest.mark.parametrize("codec", CODECS)
def test_the_tree_is_every_entry_of_the_release(source: Path, codec: str) -> None:
    """Directories before what is in them, links with their text, every other file as a link to its contents."""
    wanted = scan(source)
    changes = compare(Base(), wanted)
    tree = Tree(wanted, changes, lambda: {"facts": b"a b\n"}, TIME, codec)
    held = unpacked(b"".join(tree.chunks()), codec)
    assert held["record/facts"][1] == b"a b\n"
    placed = {name.removeprefix("new/") for name in changes.sent if name.startswith("new/")}
    made = {name.removeprefix("new/") for name in held if name.startswith("new/")} | placed
    assert made == {entry.path for entry in wanted.entries} | {"css"}
    assert held["new/home"][0].linkname == "index.html"
    assert held["new/empty"][0].isdir()
    assert tree.count == 1 + len(made)
    names = list(held)
    for name in names:
        parent = name.rpartition("/")[0]
        assert not parent or names.index(parent) < names.index(name)


def test_the_count_is_what_find_sees() -> None:
    """The root, every directory on the way, files and links."""
    entries = (
        Entry("a/b/c", Kind.FILE, "644", 1, "00"),
        Entry("a/d", Kind.DIRECTORY, "755", 0, "-"),
        Entry("l", "l", "777", 1, "0"),
    )
    assert Tree(Manifest(entries), compare(Base(), Manifest(entries)), dict, TIME, "gzip").count == 6


def test_a_file_that_shrinks_fails_the_deploy(source: Path) -> None:
    """A build that still writes is told of, with the file's name."""
    changes = compare(Base(), scan(source))
    (source / "index.html").write_bytes(b"<h1>")
    with pytest.raises(DeployFailed, match="'index.html' changed while it was uploaded"):
        contents(source, changes)


def test_a_file_that_disappears_fails_the_deploy(source: Path) -> None:
    """As one that shrinks."""
    changes = compare(Base(), scan(source))
    (source / "index.html").unlink()
    with pytest.raises(DeployFailed, match="'index.html' changed while it was uploaded"):
        contents(source, changes)


def test_a_file_that_grows_travels_at_its_size(source: Path) -> None:
    """What was hashed is what is sent; the host's check of the sums finds a change before the end."""
    changes = compare(Base(), scan(source))
    with (source / "index.html").open("ab") as page:
        page.write(b" and more")
    assert unpacked(contents(source, changes), "zstd")["new/index.html"][1] == b"<h1>hello</h1>"


def entry(path: str, size: int) -> Entry:
    return Entry(path, Kind.FILE, "644", size, hashlib.sha256(path.encode()).hexdigest())


def test_batches_hold_every_file_once() -> None:
    """Big uploads are cut between files, so that the host checks one part while the next travels."""
    wanted = Manifest(tuple(entry(f"{number:03}", stream.BATCH_SIZE // 4) for number in range(10)))
    changes = compare(Base(), wanted)
    made = batches(changes)
    assert [len(batch) for batch in made] == [4, 3, 3]
    assert dict(each for batch in made for each in batch) == changes.sent


def test_every_batch_has_its_share_of_every_kind() -> None:
    """Small pages and large pictures take turns, so that neither the line nor the disk waits for the other."""
    pictures = [entry(f"{number:02}.jpg", stream.BATCH_SIZE // 2) for number in range(8)]
    pages = [entry(f"{number:04}.html", 1) for number in range(4000)]
    made = batches(compare(Base(), Manifest((*pictures, *pages))))
    kinds = [Counter(each.path.rpartition(".")[2] for _, each in batch) for batch in made]
    assert kinds == [{"html": 1000, "jpg": 2}] * 4


def test_one_big_file_is_a_batch() -> None:
    """A file is never cut, and no batch is empty."""
    changes = compare(Base(), Manifest((entry("film.bin", 50 * stream.BATCH_SIZE), entry("index.html", 5))))
    made = batches(changes)
    assert [[each.path for _, each in batch] for batch in made] == [["film.bin", "index.html"]]


def test_there_is_a_batch_even_when_nothing_is_sent() -> None:
    """What the host only copies needs one, too."""
    assert batches(compare(Base(), Manifest(()))) == [()]


def test_files_of_a_kind_stand_together() -> None:
    """What they share is found in the compressor's window."""
    wanted = Manifest(tuple(entry(path, 1) for path in ("a.css", "a.html", "b.css", "b.html")))
    (batch,) = batches(compare(Base(), wanted))
    assert [each.path for _, each in batch] == ["a.css", "b.css", "a.html", "b.html"]


@pytest.mark.parametrize("codec", CODECS)
def test_frames_come_often_however_well_it_compresses(codec: str, tmp_path: Path) -> None:
    """A frame renews the lease of 15 s, so even a slow disk full of zeros gives one after a few megabytes read."""
    size = 96 << 20
    with (tmp_path / "zeros").open("wb") as file:
        file.truncate(size)
    read: list[int] = [0]
    batch = (("new/zeros", entry("zeros", size)),)
    body = Contents(tmp_path, batch, {}, TIME, codec, lambda done, _sent: read.append(done))
    frames = [frame for frame in body.chunks() if frame]
    assert max(after - before for before, after in itertools.pairwise(read)) <= 32 << 20
    assert len(frames) >= 3


def test_frames_of_contents_that_do_not_compress_are_bounded(tmp_path: Path) -> None:
    """Memory does not grow with the size of a file."""
    size = 8 << 20
    (tmp_path / "noise").write_bytes(os.urandom(size))
    body = Contents(tmp_path, (("new/noise", entry("noise", size)),), {}, TIME, "zstd", silent)
    assert max(len(frame) for frame in body.chunks()) <= 2 << 20


def test_progress_ends_at_the_whole(source: Path) -> None:
    """What was read includes the headers; what was sent is the sum of the frames."""
    seen: list[tuple[int, int]] = []
    (batch,) = batches(compare(Base(), scan(source)))
    sent = b"".join(Contents(source, batch, {}, TIME, "gzip", lambda *both: seen.append(both)).chunks())
    assert seen[-1] == (len(gzip.decompress(sent)), len(sent))


def test_a_text_is_read_when_it_is_sent() -> None:
    """The log of a deploy holds what was said up to the moment that it leaves, in UTF-8 whatever it holds."""
    lines = ["first"]
    body = Text(lambda: "".join(lines))
    lines.append(" é\udcff")
    assert b"".join(body.chunks()) == "first é?".encode()


def test_names_are_packed_paths_that_no_tool_takes_for_options() -> None:
    """However many there are."""
    paths = ("-rf", "new\nline", "\udcff", *(f"{number}.html" for number in range(2 * stream.NAMES_PER_FRAME)))
    packed = b"".join(Names(paths).chunks())
    assert gzip.decompress(packed).split(b"\0") == [*(b"./" + os.fsencode(path) for path in paths), b""]
