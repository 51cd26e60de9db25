"""Signatures: the pieces that each text file of a release consists of, as lengths and checksums. Without any I/O.

The host stores them beside the manifest, and a later deploy finds with them what of a changed page the host has already
(see :mod:`deployer.static.matching`). A piece ends where text that the site's pages share, its frame, begins or ends, so
that a new footer leaves the pieces around it as they were. A checksum is CRC-32: the SHA-256 of the whole file decides.
"""

from __future__ import annotations

import itertools
import re
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "LARGEST",
    "PIECE",
    "SEPARATOR",
    "decode",
    "encode",
    "expected_size",
    "frame",
    "is_text",
    "key",
    "sign",
    "units",
]

FORMAT = b"deployer-signatures 1\n"
PIECE = struct.Struct(">HI")
"""A piece: its length and the CRC-32 of its bytes."""
HEAD = struct.Struct(">8sH")
"""A file: the first bytes of its SHA-256, and how many pieces follow."""
SEPARATOR = b"\1"
"""Ends the records of what is sent to rebuild files: it cannot be in one."""
LARGEST = 1 << 19
"""Bytes of the largest file that is signed: it is read in one piece, here and on the host."""
SMALLEST_PIECE = 64
LONG_PIECE = 1024
MOST_PIECES = 100
"""About so many a file: larger files have larger pieces."""
LONG_UNIT = 1024
UNITS_OF_A_LONG_LINE = re.compile(rb"[^>}]{0,512}[>}]|[^>}]{1,512}")
RUNS = re.compile(rb"\x00+|\x01+")
SLICE = 1 << 14
MOST_UNPACKED = 1 << 25
"""Bytes that a store may have: about 400,000 pages. Whoever has a host's account could send more."""


def is_text(data: bytes) -> bool:
    """Whether the file can be signed: a text of a size that is worth it."""
    return 0 < len(data) <= LARGEST and b"\0" not in data and SEPARATOR not in data


def key(digest: str) -> bytes:
    """What stands for a file's contents in a store, out of its SHA-256 in hex."""
    return bytes.fromhex(digest[:16])


def units(data: bytes) -> list[bytes]:
    """Lines with their ends; a long one is cut behind the ends of tags and rules."""
    lines = data.splitlines(keepends=True)
    long = [number for number, length in enumerate(map(len, lines)) if length > LONG_UNIT]
    for number in reversed(long):
        lines[number : number + 1] = UNITS_OF_A_LONG_LINE.findall(lines[number])
    return lines


def frame(texts: Iterable[bytes]) -> frozenset[bytes]:
    """The units that are in two of the texts, or more."""
    seen: set[bytes] = set()
    shared: set[bytes] = set()
    for text in texts:
        own = set(units(text))
        shared |= own & seen
        seen |= own
    return frozenset(shared)


def sign(data: bytes, shared: frozenset[bytes] = frozenset()) -> bytes:
    """The pieces of a text, each packed as :data:`PIECE`, cut where the frame ``shared`` begins and ends."""
    signature, begin = [], 0
    for end in _cuts(data, shared):
        signature.append(PIECE.pack(end - begin, zlib.crc32(data[begin:end])))
        begin = end
    return b"".join(signature)


def encode(signatures: Mapping[bytes, bytes]) -> bytes:
    """The stored form of signatures by :func:`key`: gzip (RFC 1952), of which several may follow one another."""
    rows = (HEAD.pack(name, len(pieces) // PIECE.size) + pieces for name, pieces in signatures.items())
    packer = zlib.compressobj(level=1, wbits=31)
    return packer.compress(FORMAT + b"".join(rows)) + packer.flush()


def decode(data: bytes) -> dict[bytes, bytes] | None:
    """Read what :func:`encode` wrote, once or several times; None when it is damaged, too large or of another version."""
    found: dict[bytes, bytes] = {}
    try:
        for text in _unpacked(memoryview(data)):
            found.update(_rows(text))
    except (zlib.error, struct.error):
        return None
    return found


def expected_size(sizes: Iterable[int]) -> int:
    """Bytes that a store of texts of these sizes has at most, about."""
    return sum(
        HEAD.size + PIECE.size * min(MOST_PIECES, 2 + size // (LONG_PIECE // 2)) for size in sizes if size <= LARGEST
    )


def _unpacked(data: memoryview) -> Iterator[bytes]:
    """The texts of all parts; piece by piece, because what is behind a part's end is copied each time."""
    at, left = 0, MOST_UNPACKED
    while at < len(data):
        unpacker = zlib.decompressobj(wbits=31)
        text = bytearray()
        while not unpacker.eof:
            piece = data[at : at + SLICE]
            text += unpacker.decompress(piece, left - len(text) + 1)
            at += len(piece) - len(unpacker.unused_data)
            if not piece or len(text) > left:
                message = "it is cut, or too large"
                raise zlib.error(message)
        left -= len(text)
        yield bytes(text)


def _rows(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not text.startswith(FORMAT):
        message = "another format"
        raise struct.error(message)
    at = len(FORMAT)
    while at < len(text):
        name, count = HEAD.unpack_from(text, at)
        at += HEAD.size
        pieces = text[at : at + count * PIECE.size]
        at += count * PIECE.size
        if at > len(text):
            message = "the last row is cut"
            raise struct.error(message)
        if count <= 2 * MOST_PIECES:
            yield name, pieces


def _cuts(data: bytes, shared: frozenset[bytes]) -> Iterator[int]:
    """Where pieces end, the last one at the end of the text."""
    parts = units(data)
    ends = list(itertools.accumulate(map(len, parts)))
    smallest = max(SMALLEST_PIECE, len(data) // MOST_PIECES)
    longest = max(LONG_PIECE, 2 * smallest)
    begin = 0
    for run in RUNS.finditer(bytes(map(shared.__contains__, parts))):
        end = ends[run.end() - 1]
        while end - begin > longest:
            begin = ends[bisect_right(ends, begin + longest) - 1]
            yield begin
        if end - begin >= smallest:
            yield end
            begin = end
    if begin < len(data):
        yield len(data)
