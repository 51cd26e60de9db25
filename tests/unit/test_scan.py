"""Reading the source: every entry that a server could serve, and a clear refusal of everything else."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployer.errors import InvalidInput
from deployer.static.manifest import Entry, Kind, Manifest
from deployer.static.scan import scan


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "public"
    folder.mkdir()
    (folder / "index.html").write_bytes(b"<h1>hello</h1>")
    return folder


def paths(manifest: Manifest) -> list[str]:
    return [entry.path for entry in manifest.entries]


def test_files_are_entries_with_size_and_hash(source: Path) -> None:
    """Every file, at any depth, sorted by path, with what its contents hash to."""
    (source / "css").mkdir()
    (source / "css" / "site.css").write_bytes(b"")
    data = b"<h1>hello</h1>"
    assert scan(source).entries == (
        Entry("css/site.css", Kind.FILE, "644", 0, hashlib.sha256(b"").hexdigest()),
        Entry("index.html", Kind.FILE, "644", len(data), hashlib.sha256(data).hexdigest()),
    )


def test_contents_of_several_reads_are_hashed_whole(source: Path) -> None:
    """A file bigger than one read has the hash of all of it."""
    data = os.urandom((2 << 20) + 17)
    (source / "big").write_bytes(data)
    (big, _) = scan(source).entries
    assert (big.size, big.digest) == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    ("mode", "kept"), [(0o600, "644"), (0o644, "644"), (0o700, "755"), (0o4755, "755"), (0o611, "644")]
)
def test_modes_are_one_of_two(source: Path, mode: int, kept: str) -> None:
    """Whatever umask the build had: what its owner may run is 755, all else 644."""
    (source / "index.html").chmod(mode)
    assert scan(source).entries[0].mode == kept


def test_empty_directories_are_entries(source: Path) -> None:
    """A directory without entries survives; one with entries follows from them."""
    (source / "a" / "b").mkdir(parents=True)
    assert [(entry.path, entry.kind) for entry in scan(source).entries] == [("a/b", "d"), ("index.html", "f")]


@pytest.mark.parametrize("name", [b"a b", b"new\nline", b"'\"", b"$(touch x)", b"-rf", b"\xff\xfe", b"\\", b"x" * 255])
def test_odd_names_are_kept(source: Path, name: bytes) -> None:
    """Names are bytes; nothing is escaped, quoted or lost."""
    (Path(os.fsencode(source).decode()) / os.fsdecode(name)).write_bytes(b"x")
    assert os.fsdecode(name) in paths(scan(source))


def test_links_inside_are_entries_with_their_text(source: Path) -> None:
    """A link keeps its text; its digest is the text's, so that another target is another release."""
    (source / "blog").mkdir()
    (source / "blog" / "home").symlink_to("../index.html")
    (source / "latest").symlink_to("blog")
    (source / "later").symlink_to("not-there-yet")
    links = {entry.path: entry for entry in scan(source).entries if entry.kind == Kind.LINK}
    assert {path: entry.target for path, entry in links.items()} == {
        "blog/home": "../index.html",
        "latest": "blog",
        "later": "not-there-yet",
    }
    assert links["latest"].digest == hashlib.sha256(b"blog").hexdigest()
    assert "latest/home" not in links


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../outside", "blog/../../outside", "..", "../public/index.html", "way"]
)
def test_links_out_of_the_source_are_refused(source: Path, target: str) -> None:
    """Absolute, climbing, through another link, or back in by the source's own name: it would serve something else."""
    (source.parent / "outside").write_text("secret")
    (source / "blog").mkdir()
    (source / "way").symlink_to("../outside")
    (source / "link").symlink_to(target)
    with pytest.raises(InvalidInput, match="leads out of static.source") as caught:
        scan(source, exclude=("way",))
    assert "'link'" in caught.value.message


def test_links_in_a_circle_end(source: Path) -> None:
    """Two links that point to each other are links like others, and nobody follows them."""
    (source / "one").symlink_to("two")
    (source / "two").symlink_to("one")
    assert paths(scan(source)) == ["index.html", "one", "two"]


def test_a_source_behind_a_link_is_read(source: Path) -> None:
    """`public` may itself be a link to the build's output."""
    (source.parent / "current").symlink_to("public")
    (source / "home").symlink_to("index.html")
    assert paths(scan(source.parent / "current")) == ["home", "index.html"]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("*.map", ["a/app.js", "a/b/.DS_Store", "a/b/app.js", "index.html"]),
        (".DS_Store", ["a/app.js", "a/app.js.map", "a/b/app.js", "index.html"]),
        ("b/", ["a/app.js", "a/app.js.map", "index.html"]),
        ("a/*", ["index.html"]),
        ("/a/app.js", ["a/app.js.map", "a/b/.DS_Store", "a/b/app.js", "index.html"]),
        ("a/*/app.js", ["a/app.js", "a/app.js.map", "a/b/.DS_Store", "index.html"]),
        ("*.MAP", ["a/app.js", "a/app.js.map", "a/b/.DS_Store", "a/b/app.js", "index.html"]),
    ],
)
def test_excludes_match_names_or_paths(source: Path, pattern: str, left: list[str]) -> None:
    """Without a slash a pattern means a name at any depth, with one the path from the source."""
    (source / "a" / "b").mkdir(parents=True)
    for name in ("a/app.js", "a/app.js.map", "a/b/.DS_Store", "a/b/app.js"):
        (source / name).write_text(name)
    assert [entry.path for entry in scan(source, exclude=(pattern,)).entries if entry.kind != Kind.DIRECTORY] == left


def test_what_is_excluded_is_not_looked_at(source: Path) -> None:
    """An excluded link out of the source, or an excluded socket, is no reason to refuse."""
    (source / "node_modules").mkdir()
    (source / "node_modules" / "out").symlink_to("/")
    assert paths(scan(source, exclude=("node_modules",))) == ["index.html"]


def test_a_missing_source_says_what_to_do(tmp_path: Path) -> None:
    """The path is named, and building comes to mind."""
    with pytest.raises(InvalidInput, match="does not exist") as caught:
        scan(tmp_path / "public")
    assert "static.build" in caught.value.hint
    assert "`deployer plan` never" in caught.value.hint


def test_a_file_as_source_is_refused(source: Path) -> None:
    """A directory is meant."""
    with pytest.raises(InvalidInput, match="is not a directory"):
        scan(source / "index.html")


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: (folder / "empty" / "deep").mkdir(parents=True)])
def test_an_empty_source_is_refused(tmp_path: Path, make: object) -> None:
    """Neither nothing nor directories of nothing may replace a site."""
    (tmp_path / "public").mkdir()
    make(tmp_path / "public")  # type: ignore[operator]
    with pytest.raises(InvalidInput, match="is empty, and deploying it would take the site away"):
        scan(tmp_path / "public")


def test_a_source_of_which_everything_is_excluded_is_empty(source: Path) -> None:
    """What counts is what would be deployed."""
    with pytest.raises(InvalidInput, match="is empty"):
        scan(source, exclude=("*.html",))


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_what_is_no_file_is_refused(source: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a pipe would wait for ever: it is named instead."""
    if kind == "fifo":
        os.mkfifo(source / "odd")
    else:
        monkeypatch.chdir(source)  # a socket's path must be short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("odd")
    with pytest.raises(InvalidInput, match="'odd' in static.source is neither a file"):
        scan(source)


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Nobody's permissions for a while, where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", ["page", "folder"])
def test_what_cannot_be_read_is_named(name: str) -> None:
    """A file or directory without permission is an error with its path, never a page that is left out."""
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary)
        source.chmod(0o755)
        (source / "page").write_text("x")
        (source / "folder").mkdir()
        (source / name).chmod(0)
        with ordinary_user(), pytest.raises(InvalidInput, match=f"cannot read '.*{name}': Permission denied"):
            scan(source)
        (source / name).chmod(0o700)


def test_progress_counts_the_bytes_read(source: Path) -> None:
    """The sum so far, up to the whole."""
    (source / "second").write_bytes(b"12345")
    seen: list[int] = []
    manifest = scan(source, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == manifest.bytes_total
