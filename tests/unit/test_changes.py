"""What differs between two releases: carried out on a model, the changes give exactly the wanted release."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from deployer.plan import Change
from deployer.static.changes import LINKS_PER_FILE, Base, Changes, compare
from deployer.static.manifest import Entry, Kind, Manifest, directories

# Few names, contents and modes, so that moves, copies and changes of kind are common.
NAMES = st.sampled_from(["a", "b", "c", "d", "d/a", "d/b", "d/e/f", "new\nline", "back\\slash", "\udcff"])
CONTENTS = st.sampled_from([b"", b"one", b"two", b"three", b"a"])


def file(path: str, contents: bytes = b"one", mode: str = "644") -> Entry:
    return Entry(path, Kind.FILE, mode, len(contents), hashlib.sha256(contents).hexdigest())


def link(path: str, target: str) -> Entry:
    return Entry(path, Kind.LINK, "777", len(target), hashlib.sha256(target.encode()).hexdigest(), target)


def directory(path: str) -> Entry:
    return Entry(path, Kind.DIRECTORY, "755", 0, "-")


ENTRIES = st.one_of(
    st.builds(file, NAMES, CONTENTS, st.sampled_from(["644", "755"])),
    st.builds(link, NAMES, st.sampled_from(["a", "one"])),
    st.builds(directory, NAMES),
)


def release(entries: list[Entry]) -> Manifest:
    """The entries that can stand beside each other: what is in a directory beats what would be in its place."""
    folders = directories(entries) - {entry.path for entry in entries if entry.kind == Kind.DIRECTORY}
    possible = [entry for entry in entries if entry.path not in folders]
    return Manifest(tuple(sorted(possible, key=lambda entry: entry.path)))


RELEASES = st.lists(ENTRIES, max_size=8, unique_by=lambda entry: entry.path).map(release)


def base(manifest: Manifest, *, copying: bool = False) -> Base:
    return Base({entry.path: entry for entry in manifest.entries}, copying)


def names(manifest: Manifest) -> set[str]:
    return {entry.path for entry in manifest.entries} | directories(manifest.entries)


def begun(live: Manifest, changes: Changes) -> set[str]:
    """The names that are left of a copy of the live release when those that are gone were removed."""
    assert all(path in names(live) for path in changes.gone)
    return {
        path for path in names(live) if not any(path == gone or path.startswith(f"{gone}/") for gone in changes.gone)
    }


def assembled(live: Base, changes: Changes, wanted: Manifest) -> dict[str, tuple[str, str]]:
    """Mode and digest of each file that the host would have in the new release, by carrying the changes out."""
    work = {name: (entry.mode, entry.digest) for name, entry in changes.sent.items()}
    for key, origin in changes.copied.items():
        # The host makes a copy and gives it the mode of its directory; it is checked against the hash in its name.
        mode, _, name = key.partition("/")
        work[f"c{key}"] = (mode, live.entries[origin].digest)
        assert name.partition(".")[0] == live.entries[origin].digest
    work |= {f"arrived/{name}": _arrived(about) for name, about in live.arrived.items()}
    work |= {
        f"old/{path}": (entry.mode, entry.digest) for path, entry in live.entries.items() if entry.kind == Kind.FILE
    }
    made = {name.removeprefix("new/"): about for name, about in work.items() if name.startswith("new/")}
    for path, source in changes.links.items():
        assert path not in made, "a link over a file that was sent to its place"
        made[path] = work[source]
    return made


def _arrived(about: str) -> tuple[str, str]:
    mode, _, digest = about.partition("/")
    return mode, digest


def listed(live: Base, changes: tuple[Change, ...]) -> set[str]:
    """The names that are left when a person carries out the listing by hand."""
    names = {path for path, entry in live.entries.items() if entry.kind != Kind.DIRECTORY}
    for change in changes:
        match change.action:
            case "add":
                assert change.path not in names
                names.add(change.path)
            case "move":
                names.remove(change.origin)
                names.add(change.path)
            case "remove":
                names.remove(change.path)
            case "change":
                assert change.path in live.entries
                names.add(change.path)
    return names


@given(RELEASES, RELEASES)
def test_carried_out_the_changes_give_the_wanted_release(old: Manifest, wanted: Manifest) -> None:
    """From any release to any other: each file has the wanted contents and mode, and there is no other."""
    changes = compare(base(old), wanted)
    assert assembled(base(old), changes, wanted) == {entry.path: (entry.mode, entry.digest) for entry in wanted.files}


def remains(manifest: Manifest) -> dict[str, str]:
    """What arrived of a release, as if it had been sent to its places."""
    return {f"a1b2/new/{entry.path}": f"{entry.mode}/{entry.digest}" for entry in manifest.files}


@given(RELEASES, RELEASES, RELEASES)
def test_what_arrived_before_is_not_sent_again(old: Manifest, before: Manifest, wanted: Manifest) -> None:
    """Contents that came with their mode are linked, whatever release they were for; the rest of them is forgotten."""
    live = replace(base(old), arrived=remains(before))
    changes = compare(live, wanted)
    assert assembled(live, changes, wanted) == {entry.path: (entry.mode, entry.digest) for entry in wanted.files}
    have = {(entry.mode, entry.digest) for entry in before.files}
    assert not have & {(entry.mode, entry.digest) for entry in changes.sent.values()}
    used = {name.removeprefix("arrived/") for name in changes.links.values() if name.startswith("arrived/")}
    assert set(changes.forgotten) == live.arrived.keys() - used
    assert len(changes.resumed) == len(used)
    needed = compare(base(old), wanted).bytes_needed
    assert changes.bytes_needed == needed


@given(RELEASES, RELEASES)
def test_carried_out_on_a_copy_they_give_the_wanted_release(old: Manifest, wanted: Manifest) -> None:
    """What is kept of a copy of the live release is right, and the rest is made; nothing is made where something is."""
    changes = compare(base(old, copying=True), wanted)
    left = begun(old, changes)
    folders = directories(wanted.entries)
    assert changes.kept == left - folders
    assert left - changes.kept == folders - set(changes.directories)
    made = assembled(base(old), changes, wanted)
    assert not changes.kept & set(made)
    live = base(old).entries
    kept = {path: (live[path].mode, live[path].digest) for path in changes.kept if live[path].kind == Kind.FILE}
    assert made | kept == {entry.path: (entry.mode, entry.digest) for entry in wanted.files}
    links = {entry.path for entry in wanted.entries if entry.kind == Kind.LINK}
    assert {path for path in changes.kept if live[path].kind == Kind.LINK} <= links


def test_what_goes_with_its_directory_is_not_named() -> None:
    """A section that was removed is one name, whatever was in it."""
    old = Manifest(tuple(file(f"blog/{year}/{number}.html") for year in ("2025", "2026") for number in range(9)))
    wanted = Manifest((file("blog/2026/0.html"), file("index.html")))
    changes = compare(base(old, copying=True), wanted)
    assert changes.gone == ("blog/2025", *(f"blog/2026/{number}.html" for number in range(1, 9)))


@given(RELEASES, RELEASES)
def test_the_listing_tells_the_whole_difference(old: Manifest, wanted: Manifest) -> None:
    """Added, changed, moved and removed names lead from the old ones to the new ones."""
    changes = compare(base(old), wanted)
    assert listed(base(old), changes.listing) == {
        entry.path for entry in wanted.entries if entry.kind != Kind.DIRECTORY
    }


@given(RELEASES, RELEASES)
def test_nothing_travels_that_the_host_has(old: Manifest, wanted: Manifest) -> None:
    """Contents that are live anywhere are never sent, and the same contents in one mode are sent once."""
    changes = compare(base(old), wanted)
    have = {entry.digest for entry in old.files}
    sent = [(entry.digest, entry.mode) for entry in changes.sent.values()]
    assert not have & {digest for digest, _ in sent}
    assert len(sent) == len(set(sent))


@given(RELEASES)
def test_an_equal_release_changes_nothing(release: Manifest) -> None:
    """Every file is linked from where it is."""
    changes = compare(base(release), release)
    assert (changes.listing, changes.sent, changes.copied) == ((), {}, {})
    assert changes.links == {entry.path: f"old/{entry.path}" for entry in release.files}


@given(RELEASES, RELEASES)
def test_changed_contents_get_a_file_of_their_own(old: Manifest, wanted: Manifest) -> None:
    """A path whose contents or mode change is never a link to a live file: its time would be the old one (nginx's 304)."""
    before = base(old).entries
    for path, source in compare(base(old), wanted).links.items():
        if source.startswith("old/"):
            assert source == f"old/{path}"
            assert before[path] in wanted.entries


def test_a_moved_file_is_copied_on_the_host() -> None:
    """Contents that are live at another path do not travel, and a person reads one line about it."""
    changes = compare(base(Manifest((file("old.html"),))), Manifest((file("new.html"),)))
    assert changes.sent == {}
    assert list(changes.copied.values()) == ["old.html"]
    assert changes.listing == (Change("move", "new.html", 3, "old.html"),)
    assert changes.deleted == 1


def test_a_change_of_mode_is_a_change() -> None:
    """The live file's inode must keep its mode, so it is copied; nothing travels."""
    changes = compare(base(Manifest((file("run"),))), Manifest((file("run", mode="755"),)))
    assert (changes.sent, list(changes.copied.values())) == ({}, ["run"])
    assert changes.listing == (Change("change", "run", 3),)


def test_a_first_release_sends_everything_once() -> None:
    """Without a base, equal contents travel once and the other names are links."""
    wanted = Manifest(tuple(file(name) for name in ("a", "b", "c")))
    changes = compare(Base(), wanted)
    assert list(changes.sent) == ["new/a"]
    assert changes.links == {"b": "new/a", "c": "new/a"}
    assert [change.action for change in changes.listing] == ["add"] * 3


def test_names_that_no_list_of_sums_can_hold_travel_by_hash() -> None:
    """BusyBox cannot check a name with a line break or a backslash: such contents arrive under their hash."""
    for name in ("new\nline", "carriage\rreturn", "back\\slash"):
        (place,) = compare(Base(), Manifest((file(name),))).sent
        assert PurePosixPath(place).name.startswith(file(name).digest)


def test_a_file_gets_a_thousand_names_at_most() -> None:
    """File systems bound the names of one file (ext4: 65,000), so that many equal files are some real ones."""
    wanted = Manifest(tuple(file(f"{number:05}") for number in range(2 * LINKS_PER_FILE + 1)))
    changes = compare(Base(), wanted)
    assert len(changes.sent) == 3
    copies = compare(base(Manifest((file("origin"),))), wanted)
    assert len(copies.copied) == 3


def test_disk_space_is_counted_in_blocks() -> None:
    """Many tiny files need more than their bytes."""
    wanted = Manifest(tuple(file(f"{number}", str(number).encode()) for number in range(10)))
    assert 10 * 4096 <= compare(Base(), wanted).bytes_needed <= 10 * 8192
