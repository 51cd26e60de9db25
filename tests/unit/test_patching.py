"""Which files are rebuilt on the host, when it is worth asking for their signatures, and what is sent whole in the end."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from deployer.errors import DeployFailed
from deployer.plan import Reply, Request
from deployer.static.changes import Base, compare
from deployer.static.manifest import Entry, Kind, Manifest
from deployer.static.patching import (
    NOTHING,
    Candidate,
    Known,
    Mend,
    Patch,
    Patches,
    ask,
    candidates,
    wire_bytes,
)
from deployer.static.signatures import LARGEST, decode, frame, key, sign
from deployer.static.signing import Signing
from deployer.static.stream import Contents
from tests.unit.test_matching import rebuilt
from tests.unit.test_signatures import page

TIME = 1_795_374_180


def entry(path: str, data: bytes = b"x", mode: str = "644") -> Entry:
    return Entry(path, Kind.FILE, mode, len(data), hashlib.sha256(data).hexdigest())


class Pages:
    """A source in which all pages have changed, and what the host has of them."""

    def __init__(self, source: Path, count: int) -> None:
        self.source = source
        self.old = {f"{number}.html": page(number) for number in range(count)}
        self.new = {name: data.replace(b"0123456789ab", b"ba9876543210") for name, data in self.old.items()}
        for name, data in self.new.items():
            (source / name).write_bytes(data)
        self.files: list[Candidate] = [
            (f"new/{name}", entry(name, self.new[name]), entry(name, data)) for name, data in self.old.items()
        ]
        shared = frame(self.old.values())
        self.known = {key(live.digest): sign(self.old[live.path], shared) for _, _, live in self.files}
        self.signing = Signing(source, [wanted for _, wanted, _ in self.files])

    def patches(self, hosts: int = 1) -> Patches:
        return Patches(self.source, self.files, self.known, self.signing, hosts=hosts)


class Host:
    """Answers what it is asked for, and remembers it."""

    def __init__(self, data: bytes | None = b"stored") -> None:
        self.asked: list[str] = []
        self.data = data

    def perform(self, request: Request) -> tuple[Reply, ...]:
        self.asked.append(request.verb)
        return (Reply(() if self.data is None else (("signatures", self.data),)),)


def records(patches: Patches) -> tuple[str, list[bytes]]:
    """The list for sha256sum, and the record of each file."""
    first, *others = patches.script(lambda _read: None)
    return first.removesuffix(b"\1").decode(), others


def test_what_could_be_rebuilt() -> None:
    """Files of the usual mode in place of others; not what is new, too large, executable, listed oddly or no file there."""
    wanted = ["page", "dir/page", "new", "run", "huge", "odd\1", "back\\slash", "link", "empty"]
    entries = {path: entry(path, b"old " + path.encode()) for path in wanted if path != "new"}
    entries["link"] = Entry("link", Kind.LINK, "777", 4, "0" * 64, "page")
    made = [entry(path, b"new " + path.encode(), "755" if path == "run" else "644") for path in wanted]
    made = [replace(each, size={"huge": LARGEST + 1, "empty": 0}.get(each.path, each.size)) for each in made]
    base = Base(entries, copying=True, recorded=True)
    changes = compare(base, Manifest(tuple(made)))
    assert [name for name, _, _ in candidates(base, changes)] == ["new/page", "new/dir/page"]
    whole = replace(base, copying=False)
    assert candidates(whole, compare(whole, Manifest(tuple(made)))) == []


def test_what_they_would_cost_on_the_line(tmp_path: Path) -> None:
    """About what compressing them gives, from a part of them; below a megabyte nobody looks."""
    files: list[Candidate] = []
    for number in range(400):
        data = os.urandom(5000) + bytes(5000)
        (tmp_path / str(number)).write_bytes(data)
        files.append((f"new/{number}", entry(str(number), data), entry(str(number))))
    assert wire_bytes(tmp_path, files[:100], "zstd") == 0
    for codec in ("zstd", "gzip"):
        assert 1_900_000 < wire_bytes(tmp_path, files, codec) < 2_300_000
    (tmp_path / "200").unlink()
    with pytest.raises(DeployFailed, match="changed while"):
        wire_bytes(tmp_path, files, "zstd")


@pytest.mark.parametrize(
    ("stored", "wire", "asked"),
    [
        (100_000, 5_000_000, True),
        (100_000, 1_300_000, True),
        (100_000, 1_200_000, False),
        (3_000_000, 6_000_000, False),
        (0, 50_000_000, False),
        (100_000, 0, False),
    ],
)
def test_when_the_host_is_asked(stored: int, wire: int, asked: bool) -> None:
    """When a megabyte is to gain, and twice what has to be fetched for it; and something is there to fetch."""
    host = Host()
    known = ask(host.perform, stored, wire, [7_000] * 40_000)
    assert (host.asked, known) == ((["signatures"], Known(b"stored")) if asked else ([], NOTHING))


def test_what_has_outgrown_its_use_is_made_anew() -> None:
    """Without asking; and a host that cannot rebuild answers without signatures."""
    host = Host(data=None)
    assert ask(host.perform, 1_000_000, 50_000_000, [7_000] * 1000) == Known(outgrown=True)
    assert host.asked == []
    assert ask(host.perform, 100_000, 50_000_000, [7_000] * 40_000) == NOTHING


def test_a_script_makes_the_new_files(tmp_path: Path) -> None:
    """With a list of their hash sums; and all are signed, by what is new in them."""
    pages = Pages(tmp_path, 5)
    patches = pages.patches()
    sums, scripts = records(patches)
    assert sums == "".join(f"{wanted.digest}  {name}\n" for name, wanted, _ in pages.files)
    for name, script in zip(pages.old, scripts, strict=True):
        assert rebuilt(pages.old[name], script) == (name.encode(), pages.new[name])
        assert len(script) < 0.3 * len(pages.new[name])
    (stored,) = pages.signing.more().values()
    assert set(decode(stored) or ()) == {key(wanted.digest) for _, wanted, _ in pages.files}


def test_hosts_that_have_the_same_share_the_search(tmp_path: Path) -> None:
    """From two threads at once, each gets the whole script."""
    pages = Pages(tmp_path, 30)
    patches = pages.patches(hosts=2)
    made: list[tuple[str, list[bytes]]] = []
    threads = [threading.Thread(target=lambda: made.append(records(patches))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made[0] == made[1] == records(pages.patches())


def test_only_known_contents_are_rebuilt(tmp_path: Path) -> None:
    """A page whose old contents nobody signed is sent with the others."""
    pages = Pages(tmp_path, 3)
    del pages.known[key(pages.files[1][2].digest)]
    assert list(pages.patches().sent) == ["new/0.html", "new/2.html"]


def test_the_search_ends_where_nothing_is_found(tmp_path: Path) -> None:
    """After a hundred pages that have nothing in common with what is there, the others go as they are."""
    pages = Pages(tmp_path, 110)
    other = sign(b"something else\n" * 300)
    pages.known = dict.fromkeys(pages.known, other) | {key(pages.files[-1][2].digest): sign(pages.old["109.html"])}
    _, scripts = records(pages.patches())
    assert scripts[-1] == b"109.html\1\1" + pages.new["109.html"] + b"\1"


def mend(patches: Patches, said: list[str]) -> Mend:
    def contents(batch: tuple[tuple[str, Entry], ...]) -> Contents:
        said.append(",".join(name for name, _ in batch))
        return Contents(Path("/nowhere"), (), {}, TIME, "gzip", lambda _read, _sent: None)

    return Mend(patches, contents, said.append)


def test_what_is_not_right_is_sent_whole(tmp_path: Path) -> None:
    """Only what the host names, or everything; names that were not in the script are none of its business."""
    pages = Pages(tmp_path, 3)
    for facts, names in (
        ((), ""),
        ((("unpatched", b"new/1.html\nnew/../../x"),), "new/1.html"),
        ((("unpatched_all", b"yes"),), "new/0.html,new/1.html,new/2.html"),
    ):
        said: list[str] = []
        body = mend(pages.patches(), said)
        body.hear(Reply(facts))
        assert list(gzip.decompress(b"".join(body.chunks())))
        warning = [f"{names.count(',') + 1} of the changed files could not be rebuilt on the host and were sent whole"]
        assert said == [*(warning if names else []), names]


def test_files_that_are_no_texts_any_more_are_no_surprise(tmp_path: Path) -> None:
    """They are not in the script, so the host misses them; they are sent without a warning."""
    pages = Pages(tmp_path, 2)
    data = pages.new["1.html"][:-1] + b"\0"
    (tmp_path / "1.html").write_bytes(data)
    patches = pages.patches()
    assert len(records(patches)[1]) == 1
    said: list[str] = []
    body = mend(patches, said)
    body.hear(Reply((("unpatched", b"new/1.html"),)))
    list(body.chunks())
    assert said == ["new/1.html"]


def test_the_last_batch_waits_for_the_verdict(tmp_path: Path) -> None:
    """With empty pieces meanwhile, at which the sender notices that nobody listens any more."""
    body = mend(Pages(tmp_path, 1).patches(), [])
    pieces = body.chunks()
    assert next(pieces) == b""
    body.hear(Reply())
    assert next(pieces) != b""


def test_progress_counts_files_and_the_line(tmp_path: Path) -> None:
    """Bytes of the pages that were read, and of the stream that was sent."""
    pages = Pages(tmp_path, 20)
    seen: list[tuple[int, int]] = []
    patch = Patch(pages.patches(), "gzip", lambda *both: seen.append(both))
    sent = b"".join(patch.chunks())
    assert seen[-1] == (sum(map(len, pages.new.values())), len(sent))
