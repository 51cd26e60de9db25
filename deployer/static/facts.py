"""What the host says before a deploy, as values."""

from __future__ import annotations

from dataclasses import dataclass, replace

from deployer.errors import DeployFailed
from deployer.plan import Reply
from deployer.static.changes import Base
from deployer.static.manifest import Entry, Kind, decode
from deployer.static.retain import decode as decode_retained

__all__ = ["Facts", "read_arrived", "read_base", "read_facts", "warnings"]


@dataclass(frozen=True, slots=True)
class Facts:
    """The host before a deploy.

    ``host`` is its name among several (alone: empty), ``now`` its clock in Unix seconds, ``live`` the live release's
    directory name (empty: none), ``kind`` what the target is (link, directory, none), ``newest_time`` the latest
    modification time among the live files as far as it is known, ``signatures`` the bytes that it stores to rebuild files.
    ``free_bytes`` counts in what arrived before an earlier upload broke off.
    """

    now: int
    kind: str
    live: str
    newest: str
    unchanged: bool
    tampered: bool
    free_bytes: int
    codec: str
    exchange: str
    newest_time: int
    host: str = ""
    signatures: int = 0


def read_facts(reply: Reply, host: str = "") -> Facts:
    """The reply to ``facts`` of ``host``, which is its name among several."""
    return Facts(
        now=reply.number("now"),
        kind=reply.text("kind", "none"),
        live=reply.text("live"),
        newest=reply.text("newest"),
        unchanged=reply.text("unchanged") == "yes",
        tampered=reply.text("seal") == "broken",
        free_bytes=(reply.number("free_kilobytes") + reply.number("arrived_kilobytes")) * 1024,
        codec=reply.text("codec", "gzip"),
        exchange=reply.text("exchange"),
        newest_time=max(reply.number("newest_time"), reply.number("live_mtime")),
        host=host,
        signatures=reply.number("signatures"),
    )


def read_base(reply: Reply) -> Base | None:
    """What can be linked; None when the live release's manifest cannot be read and nothing of it was hashed anew."""
    base = _read_live(reply)
    return base and replace(base, arrived=read_arrived(reply))


def read_arrived(reply: Reply) -> dict[str, str]:
    """What arrived before an earlier upload broke off: names on the host with ``MODE/DIGEST``."""
    lines = ((mode, line) for mode in ("644", "755") for line in reply.text(f"arrived{mode}").split("\n"))
    parts = ((mode, *line.partition("  ./")) for mode, line in lines)
    return {name: f"{mode}/{digest}" for mode, digest, _, name in parts if name}


def _read_live(reply: Reply) -> Base | None:
    retained = decode_retained(reply.raw("retained") or b"")
    if (data := reply.raw("manifest")) is not None:
        try:
            entries = [*decode(data).entries, *(each.entry for each in retained)]
        except DeployFailed:
            return None
        copying = reply.text("copying") == "yes"
        return Base({entry.path: entry for entry in entries}, copying, recorded=True, retained=retained)
    if reply.raw("hashes") is None:
        return Base()
    return Base(_inventory(reply.text("hashes"), reply.text("stats")), retained=retained)


def warnings(facts: Facts, target: str) -> tuple[str, ...]:
    """What a person should know before a deploy to such a host."""
    found = []
    if facts.tampered:
        found.append(f"somebody wrote into the live release since it was deployed; {target} is put right")
    if facts.kind == "directory":
        gap = (
            ""
            if facts.exchange
            else (
                "; this host has no tool to exchange names in one step (mv --exchange, exch, python3, perl), "
                "so visitors may get a 404 for about 2 ms, this once"
            )
        )
        found.append(f"{target} is a plain directory: it is adopted as the first release{gap}")
    return tuple(found)


def _inventory(hashes: str, stats: str) -> dict[str, Entry]:
    digests = {}
    for line in hashes.split("\n"):
        digest, _, path = line.partition("  ./")
        if path:
            digests[path] = digest
    entries = {}
    for line in stats.split("\n"):
        about, _, path = line.partition(" ./")
        fields = about.split(" ")
        if path in digests and len(fields) == 3:
            entries[path] = Entry(path, Kind.FILE, fields[0], int(fields[1]), digests[path])
    return entries
