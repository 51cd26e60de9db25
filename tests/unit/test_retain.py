"""Files that stay reachable after a release dropped them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deployer.static.manifest import Entry, Kind, Manifest, directories
from deployer.static.retain import DAY, Retained, decode, encode, retain

PATTERNS = ("assets/*",)
NAMES = st.sampled_from(["assets/app.1.js", "assets/app.2.js", "assets", "assets/app.1.js/map", "index.html", "\udcff"])


def file(path: str, digest: str = "a", mode: str = "644") -> Entry:
    return Entry(path, Kind.FILE, mode, 1, digest)


def paths(kept: tuple[Retained, ...]) -> list[str]:
    return [each.entry.path for each in kept]


def kept(
    live: list[Entry], before: list[Retained], wanted: list[Entry], patterns: tuple[str, ...] = PATTERNS, now: int = 100
) -> tuple[Retained, ...]:
    return retain(tuple(live), tuple(before), Manifest(tuple(wanted)), patterns=patterns, days=7, now=now)


def test_what_a_release_drops_is_retained_from_now_on() -> None:
    """Only what matches the patterns, and only what the new release does not have itself."""
    live = [file("assets/app.1.js"), file("assets/same.css"), file("old.html")]
    found = kept(live, [], [file("assets/same.css", "b"), file("assets/app.2.js")])
    assert found == (Retained(file("assets/app.1.js"), 100),)


def test_it_goes_after_its_days() -> None:
    """Counted from the release that dropped it, not from the last one."""
    before = [Retained(file("assets/old.js"), 0), Retained(file("assets/young.js"), DAY)]
    assert paths(kept([], before, [file("index.html")], now=7 * DAY)) == ["assets/young.js"]
    assert kept([], before, [file("index.html")], now=DAY)[0].since == 0


def test_a_dropped_file_that_comes_back_belongs_to_the_site() -> None:
    """And is dropped anew later."""
    before = [Retained(file("assets/app.js", "old"), 0)]
    assert kept([], before, [file("assets/app.js", "new")]) == ()
    assert kept([file("assets/app.js", "new")], [], [], now=50)[0].since == 50


def test_without_patterns_nothing_is_retained() -> None:
    """Taking the setting away ends it with the next release."""
    assert kept([file("assets/app.1.js")], [Retained(file("assets/app.0.js"), 0)], [], ()) == ()


def test_modes_are_those_that_deployer_gives() -> None:
    """An adopted site may have others."""
    (found,) = kept([file("assets/app.js", mode="600")], [], [])
    assert found.entry.mode == "644"


@given(st.lists(NAMES, unique=True), st.lists(NAMES, unique=True), st.lists(NAMES, unique=True, max_size=2))
def test_nothing_stands_in_the_way_of_a_wanted_path(live: list[str], before: list[str], wanted: list[str]) -> None:
    """Neither at it, nor above it, nor below a wanted file."""
    entries = [file(path) for path in wanted if not any(other.startswith(f"{path}/") for other in wanted)]
    found = paths(kept([*map(file, live)], [Retained(file(path), 50) for path in before], entries, ("*",)))
    names = {entry.path for entry in entries}
    assert not set(found) & (names | directories(entries))
    assert not names & directories([file(path) for path in found])


def test_the_record_reads_back() -> None:
    """Names of any bytes, and a damaged record is none."""
    files = (Retained(file("assets/\udcff\n.js"), 5), Retained(file("b", mode="755"), 6))
    assert decode(encode(files)) == files
    assert decode(b"damaged") == decode(b"") == decode(encode(files)[:-9]) == ()
