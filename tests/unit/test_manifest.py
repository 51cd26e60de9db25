"""The manifest: what it says of a release, and that no damage to its stored form goes unnoticed."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.errors import DeployFailed
from deployer.static.manifest import Entry, Kind, Manifest, decode, encode

# Any name that a file system can hold: bytes without NUL and slash, as Python shows them.
NAMES = st.binary(min_size=1, max_size=40).map(lambda raw: raw.replace(b"\0", b"_").replace(b"/", b"_"))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda parts: b"/".join(parts).decode("utf-8", "surrogateescape"))
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
ENTRIES = st.one_of(
    st.builds(Entry, PATHS, st.just(Kind.FILE), st.sampled_from(["644", "755"]), st.integers(0, 1 << 50), DIGESTS),
    st.builds(Entry, PATHS, st.just(Kind.LINK), st.just("777"), st.integers(1, 4095), DIGESTS),
    st.builds(Entry, PATHS, st.just(Kind.DIRECTORY), st.just("755"), st.just(0), st.just("-")),
)
MANIFESTS = st.lists(ENTRIES, max_size=12, unique_by=lambda entry: entry.path).map(
    lambda entries: Manifest(tuple(sorted(entries, key=lambda entry: entry.path)))
)
PAGE = Entry("index.html", Kind.FILE, "644", 5, hashlib.sha256(b"hello").hexdigest())


@given(MANIFESTS)
def test_the_stored_form_gives_the_manifest_back(manifest: Manifest) -> None:
    """Whatever the names hold, line breaks and bytes that are not UTF-8 included, nothing is lost or mixed up."""
    again = decode(encode(manifest))
    assert again == manifest
    assert again.digest == manifest.digest


@pytest.mark.parametrize("path", ["new\nline", " blank ", "a b  c", "\udcff\udcfe", "-n", "tab\t", "é", "\\", "\r"])
def test_odd_names_are_kept(path: str) -> None:
    """Names that would break a format of lines or fields are ordinary names here."""
    manifest = Manifest((replace(PAGE, path=path),))
    assert decode(encode(manifest)).entries[0].path == path


@given(MANIFESTS, MANIFESTS)
def test_equal_digests_mean_equal_releases(one: Manifest, other: Manifest) -> None:
    """The digest stands for the whole: it differs whenever any entry does."""
    assert (one.digest == other.digest) == (one == other)


@pytest.mark.parametrize(
    "changed",
    [
        replace(PAGE, path="index.htm"),
        replace(PAGE, mode="755"),
        replace(PAGE, kind=Kind.LINK),
        replace(PAGE, digest=hashlib.sha256(b"other").hexdigest()),
    ],
)
def test_every_field_counts_in_the_digest(changed: Entry) -> None:
    """Another name, mode, kind or contents is another release."""
    assert Manifest((changed,)).digest != Manifest((PAGE,)).digest


def test_totals_count_files_only() -> None:
    """Links and empty directories are entries, but neither files nor bytes."""
    link = Entry("link", Kind.LINK, "777", 10, "00", "index.html")
    empty = Entry("empty", Kind.DIRECTORY, "755", 0, "-")
    manifest = Manifest((empty, PAGE, link))
    assert (manifest.files, manifest.bytes_total) == ((PAGE,), 5)


def stored(body: bytes, *, head: bytes = b"deployer-manifest 1\n", digest: bytes = b"") -> bytes:
    return gzip.compress(head + (digest or hashlib.sha256(body).hexdigest().encode()) + b"\n" + body)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not gzip",
        gzip.compress(b""),
        encode(Manifest((PAGE,)))[:-9],
        stored(b"", head=b"deployer-manifest 2\n"),
        stored(b"f 644 5 aa a\0", digest=b"0" * 64),
        stored(b"f 644 5\0"),
        stored(b"f 644 many aa a\0"),
    ],
    ids=["empty", "foreign", "no head", "cut", "newer version", "wrong digest", "fields missing", "no number"],
)
def test_a_damaged_or_foreign_manifest_is_refused(data: bytes) -> None:
    """Whatever is wrong with it is one known error, so that the caller can hash what is really there."""
    with pytest.raises(DeployFailed, match="damaged or of a newer version"):
        decode(data)


@given(MANIFESTS.filter(lambda manifest: manifest.entries != ()), st.data())
def test_a_flipped_byte_is_never_another_manifest(manifest: Manifest, data: st.DataObject) -> None:
    """Damage to the stored form gives an error or the same manifest, never different entries."""
    stored_form = bytearray(encode(manifest))
    at = data.draw(st.integers(0, len(stored_form) - 1))
    stored_form[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(DeployFailed):
        assert decode(bytes(stored_form)) == manifest
