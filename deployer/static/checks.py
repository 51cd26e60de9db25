"""What `deployer check` says of a host, out of the facts that its program told. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deployer.finding import Finding, error, fine, warning
from deployer.release import short
from deployer.static.mounts import container_findings
from deployer.static.places import parent_finding, state_finding, target_finding
from deployer.static.seen import Seen

__all__ = ["host_findings"]

CLOCK_SECONDS = 60
ENOUGH = 0.1
"""The share of blocks and inodes that should be free."""
FULL_KILOBYTES = 512


def host_findings(seen: Seen) -> Iterator[Finding]:
    """Everything about the host, in the order in which it matters."""
    yield _clock(seen)
    yield _tools(seen)
    yield parent_finding(seen)
    yield target_finding(seen)
    yield state_finding(seen)
    if seen.reply.raw("parent") is not None:
        yield _disk(seen)
        yield _inodes(seen)
    yield _lock(seen)
    yield from _history(seen)
    yield from container_findings(seen.target, seen.reply)


def _clock(seen: Seen) -> Finding:
    now = seen.reply.number("now")
    # A second more: the host's clock was read in whole ones.
    off = now + 1 - seen.asked if now + 1 < seen.asked else max(0.0, now - seen.answered)
    if abs(off) <= CLOCK_SECONDS:
        return fine("clock", "like this machine's" if abs(off) < 2 else f"{_off(off)} this machine's")
    return warning(
        "clock",
        f"{_off(off)} this machine's; releases are named by the host's",
        "on whichever of the two is wrong: sudo timedatectl set-ntp true",
    )


def _off(seconds: float) -> str:
    amount = abs(round(seconds))
    days, hours, minutes = amount // 86400, amount // 3600, amount // 60
    text = (
        f"{days} days"
        if days > 1
        else f"{hours} h"
        if hours > 1
        else f"{minutes} min"
        if minutes > 1
        else f"{amount} s"
    )
    return f"{text} {'ahead of' if seconds > 0 else 'behind'}"


def _tools(seen: Seen) -> Finding:
    reply = seen.reply
    if missing := reply.every("missing"):
        mend = "sudo apt-get install coreutils findutils tar gzip (Alpine: apk add busybox)"
        return error("tools", f"the host has no {', '.join(missing)}", mend)
    if not reply.text("proc"):
        return error(
            "tools", "the host has no /proc file system, which the lock needs", "sudo mount -t proc proc /proc"
        )
    shell = reply.text("shell").rpartition("/")[2] or "a shell"
    tar = reply.text("tar")
    kind = "GNU tar" if "GNU tar" in tar else "BusyBox's tar" if "usybox" in tar.lower() else "tar"
    compression = "zstd" if reply.text("codec") == "zstd" else "gzip (zstd would send less)"
    rebuilding = "" if reply.text("awk") else ", no awk that counts bytes (it would save upload)"
    return fine("tools", f"{shell}, {kind}, {compression}{rebuilding}")


def _table(text: str) -> tuple[int, int] | None:
    """All and free, from a line of ``df -P``; None where it does not say."""
    line = re.search(r"\s([0-9]+)\s+[0-9]+\s+([0-9]+)\s+\S+\s+/", text)
    return (int(line[1]), int(line[2])) if line and int(line[1]) else None


def _disk(seen: Seen) -> Finding:
    table = _table(seen.reply.text("blocks"))
    if table is None:
        return fine("disk", "df does not say how much space there is")
    total, free = table
    live = seen.reply.number("live_bytes") / 1024
    found = f"{_size(free)} of {_size(total)} free"
    mend = "df -h; remove what nobody needs, or keep fewer releases: --keep"
    if free < FULL_KILOBYTES:
        return error("disk", f"the disk of {seen.parent} is full: {found}", mend)
    if free < 2 * live:
        return warning("disk", f"{found}, less than twice the live release ({_size(live)})", mend)
    return warning("disk", found, mend) if free < ENOUGH * total else fine("disk", found)


def _size(kilobytes: float) -> str:
    size = kilobytes * 1.024
    for unit in ("kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _inodes(seen: Seen) -> Finding:
    table = _table(seen.reply.text("inodes"))
    if table is None:
        return fine("inodes", "this file system does not count them")
    total, free = table
    live = seen.reply.number("live_files")
    found = f"{free:,} of {total:,} free"
    mend = "df -i; remove directories with many small files, or keep fewer releases: --keep"
    if not free:
        return error("inodes", f"{seen.parent} can hold no more files: {found}", mend)
    if free < 2 * live:
        return warning("inodes", f"{found}, less than twice the live release's {live:,} files", mend)
    return warning("inodes", found, mend) if free < ENOUGH * total else fine("inodes", found)


def _lock(seen: Seen) -> Finding:
    owner, stale = seen.reply.text("lock"), seen.reply.text("lock_stale")
    if seen.reply.raw("lock") is None:
        return fine("lock", "free")
    if stale:
        return warning(
            "lock", f"left by a deploy that has ended ({stale}): {owner}", "deployer run (it takes the lock over)"
        )
    return warning("lock", f"held by {owner}", "wait for that deploy, or take its lock away: deployer unlock")


def _history(seen: Seen) -> Iterator[Finding]:
    reply = seen.reply
    pending = short(reply.text("pending").split(" ")[0])
    if pending and (reply.raw("lock") is None or reply.text("lock_stale")):
        found = f"a deploy was interrupted at its switch to {pending}"
        yield warning("interrupted", found, "deployer run (it finishes or undoes that first)")
    if failed := [short(name) for name in reply.every("failed")]:
        found = f"kept, because it failed its gate: {', '.join(failed)}"
        yield warning("failed", found, f"deployer logs {failed[-1]} (the next good deploys remove it)")
