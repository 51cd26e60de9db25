"""What hosts have in common: one clock and one time for all, and which files may keep theirs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deployer.static.agreement import agree, level
from deployer.static.changes import Base
from deployer.static.facts import Facts

LIVE = "20261121T190300Z-aaaaaaa.beef"
ONE = Facts(
    now=100,
    kind="link",
    live=LIVE,
    newest=LIVE,
    unchanged=False,
    tampered=False,
    free_bytes=0,
    codec="zstd",
    exchange="",
    newest_time=50,
    host="one",
)
TWO = replace(ONE, host="two", now=90, newest="20261122T190300Z-bbbbbbb.beef", newest_time=60, codec="gzip")
BASE = Base(recorded=True, copying=True)


def test_the_latest_of_each_is_everybodys() -> None:
    """A release's name and its files' times come of these, and must be later than anything on any host."""
    one, two = agree((ONE, TWO))
    for each in (one, two):
        assert (each.now, each.newest, each.newest_time) == (100, TWO.newest, 60)
    assert (one.host, one.codec, two.host, two.codec) == ("one", "zstd", "two", "gzip")


def test_one_host_agrees_with_itself() -> None:
    """Nothing changes for it, and everything may be linked, also from what no manifest says."""
    assert agree((TWO,)) == (TWO,)
    assert level((replace(ONE, live=""),), (Base(),)) == (Base(),)


def test_the_same_release_everywhere_is_linked() -> None:
    """Every file has the same time on all hosts already."""
    assert level((ONE, TWO), (BASE, BASE)) == (BASE, BASE)


@pytest.mark.parametrize(
    ("host", "base"),
    [
        (replace(TWO, live="20261120T190300Z-aaaaaaa.beef"), BASE),
        (replace(TWO, live="", kind="none"), Base()),
        (TWO, replace(BASE, recorded=False)),
    ],
)
def test_any_difference_gives_all_a_new_time(host: Facts, base: Base) -> None:
    """Another release, none at all, or one that somebody wrote to: nothing is linked on any host."""
    for each in level((ONE, host), (BASE, base)):
        assert (each.linking, each.copying) == (False, False)


def test_nothing_live_anywhere_is_nothing_to_link() -> None:
    """Plain directories have whatever times they were copied with."""
    nothing = replace(ONE, live="", kind="directory")
    assert not level((nothing, nothing), (Base(), Base()))[0].linking
