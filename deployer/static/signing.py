"""Signing what a release consists of, while its contents pass by on their way to the hosts."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from deployer.errors import DeployFailed
from deployer.static.manifest import Entry
from deployer.static.signatures import LARGEST, encode, frame, is_text, key, sign
from deployer.static.stream import read_whole

__all__ = ["Signing"]

MORE = "signatures.more"
"""In a release's record: signatures of what is new in it, for the host to put behind those of the live release."""
WHOLE = "signatures"
SAMPLE = 200
"""From so many texts the site's frame is learnt."""
SAMPLE_BYTES = 1 << 23


class Signing:
    """The signatures of one deploy, for all its hosts; each file is signed once.

    ``sent`` are the files from which the frame is learnt, when the first one is signed: those that are new.
    """

    def __init__(self, source: Path, sent: Iterable[Entry]) -> None:
        self._source = source
        self._sent = sent
        self._signing = threading.Lock()
        self._frame: frozenset[bytes] | None = None
        self._signatures: dict[bytes, bytes] = {}

    def see(self, entry: Entry, data: bytes) -> None:
        """Sign the file if it is a text, in whichever thread sends it first."""
        name = key(entry.digest)
        if name in self._signatures or not is_text(data):
            return
        with self._signing:
            if name not in self._signatures:
                if self._frame is None:
                    self._frame = frame(self._sample())
                self._signatures[name] = sign(data, self._frame)

    def read(self, files: Iterable[Entry]) -> None:
        """Sign ``files`` of the source that nobody sends."""
        for entry in files:
            if 0 < entry.size <= LARGEST and key(entry.digest) not in self._signatures:
                self.see(entry, read_whole(self._source, entry))

    def put(self, entry: Entry, signature: bytes) -> None:
        """The signature of a file is known from elsewhere."""
        with self._signing:
            self._signatures[key(entry.digest)] = signature

    def more(self) -> dict[str, bytes]:
        """For the record: what has been signed."""
        return {MORE: encode(self._signed())}

    def compacted(self, known: dict[bytes, bytes], files: Iterable[Entry]) -> dict[str, bytes]:
        """For the record: the same, with what of ``known`` is of these files, where most of it is of none any more."""
        names = {key(entry.digest) for entry in files}
        still = {name: signature for name, signature in known.items() if name in names}
        return self.more() if 2 * len(still) >= len(known) else {WHOLE: encode(still | self._signed())}

    def renewed(self, files: Iterable[Entry]) -> dict[str, bytes]:
        """For the record: the signatures of all ``files`` of the source, in place of what the host has."""
        self.read(files)
        return {WHOLE: encode(self._signed())}

    def _signed(self) -> dict[bytes, bytes]:
        with self._signing:
            return dict(self._signatures)

    def _sample(self) -> Iterator[bytes]:
        files = [entry for entry in self._sent if 0 < entry.size <= LARGEST]
        texts = size = 0
        for entry in files[:: max(1, len(files) // (2 * SAMPLE))]:
            try:
                data = read_whole(self._source, entry)
            except DeployFailed:
                continue  # whoever sends it says so
            size += len(data)
            if is_text(data):
                texts += 1
                yield data
            if texts == SAMPLE or size > SAMPLE_BYTES:
                return
