"""Frames for several hosts: made once while they keep pace, the same for all in any case, and nobody waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.errors import DeployFailed
from deployer.static.once import Frames, Once, Progress, Shelf

FRAMES = tuple(bytes([number]) * 10 for number in range(20))


@dataclass
class Source:
    """Gives the frames and tells of each; counts how often it was begun, and what it made."""

    begun: int = 0
    made: list[int] = field(default_factory=list)
    fails_at: int = -1

    def __call__(self, progress: Progress) -> Iterator[bytes]:
        self.begun += 1
        for number, frame in enumerate(FRAMES):
            if number == self.fails_at:
                raise DeployFailed("the file changed")
            self.made.append(number)
            progress(number * 100, number * 10)
            yield frame


def note(told: list[tuple[int, int]], read: int, sent: int) -> None:
    """Keep what a host is told."""
    told.append((read, sent))


def silent(_read: int, _sent: int) -> None:
    """Nobody is told."""


def test_hosts_that_keep_pace_share_what_is_made() -> None:
    """Each gets all frames, and is told of each before it comes; they are made once and kept no longer than needed."""
    source = Source()
    shelf = Shelf()
    once = Once(source, 2, shelf)
    told: list[list[tuple[int, int]]] = [[], []]
    streams = [once.frames(partial(note, own)) for own in told]
    got: list[list[bytes]] = [[], []]
    for _ in FRAMES:
        for stream, own in zip(streams, got, strict=True):
            own.append(next(stream))
    assert [next(stream, None) for stream in streams] == [None, None]
    assert got == [[*FRAMES]] * 2
    assert told == [[(number * 100, number * 10) for number in range(20)]] * 2
    assert source.made == [*range(20)]
    assert shelf.size == 0


def test_a_host_that_falls_behind_makes_its_own() -> None:
    """The fast one does not wait, and no more is kept than was said; the slow one still gets all, and is told once."""
    source = Source()
    once = Once(source, 2, shelf := Shelf(35))
    told: list[tuple[int, int]] = []
    slow = once.frames(partial(note, told))
    first = [next(slow), next(slow)]
    fast = once.frames(silent)
    assert [next(fast) for _ in range(15)] == [*FRAMES[:15]]
    assert shelf.size <= 35
    assert [*first, *slow] == [*FRAMES]
    assert told == [(number * 100, number * 10) for number in range(20)]
    assert [*fast] == [*FRAMES[15:]]
    assert source.begun == 2


def test_a_host_that_is_gone_keeps_nothing() -> None:
    """Its session has ended in the middle; the others go on, and what it had not had yet is not kept for it."""
    source = Source()
    shelf = Shelf()
    once = Once(source, 2, shelf)
    gone, other = once.frames(silent), once.frames(silent)
    assert [next(gone), next(other)] == [FRAMES[0]] * 2
    gone.close()
    assert [*other] == [*FRAMES[1:]]
    assert shelf.size == 0


def test_what_cannot_be_made_fails_for_all() -> None:
    """Each host's upload ends with the same reason, after the frames before it."""
    once = Once(Source(fails_at=3), 2, Shelf())
    for stream in (once.frames(silent), once.frames(silent)):
        assert [next(stream) for _ in range(3)] == [*FRAMES[:3]]
        with pytest.raises(DeployFailed, match="the file changed"):
            next(stream)


@given(st.lists(st.integers(0, 2), max_size=70), st.integers(0, 120))
def test_whatever_the_pace_all_get_the_same(turns: list[int], kept: int) -> None:
    """Any order in which three hosts take their frames."""
    once = Once(Source(), 3, Shelf(kept))
    streams = [once.frames(silent) for _ in range(3)]
    got: list[list[bytes]] = [[], [], []]
    for host in turns:
        if (frame := next(streams[host], None)) is not None:
            got[host].append(frame)
    for stream, own in zip(streams, got, strict=True):
        own.extend(stream)
    assert got == [[*FRAMES]] * 3


def test_threads_share_it() -> None:
    """As the hosts' sessions do: each sends in a thread of its own."""
    source = Source()
    once = Once(source, 4, Shelf())
    got: list[bytes] = []
    barrier = threading.Barrier(4)

    def take() -> None:
        barrier.wait(30)
        got.append(b"".join(once.frames(silent)))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert got == [b"".join(FRAMES)] * 4
    assert source.made == [*range(20)]


def test_the_shelf_is_bounded_over_all_bodies() -> None:
    """A host that hangs before a long upload: what it misses is not kept, however many bodies there are."""
    shelf = Shelf(100)
    bodies = [Once(Source(), 2, shelf) for _ in range(5)]
    for body in bodies:
        for _ in Frames(body, silent).chunks():
            assert shelf.size <= 100
    assert [b"".join(Frames(body, silent).chunks()) for body in bodies] == [b"".join(FRAMES)] * 5
    assert shelf.size == 0
