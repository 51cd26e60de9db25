"""What of a text the host has already, by the signature of the text that it has, and the record to rebuild it with. Pure.

The host needs byte ranges of its own file and what is new between them; see ``host/patch.sh`` for the other side.
"""

from __future__ import annotations

import itertools
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from deployer.static.signatures import MOST_PIECES, PIECE, SEPARATOR, sign, units

__all__ = ["Copy", "match", "record", "signature_after"]

WINDOW = 100
"""In how many places a piece is looked for: without a bound, a page of 1 MB could take seconds."""


@dataclass(slots=True)
class Copy:
    """``length`` bytes of the host's file from ``start`` on, the pieces ``first`` to ``last``, are in the text ``at``."""

    first: int
    last: int
    start: int
    length: int
    at: int


def match(data: bytes, signature: bytes) -> list[Copy]:
    """What can be copied out of the file with that signature, in the order of both texts."""
    pieces = list(PIECE.iter_unpack(signature))
    starts = [0, *itertools.accumulate(length for length, _ in pieces)]
    front, begin = 0, 0
    while front < len(pieces) and _is_at(data, begin, len(data), pieces[front]):
        begin += pieces[front][0]
        front += 1
    back, end = len(pieces), len(data)
    while back > front and _is_at(data, end - pieces[back - 1][0], end, pieces[back - 1], begin):
        back -= 1
        end -= pieces[back][0]
    found = [(0, front, 0)] if front else []
    found += [(number, number + 1, at) for number, at in _between(data, begin, end, pieces, front, back)]
    if back < len(pieces):
        found.append((back, len(pieces), end))
    return _joined(Copy(first, last, starts[first], starts[last] - starts[first], at) for first, last, at in found)


def record(path: bytes, data: bytes, copies: list[Copy]) -> bytes:
    """The fields of one file: its path, "OFFSET LENGTH" of each range, and the texts before, between and behind them."""
    texts, at = [], 0
    for copy in copies:
        texts.append(data[at : copy.at])
        at = copy.at + copy.length
    texts.append(data[at:])
    ranges = b" ".join(b"%d %d" % (copy.start + 1, copy.length) for copy in copies)
    return SEPARATOR.join((path, ranges, *texts, b""))


def signature_after(data: bytes, signature: bytes, copies: list[Copy]) -> bytes:
    """The signature of the text itself: what is copied keeps its pieces, which is faster than to sign all of it."""
    parts, at = [], 0
    for copy in copies:
        parts.append(sign(data[at : copy.at]))
        parts.append(signature[PIECE.size * copy.first : PIECE.size * copy.last])
        at = copy.at + copy.length
    parts.append(sign(data[at:]))
    whole = b"".join(parts)
    # Many small edits leave small pieces.
    return whole if len(whole) <= MOST_PIECES * PIECE.size else sign(data)


def _is_at(data: bytes, begin: int, end: int, piece: tuple[int, int], least: int = 0) -> bool:
    length, checksum = piece
    return least <= begin and begin + length <= end and zlib.crc32(data[begin : begin + length]) == checksum


def _between(
    data: bytes, begin: int, end: int, pieces: list[tuple[int, int]], first: int, last: int
) -> Iterator[tuple[int, int]]:
    """Pieces and where they are, where any unit may begin one."""
    if first == last or begin == end:
        return
    cuts = list(itertools.accumulate(map(len, units(data[begin:end])), initial=begin))
    known, after = set(cuts), 0
    for number in range(first, last):
        length, checksum = pieces[number]
        for at in cuts[after : after + WINDOW]:
            if at + length in known and zlib.crc32(data[at : at + length]) == checksum:
                yield number, at
                after = bisect_left(cuts, at + length)
                break


def _joined(copies: Iterator[Copy]) -> list[Copy]:
    """Neighbours as one."""
    found: list[Copy] = []
    for copy in copies:
        before = found[-1] if found else None
        if before and before.last == copy.first and before.at + before.length == copy.at:
            before.last = copy.last
            before.length += copy.length
        else:
            found.append(copy)
    return found
