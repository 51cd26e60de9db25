"""Signatures: the pieces of texts, cut where a site's frame begins and ends, and the form in which hosts store them."""

from __future__ import annotations

import gzip
import hashlib
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.static.signatures import (
    LARGEST,
    PIECE,
    decode,
    encode,
    expected_size,
    frame,
    is_text,
    key,
    sign,
    units,
)

TEXTS = st.binary(max_size=3000) | st.lists(
    st.sampled_from([b"<p>text</p>", b"\n", b"\r\n", b"x" * 700, b"{a}", b"\xc3\xa9 "]), max_size=300
).map(b"".join)
HEAD = b"<html>\n<head>\n<link rel=stylesheet href=/site.css>\n</head>\n<body>\n<nav>one two three four</nav>\n"
FOOT = b"<footer>\n<p>Built from 0123456789ab by somebody for everybody.</p>\n</footer>\n</body>\n</html>\n"


def page(number: int) -> bytes:
    return HEAD + b"".join(b"<p>%d: what only page %d says, %d</p>\n" % (n, number, n) for n in range(9)) + FOOT


def pieces(signature: bytes) -> list[tuple[int, int]]:
    return list(PIECE.iter_unpack(signature))


@given(TEXTS, st.lists(TEXTS, max_size=3))
def test_pieces_cover_the_text(text: bytes, others: list[bytes]) -> None:
    """One behind the other, each with the checksum of its bytes, whatever the frame is."""
    at = 0
    for length, checksum in pieces(sign(text, frame([text, *others]))):
        assert length > 0
        assert zlib.crc32(text[at : at + length]) == checksum
        at += length
    assert at == len(text)


@given(TEXTS)
def test_units_are_the_text(text: bytes) -> None:
    """Nothing is lost, and none is long."""
    assert b"".join(units(text)) == text
    assert all(0 < len(unit) <= 1024 for unit in units(text))


def test_pieces_end_where_the_frame_does() -> None:
    """So another footer leaves all pieces before it as they were."""
    shared = frame([page(1), page(2), page(3)])
    signature = sign(page(1), shared)
    assert [length for length, _ in pieces(signature)] == [len(HEAD), len(page(1)) - len(HEAD) - len(FOOT), len(FOOT)]
    later = [page(number).replace(b"0123456789ab", b"ba9876543210") for number in (1, 2)]
    assert sign(later[0], frame(later))[: -PIECE.size] == signature[: -PIECE.size]


def test_a_large_file_has_few_pieces() -> None:
    """A page of half a megabyte costs the host as much as one of 60 kB; one line is no different from many."""
    for text in (b"<p>a paragraph of some words</p>" * 16_000, b"a line of some words\n" * 24_000):
        assert len(pieces(sign(text[:LARGEST]))) <= 101


def test_only_texts_of_some_size_are_signed() -> None:
    """What awk could not read back is sent whole, always."""
    assert is_text(b"a")
    assert not any(map(is_text, (b"", b"a\0b", b"a\1b", b"x" * (LARGEST + 1))))


@given(st.dictionaries(st.binary(min_size=8, max_size=8), TEXTS.map(sign), max_size=5))
def test_what_is_stored_is_read_back(signatures: dict[bytes, bytes]) -> None:
    """Also when it was stored in parts: appending on the host is `cat`."""
    assert decode(encode(signatures)) == signatures
    assert decode(encode(signatures) + encode({b"12345678": sign(b"more")})) == signatures | {
        b"12345678": sign(b"more")
    }


def test_a_store_of_many_parts_is_read_quickly() -> None:
    """A site that was deployed two thousand times with a page more."""
    signatures = {number.to_bytes(8, "big"): sign(page(number)) for number in range(2000)}
    stored = b"".join(encode({name: signature}) for name, signature in signatures.items())
    began = time.thread_time()
    assert decode(stored) == signatures
    assert time.thread_time() - began < 1


@given(st.data())
def test_a_damaged_store_is_never_an_error(data: st.DataObject) -> None:
    """Cut, overwritten, or followed by something else: it is read as it was, or not at all."""
    stored = encode({key(hashlib.sha256(bytes([n])).hexdigest()): sign(page(n)) for n in range(5)})
    at = data.draw(st.integers(0, len(stored) - 1))
    for damaged in (
        stored[:at],
        stored[:at] + data.draw(st.binary(min_size=1, max_size=4)) + stored[at + 1 :],
        stored + data.draw(st.binary(min_size=1, max_size=9)),
    ):
        assert decode(damaged) in (None, decode(stored), {})


@pytest.mark.parametrize(
    "text",
    [b"deployer-signatures 2\n", b"", b"deployer-signatures 1\n12345678", b"deployer-signatures 1\n12345678\0\2123456"],
)
def test_foreign_stores_are_not_read(text: bytes) -> None:
    """Of a later version, empty, or ending within a row."""
    assert decode(gzip.compress(text)) is None


def test_a_store_that_unpacks_to_too_much_is_not_read() -> None:
    """A thousand times its size, say: the client's memory is bounded."""
    assert decode(gzip.compress(b"deployer-signatures 1\n" + bytes(1 << 26))) is None


def test_rows_that_nobody_writes_are_left_out() -> None:
    """A file of ten thousand pieces would be searched for long."""
    assert decode(encode({b"12345678": sign(b"a") * 10_000, b"abcdefgh": sign(b"a")})) == {b"abcdefgh": sign(b"a")}


def test_the_expected_size_is_enough() -> None:
    """A store is made anew when it is twice as large: one that was just made must not be."""
    texts = [page(n) * size for n in range(10) for size in (1, 3, 40)] + [b"y\n" * 50, b"z" * 400_000]
    stored = encode({key(hashlib.sha256(text).hexdigest()): sign(text, frame(texts)) for text in texts})
    assert len(stored) < expected_size(map(len, texts))
