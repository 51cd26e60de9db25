"""Names of releases: later than every earlier one, readable, and chosen by any part that is unambiguous."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.errors import InvalidInput
from deployer.release import choose, new_name, short

TOKEN = "c0ffee" * 4
NOW = 1_795_374_180  # 2026-11-22T19:03:00Z
TIMES = st.integers(0, 4_000_000_000)
VERSIONS = st.text("0123456789abcdef", min_size=1, max_size=64)


def test_a_name_says_when_and_what() -> None:
    """Time in UTC and seven characters of the version for people; random bits for the directory."""
    name = new_name(NOW, "", "7f247f9a0b1c", TOKEN)
    assert name.identifier == "20261122T190300Z-7f247f9"
    assert (name.directory, name.time) == (f"20261122T190300Z-7f247f9.{TOKEN}", NOW)
    assert short(name.directory) == name.identifier


@given(TIMES, TIMES, VERSIONS, VERSIONS)
def test_a_name_is_later_than_the_newest(first: int, second: int, version: str, other: str) -> None:
    """Even where the host's clock went back, names sort in the order in which they were made."""
    newest = new_name(first, "", version, TOKEN)
    name = new_name(second, newest.directory, other, TOKEN)
    assert name.directory > newest.directory
    assert name.identifier > newest.identifier
    assert name.time == max(second, newest.time + 1)


@given(st.lists(st.tuples(TIMES, VERSIONS), min_size=1, max_size=20))
def test_a_row_of_names_is_sorted_and_never_repeats(deploys: list[tuple[int, str]]) -> None:
    """However the clock jumps, a history sorted by name is the history in order."""
    names: list[str] = []
    for now, version in deploys:
        names.append(new_name(now, names[-1] if names else "", version, TOKEN).directory)
    assert names == sorted(set(names))


@pytest.mark.parametrize("newest", ["", "zzz", "20261122T190300Z", "../20261122T190300Z-7f247f9", "20261122T190300Z-X"])
def test_foreign_names_are_not_read_as_times(newest: str) -> None:
    """A directory that deployer did not make does not move the time."""
    assert new_name(NOW, newest, "abc", TOKEN).time == NOW


KEPT = tuple(
    f"{name}.{TOKEN}" for name in ("20261121T080000Z-aaaaaaa", "20261122T080000Z-bbbbbbb", "20261122T090000Z-a1b2c3d")
)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("20261121T080000Z-aaaaaaa", 0),
        (KEPT[1], 1),
        ("bbbbbbb", 1),
        ("a1b2", 2),
        ("20261121", 0),
        ("T09", 2),
    ],
)
def test_any_unambiguous_part_chooses(wanted: str, found: int) -> None:
    """The whole name, the directory's name, the commit or the day: what is clear is enough."""
    assert choose(wanted, KEPT) == KEPT[found]


def test_a_whole_name_beats_parts() -> None:
    """A name that is also a part of another one means itself."""
    kept = ("20261122T190300Z-abc", "20261122T190300Z-abcdef")
    assert choose("20261122T190300Z-abc", kept) == kept[0]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("20261122", "means 2 of the kept"),
        ("nothing", "no kept release is named 'nothing'"),
        ("", "no kept"),
        ("c0ffee", "no kept"),
    ],
)
def test_an_unclear_wish_lists_what_is_kept(wanted: str, message: str) -> None:
    """None or several is an error that shows the choice; random bits of a directory do not count as a name."""
    with pytest.raises(InvalidInput, match=message) as caught:
        choose(wanted, KEPT)
    assert "20261121T080000Z-aaaaaaa, 20261122T080000Z-bbbbbbb" in caught.value.hint
    assert TOKEN not in str(caught.value)


def test_without_any_release_the_hint_says_so() -> None:
    """An empty list reads as a word."""
    with pytest.raises(InvalidInput) as caught:
        choose("x", ())
    assert caught.value.hint == "Kept: none"
