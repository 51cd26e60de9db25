"""The upload: every step and request that brings a release to a host, up to its switch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from deployer.parallel import together
from deployer.plan import Body, Request, Step, step_name
from deployer.ports import Answer, Reporter
from deployer.release import ReleaseName
from deployer.static import requests
from deployer.static.changes import Base, Changes
from deployer.static.facts import Facts
from deployer.static.manifest import Entry, Manifest, encode
from deployer.static.once import Frames, Once, Shelf
from deployer.static.patching import NOTHING, Candidate, Known, Mend, Patch, Patches, ask, candidates, wire_bytes
from deployer.static.retain import Retained
from deployer.static.retain import encode as encode_retained
from deployer.static.signatures import decode
from deployer.static.signing import Signing
from deployer.static.stream import Contents, Names, Tree, batches

__all__ = ["Made", "Part", "Upload", "uploads"]


@dataclass(frozen=True, slots=True)
class Made:
    """What is made out of one base: the wanted files, and beside them those ``retained`` of the release before.

    ``commit`` is what was built (empty: unknown).
    """

    name: ReleaseName
    commit: str
    wanted: Manifest
    whole: Manifest
    retained: tuple[Retained, ...]
    changes: Changes
    modified: int
    """The modification time of what is new in it, in Unix seconds."""

    def record(self) -> dict[str, bytes]:
        """The files of its record on the host."""
        about = {
            "identifier": self.name.identifier,
            "digest": self.wanted.digest,
            "commit": self.commit,
            "files": len(self.wanted.files),
            "bytes": self.wanted.bytes_total,
            "time": self.name.time,
            "mtime": self.modified,
        }
        lines = "".join(f"{key} {value}\n" for key, value in about.items())
        retained = {"retained": encode_retained(self.retained)} if self.retained else {}
        return {"facts": lines.encode(), "list.gz": encode(self.wanted), **retained}


@dataclass(frozen=True, slots=True)
class Part:
    """One host's part: what it said, and what is made of that."""

    answer: Answer
    facts: Facts
    base: Base
    made: Made


def uploads(source: Path, parts: Sequence[Part], *, signing: bool) -> tuple[Upload, ...]:
    """What is sent to each host; those that have the same, and of which the same is known, share one.

    Without ``signing``, no host gets signatures or is asked for its own: where contents do not travel, that is no gain.
    """
    if not signing:
        same = {id(part.made): Upload(source, part.made) for part in parts}
        return tuple(same[id(part.made)] for part in parts)
    files = {id(part.made): candidates(part.base, part.made.changes) for part in parts}
    stored = {id(part.made) for part in parts if part.facts.signatures}
    wire = {each: wire_bytes(source, files[each], parts[0].facts.codec) if each in stored else 0 for each in files}

    def asked(part: Part) -> Known:
        sizes = [entry.size for entry in part.made.wanted.files]
        return ask(part.answer.session.perform, part.facts.signatures, wire[id(part.made)], sizes)

    everywhere = zip(parts, together([partial(asked, part) for part in parts]), strict=True)
    keys = [(id(part.made), known, part.facts.codec) for part, known in everywhere]
    hosts = Counter(keys)
    signer = Signing(source, max((part.made.changes.sent for part in parts), key=len).values())
    found: dict[tuple[int, Known, str], Upload] = {}
    for part, key in zip(parts, keys, strict=True):
        if key not in found:
            found[key] = Upload(source, part.made, signer, files[key[0]], key[1], hosts=hosts[key])
    return tuple(found[key] for key in keys)


class Upload:
    """A release for all ``hosts`` (their number) that have the same base and codec, and of which they know the same.

    Without ``signing``, they get no signatures. ``files`` are rebuilt as far as the host's signatures are ``known``.
    """

    def __init__(
        self,
        source: Path,
        made: Made,
        signing: Signing | None = None,
        files: Sequence[Candidate] = (),
        known: Known = NOTHING,
        *,
        hosts: int = 1,
    ) -> None:
        self._source = source
        self._made = made
        self._signing = signing
        self._hosts = hosts
        self._shelf = Shelf()
        self._bodies: dict[int, Once] = {}
        self._signatures = decode(known.data) if known.data is not None else None
        # A damaged store is made anew.
        self._renewing = known.outgrown or (known.data is not None and self._signatures is None)
        self._patches: Patches | None = None
        if signing and self._signatures:
            patches = Patches(source, files, self._signatures, signing, hosts=hosts)
            self._patches = patches if patches.sent else None

    def steps(
        self, facts: Facts, shared: tuple[str, ...], reporter: Reporter, totals: dict[str, int]
    ) -> tuple[Step, ...]:
        """Upload and assemble on one host; ``totals`` counts the bytes that are sent to it."""
        made, changes = self._made, self._made.changes
        tree = Tree(made.whole, changes, self._record, made.modified, facts.codec)
        begin = requests.remove(Names(changes.gone)) if changes.copying else requests.discard()
        forget = (requests.forget(Names(changes.forgotten)),) if changes.forgotten else ()
        earlier = f", {len(changes.resumed)} have arrived before" if changes.resumed else ""
        sending = _Sending(self._source, made, self._signing, facts, reporter, totals, self._once)
        return (
            Step(
                "upload",
                f"{len(changes.sent)} of {len(made.wanted.files)} files{earlier}",
                (begin, *forget, *sending.requests(self._patches)),
            ),
            Step(
                "assemble",
                f"{len(made.wanted.files)} files, {len(changes.copied)} copied on the host",
                (
                    *map(requests.share, shared),
                    requests.tree(facts.codec, made.name.directory, tree.count, tree),
                ),
            ),
        )

    def _once(self, number: int, contents: Contents) -> Body:
        """The batch of that number, as it is sent to each of the hosts."""
        if self._hosts == 1:
            return contents
        if number not in self._bodies:
            self._bodies[number] = Once(
                lambda progress: replace(contents, progress=progress).chunks(), self._hosts, self._shelf
            )
        return Frames(self._bodies[number], contents.progress)

    def _record(self) -> dict[str, bytes]:
        return self._made.record() | self._signed()

    def _signed(self) -> dict[str, bytes]:
        if self._signing is None:
            return {}
        self._signing.read(self._made.changes.resumed)
        if self._renewing:
            return self._signing.renewed(self._made.wanted.files)
        if self._signatures is None:
            return self._signing.more()
        return self._signing.compacted(self._signatures, self._made.whole.files)


class _Sending:
    """What one host is sent: patches, contents in batches, and in the end what patches could not do."""

    def __init__(
        self,
        source: Path,
        made: Made,
        signing: Signing | None,
        facts: Facts,
        reporter: Reporter,
        totals: dict[str, int],
        once: Callable[[int, Contents], Body],
    ) -> None:
        self._source = source
        self._made = made
        self._signing = signing
        self._facts = facts
        self._reporter = reporter
        self._totals = totals
        self._once = once
        self._stamp = time.strftime("%Y%m%d%H%M.%S", time.gmtime(made.modified))
        self._total = sum(entry.size for entry in made.changes.sent.values())
        self._before = 0

    def requests(self, patches: Patches | None) -> Iterator[Request]:
        codec, changes = self._facts.codec, self._made.changes
        mend = None
        if patches is not None:
            mend = Mend(patches, partial(self._contents, {}), self._warn)
            patch = Patch(patches, codec, self._progress(patches.sent.values()))
            yield requests.patch(codec, self._stamp, len(patches.sent), patch, mend.hear)
            changes = replace(changes, sent={n: e for n, e in changes.sent.items() if n not in patches.sent})
        copied = changes.copied
        if changes.sent or copied or mend is None:
            for number, batch in enumerate(batches(changes)):
                yield requests.contents(codec, self._stamp, self._once(number, self._contents(copied, batch)))
                copied = {}
        if mend is not None:
            yield requests.contents(codec, self._stamp, mend)

    def _contents(self, copied: dict[str, str], batch: tuple[tuple[str, Entry], ...]) -> Contents:
        progress = self._progress(entry for _, entry in batch)
        body = Contents(self._source, batch, copied, self._made.modified, self._facts.codec, progress)
        return replace(body, seen=self._signing.see) if self._signing else body

    def _progress(self, entries: Iterable[Entry]) -> _Progress:
        before = self._before
        self._before += sum(entry.size for entry in entries)
        return _Progress(self._reporter, step_name("upload", self._facts.host), self._totals, before, self._total)

    def _warn(self, text: str) -> None:
        host = self._facts.host
        self._reporter.warning(f"{host}: {text}" if host else text)


class _Progress:
    """Adds up what the batches of one upload have read and sent."""

    def __init__(self, reporter: Reporter, step: str, totals: dict[str, int], before: int, total: int) -> None:
        self._reporter = reporter
        self._step = step
        self._totals = totals
        self._before = before
        self._total = total
        self._sent = 0

    def __call__(self, read: int, sent: int) -> None:
        self._totals["bytes_uploaded"] += sent - self._sent
        self._sent = sent
        self._reporter.progress(self._step, min(self._before + read, self._total), self._total)
