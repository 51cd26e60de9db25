"""Signing: every text once, for all hosts, and what of it is stored."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from deployer.static import signing
from deployer.static.manifest import Entry, Kind
from deployer.static.signatures import LARGEST, decode, frame, key, sign
from deployer.static.signing import Signing
from tests.unit.test_signatures import page


def source(folder: Path, files: dict[str, bytes]) -> list[Entry]:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [Entry(name, Kind.FILE, "644", len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()]


def test_texts_are_signed_by_the_frame_of_all(tmp_path: Path) -> None:
    """What is no text has no signature; what cannot be read yet is not in the sample."""
    pages = {f"{number}.html": page(number) for number in range(10)}
    entries = source(tmp_path, pages | {"a.png": b"\0" * 50, "large.txt": b"x" * (LARGEST + 1), "gone": b"gone"})
    (tmp_path / "gone").unlink()
    made = Signing(tmp_path, entries)
    for entry in entries[:-1]:
        made.see(entry, (tmp_path / entry.path).read_bytes())
    ((name, stored),) = made.more().items()
    assert name == "signatures.more"
    assert decode(stored) == {
        key(entry.digest): sign(page(n), frame(pages.values())) for n, entry in enumerate(entries[:10])
    }


def test_a_file_is_signed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when several hosts get it, or it is there under several names."""
    (entry,) = source(tmp_path, {"a": page(1)})
    made = Signing(tmp_path, [entry])
    made.see(entry, page(1))
    monkeypatch.setattr(signing, "sign", None)
    made.see(entry, page(1))


def test_what_is_of_no_use_any_more_goes(tmp_path: Path) -> None:
    """Where less than half of what the host stores is of the new release's files, the store is written anew."""
    entries = source(tmp_path, {f"{number}": page(number) for number in range(4)})
    known = {key(entry.digest): b"" for entry in entries[1:3]}
    made = Signing(tmp_path, entries)
    made.see(entries[0], page(0))
    for others, name in ((2, "signatures.more"), (3, "signatures")):
        store = known | {bytes([number]) * 8: b"" for number in range(others)}
        ((found, stored),) = made.compacted(store, entries).items()
        assert found == name
        names = {key(entry.digest) for entry in (entries[:1] if others == 2 else entries[:3])}
        assert set(decode(stored) or ()) == names


def test_a_store_is_made_anew_from_the_source(tmp_path: Path) -> None:
    """Of all its texts, those too that are not sent."""
    entries = source(tmp_path, {"a": page(1), "b": page(2), "c.png": b"\0" * 9, "empty": b""})
    made = Signing(tmp_path, entries[:1])
    ((name, stored),) = made.renewed(entries).items()
    assert (name, set(decode(stored) or ())) == ("signatures", {key(entry.digest) for entry in entries[:2]})
