"""What `deployer check` says of a host, out of the facts that its program told. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from deployer.finding import Finding, error, fine
from deployer.premises import (
    Seen,
    clock_finding,
    disk_finding,
    history_findings,
    inodes_finding,
    lock_finding,
    parent_finding,
    state_finding,
)
from deployer.static.mounts import container_findings
from deployer.static.target import target_finding

__all__ = ["host_findings"]


def host_findings(seen: Seen) -> Iterator[Finding]:
    """Everything about the host, in the order in which it matters."""
    yield clock_finding(seen)
    yield _tools(seen)
    yield parent_finding(seen)
    yield target_finding(seen)
    yield state_finding(seen)
    if seen.reply.raw("parent") is not None:
        yield disk_finding(seen, seen.reply.number("live_bytes"))
        yield inodes_finding(seen, seen.reply.number("live_files"))
    yield lock_finding(seen)
    yield from history_findings(seen)
    yield from container_findings(seen.place, seen.reply)


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
