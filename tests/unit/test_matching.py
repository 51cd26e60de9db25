"""Matching: whatever was edited, the ranges and texts of a record make the new file; and few bytes make a small edit."""

from __future__ import annotations

import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.static.matching import match, record, signature_after
from deployer.static.signatures import LARGEST, PIECE, frame, sign
from tests.unit.test_signatures import page

WORDS = st.lists(
    st.sampled_from([b"<p>", b"</p>\n", b"text ", b"\n", b"\r\n", b"}", b"\xff", b"long " * 60, b"x"]), max_size=200
).map(b"".join)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 60), WORDS.map(lambda text: text[:80])), max_size=6)


def edited(text: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for place, removed, put in edits:
        at = int(place * len(text))
        text = text[:at] + put + text[at + removed :]
    return text


def rebuilt(old: bytes, text: bytes) -> tuple[bytes, bytes]:
    """The path of a record, and the file that it makes, as awk does."""
    path, ranges, *texts = text.removesuffix(b"\1").split(b"\1")
    numbers = [int(number) for number in ranges.split()]
    places = list(zip(numbers[::2], numbers[1::2], strict=True))
    assert len(texts) == len(places) + 1
    made = texts[0]
    for (offset, length), put in zip(places, texts[1:], strict=True):
        assert len(old[offset - 1 : offset - 1 + length]) == length
        made += old[offset - 1 : offset - 1 + length] + put
    return path, made


@given(WORDS, EDITS, st.booleans())
def test_any_edit_is_rebuilt(old: bytes, edits: list[tuple[float, int, bytes]], shared: bool) -> None:
    """From the old file and the record comes the new file, and its signature is one of the new file."""
    new = edited(old, edits)
    signature = sign(old, frame([old, new]) if shared else frozenset())
    copies = match(new, signature)
    assert rebuilt(old, record(b"a b/c.html", new, copies)) == (b"a b/c.html", new)
    at = 0
    for length, checksum in PIECE.iter_unpack(signature_after(new, signature, copies)):
        assert zlib.crc32(new[at : at + length]) == checksum
        at += length
    assert at == len(new)


@given(WORDS, WORDS)
def test_a_signature_of_something_else_does_no_harm(one: bytes, other: bytes) -> None:
    """As of a file that was changed behind our back: what comes out is not right, which SHA-256 tells; no error."""
    record(b"x", other, match(other, sign(one)))


def test_the_same_file_is_one_range() -> None:
    """Nothing of it travels."""
    assert record(b"x", page(1), match(page(1), sign(page(1)))) == b"x\1" + b"1 %d" % len(page(1)) + b"\1\1\1"


def literal(old: bytes, new: bytes, shared: frozenset[bytes]) -> int:
    """Bytes of the new file that would travel."""
    return len(new) - sum(copy.length for copy in match(new, sign(old, shared)))


PAGE = page(7) * 5
SHARED = frame([page(1), page(2)])


@pytest.mark.parametrize(
    ("new", "most"),
    [
        (PAGE.replace(b"0123456789ab", b"ba9876543210"), 5 * 200),
        (PAGE.replace(b"</head>", b"<meta name=x>\n</head>", 1), 150),
        (PAGE.replace(b"<p>3: ", b"<p>changed: ", 1), 450),
        (PAGE + b"<p>one more</p>\n", 20),
        (b"<p>one more</p>\n" + PAGE, 20),
        (PAGE[: len(PAGE) // 2], 500),
        (page(8) + PAGE, len(page(8))),
        (PAGE.replace(b"\n", b""), len(PAGE)),
    ],
    ids=["footers", "head", "middle", "behind", "before", "cut", "inserted", "minified"],
)
def test_little_travels(new: bytes, most: int) -> None:
    """Of an edit, about the pieces that it touches; also one behind another, and where everything moves."""
    assert literal(PAGE, new, SHARED) <= most


def test_many_generations_keep_a_signature_small() -> None:
    """Every edit leaves smaller pieces, until the file is cut anew."""
    text, signature = PAGE, sign(PAGE, SHARED)
    for number in range(300):
        at = (number * 977) % len(text)
        text = text[:at] + b"edit %d\n" % number + text[at:]
        signature = signature_after(text, signature, match(text, signature))
        assert len(signature) <= 100 * PIECE.size
    assert sum(length for length, _ in PIECE.iter_unpack(signature)) == len(text)


def test_the_search_is_bounded() -> None:
    """Half a megabyte in one line, changed everywhere, and texts of nothing but the same: no more than moments."""
    old = b"".join(b"<p>%d</p>" % number for number in range(60_000))[:LARGEST]
    began = time.thread_time()
    for new in (old.replace(b"<p>", b"<p class=a>")[:LARGEST], b"\n" * LARGEST, b">" * LARGEST, b"a" * LARGEST):
        match(new, sign(old))
        match(old, sign(new))
    assert time.thread_time() - began < 30  # without a bound it takes minutes
