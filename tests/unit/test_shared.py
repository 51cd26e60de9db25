"""Paths of the server's own in the manifest."""

from __future__ import annotations

import posixpath

import pytest

from deployer.errors import InvalidInput
from deployer.static.manifest import Entry, Kind, Manifest
from deployer.static.shared import with_shared


def file(path: str) -> Entry:
    return Entry(path, Kind.FILE, "644", 1, "a")


def directory(path: str) -> Entry:
    return Entry(path, Kind.DIRECTORY, "755", 0, "-")


def test_every_release_has_a_link_there() -> None:
    """Relative, from wherever it stands to the shared directory beside the releases."""
    manifest, warnings = with_shared(Manifest((file("index.html"),)), ("data/uploads", "media"))
    links = {entry.path: entry.target for entry in manifest.entries if entry.kind == Kind.LINK}
    assert set(links) == {"data/uploads", "media"}
    for path, target in links.items():
        where = posixpath.normpath(posixpath.join("/site/releases/NAME", posixpath.dirname(path), target))
        assert where == f"/site/shared/{path}"
    assert [entry.path for entry in manifest.entries] == sorted(entry.path for entry in manifest.entries)
    assert warnings == ()


def test_what_the_source_has_there_is_left_out_with_a_warning() -> None:
    """A placeholder that keeps the directory in git is common."""
    source = Manifest((file("index.html"), file("uploads/.gitkeep")))
    manifest, warnings = with_shared(source, ("uploads",))
    assert [(entry.path, entry.kind) for entry in manifest.entries] == [("index.html", "f"), ("uploads", "l")]
    assert len(warnings) == 1
    assert "1 files of the source are not uploaded" in warnings[0]


def test_an_empty_directory_there_is_no_news() -> None:
    """It is what the link stands for."""
    source = Manifest((directory("data"), file("index.html")))
    manifest, warnings = with_shared(source, ("data/uploads",))
    assert [entry.path for entry in manifest.entries] == ["data/uploads", "index.html"]
    assert warnings == ()


@pytest.mark.parametrize("path", ["uploads", "data"])
@pytest.mark.parametrize("kind", [Kind.FILE, Kind.LINK])
def test_a_file_in_its_place_is_refused(path: str, kind: str) -> None:
    """Whether the shared path is the file or would lie in it: one of the two is a mistake."""
    source = Manifest((Entry(path, kind, "644", 1, "a", "x"),))
    with pytest.raises(InvalidInput, match=f"'{path}' is a (file|link) in static.source, but static.shared"):
        with_shared(source, ("data/uploads", "uploads"))


def test_without_shared_paths_nothing_changes() -> None:
    """Not even the object."""
    source = Manifest((file("index.html"),))
    assert with_shared(source, ()) == (source, ())
