"""What `deployer check` says of a host, out of the facts that its program told. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from deployer.command import quote
from deployer.finding import Finding, error, fine, warning
from deployer.plan import Reply
from deployer.release import short
from deployer.static.mounts import container_findings

__all__ = ["Seen", "host_findings"]

CLOCK_SECONDS = 60
ENOUGH = 0.1
"""The share of blocks and inodes that should be free."""
FULL_KILOBYTES = 512
STATE_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Seen:
    """A host's reply to ``check``, and between which Unix seconds of this machine it was made."""

    app: str
    target: str
    reply: Reply
    asked: float
    answered: float

    @property
    def parent(self) -> str:
        """The directory that the target is in."""
        return self.target.rpartition("/")[0] or "/"

    @property
    def root(self) -> str:
        """Where the app's releases and state are."""
        parent, _, name = self.target.rpartition("/")
        return f"{parent}/.deployer/{name}"

    @property
    def user(self) -> str:
        """Who is logged in on the host."""
        return self.reply.text("user")


@dataclass(frozen=True, slots=True)
class _About:
    """A directory on the host: see ``about`` in check.sh."""

    uid: str
    owner: str
    mode: int
    device: str
    writable: bool


def _about(seen: Seen, name: str) -> _About | None:
    fields = seen.reply.text(name).split(" ")
    if len(fields) != 5 or not re.fullmatch("[0-7]+", fields[2]):
        return None
    return _About(fields[0], fields[1], int(fields[2], 8), fields[3], fields[4] == "yes")


def host_findings(seen: Seen) -> Iterator[Finding]:
    """Everything about the host, in the order in which it matters."""
    yield _clock(seen)
    yield _tools(seen)
    yield _parent(seen)
    yield _target(seen)
    yield _state(seen)
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
    return fine("tools", f"{shell}, {kind}, {compression}")


def _parent(seen: Seen) -> Finding:
    parent, word = seen.parent, quote(seen.parent)
    own = f"sudo chown {quote(seen.user)} {word}"
    if seen.reply.text("parent_is") == "file":
        return error("parent", f"{parent} is not a directory", f"move it away, then sudo mkdir {word} && {own}")
    about = _about(seen, "parent")
    if about is None:
        return error(
            "parent", f"{parent} does not exist, or {seen.user} may not enter it", f"sudo mkdir -p {word} && {own}"
        )
    owner = f"belongs to {about.owner}, mode {about.mode:o}"
    if seen.reply.text("read_only"):
        return error(
            "parent", f"{parent} is on a file system that is mounted read-only", f"sudo mount -o remount,rw {word}"
        )
    if not about.writable:
        return error("parent", f"{seen.user} cannot write to {parent}, which {owner}", own)
    return fine("parent", f"{parent} {owner}")


def _target(seen: Seen) -> Finding:
    target, word = seen.target, quote(seen.target)
    match seen.reply.text("kind"):
        case "file":
            return error("target", f"{target} is a file", f"mv {word} {quote(target + '.old')}")
        case "mount":
            found = f"{target} is a mount point, which cannot be renamed"
            return error("target", found, f"choose a target in it: --target {quote(target + '/current')}")
        case "link":
            return _link(seen)
        case "directory":
            return _plain(seen)
    return fine("target", f"{target} is not there yet: the first deploy makes it")


def _link(seen: Seen) -> Finding:
    target, reply = seen.target, seen.reply
    name = target.rpartition("/")[2]
    if not reply.text("link").startswith(f".deployer/{name}/releases/"):
        found = f"{target} is a link that deployer did not make, to {reply.text('link')}"
        return error("target", found, f"rm {quote(target)}")
    release = short(reply.text("live"))
    if not reply.text("present"):
        found = f"{target} leads to {release}, which is gone: visitors get nothing"
        return error("target", found, "deployer run")
    if not reply.text("sealed"):
        found = f"somebody wrote into the live release {release}, or took something away"
        return warning("target", found, "deployer run (it hashes that release again and puts it right)")
    return fine("target", f"{target} serves {release}, whole")


def _plain(seen: Seen) -> Finding:
    about = _about(seen, "target")
    found = f"{seen.target} is a plain directory, which the first deploy keeps as the first release"
    if about and about.owner != seen.user and not about.writable:
        found = f"{found}; it belongs to {about.owner}, so it is copied"
        return warning("target", found, f"sudo chown -R {quote(seen.user)} {quote(seen.target)}")
    if not seen.reply.text("exchange"):
        found = f"{found}; no tool here exchanges two names in one step, so visitors may miss it for 2 ms, once"
        return warning("target", found, "sudo apt-get install python3 (or perl)")
    return fine("target", found)


def _state(seen: Seen) -> Finding:
    """Of ``.deployer`` and what is in it: see ``make_state`` in site.sh for how they are made."""
    above, root, state = (_about(seen, name) for name in ("deployer", "root", "state"))
    if above is None:
        return fine("state", f"{seen.root} is not there yet: the first deploy makes it")
    # Another app's .deployer may be another user's, as long as this app's own directory is ours.
    for about, path in ((root, seen.root), (state, f"{seen.root}/state")) if root else ((above, _above(seen)),):
        if about and not about.writable:
            found = f"{path} belongs to {about.owner}, not to {seen.user}"
            return error("state", found, f"sudo chown -R {quote(seen.user)} {quote(path)}, or log in as {about.owner}")
    parent = _about(seen, "parent")
    for about, path in ((root, seen.root), (state, f"{seen.root}/state")):
        if about and parent and about.device != parent.device:
            found = f"{path} is on another file system than {seen.parent}, so no switch could be one step"
            return error("state", found, f"unmount it: sudo umount {quote(path)}")
    return (
        _owned(seen)
        or _modes(seen, above, root, state)
        or fine("state", f"{seen.root}, owned and closed as it should be")
    )


def _above(seen: Seen) -> str:
    return seen.root.rpartition("/")[0]


def _owned(seen: Seen) -> Finding | None:
    app, version = seen.reply.text("app"), seen.reply.text("version")
    if app and app != seen.app:
        found = f"{seen.target} belongs to the app {app!r} on this host, not to {seen.app!r}"
        return error("state", found, "choose another target, or that app's name: --target, --app", code=2)
    if version and version != STATE_VERSION:
        found = f"the state in {seen.root}/state was written by another deployer (version {version})"
        return error("state", found, "use that one: pip install --upgrade deployer")
    return None


def _modes(seen: Seen, above: _About, root: _About | None, state: _About | None) -> Finding | None:
    for about, path in ((above, _above(seen)), (root, seen.root)):
        if about and about.mode & 0o066:
            found = f"{path} has mode {about.mode:o}, so others can list the releases in it"
            return warning("state", found, f"chmod 711 {quote(path)}")
    if state and state.mode & 0o077:
        path = f"{seen.root}/state"
        return warning("state", f"{path} has mode {state.mode:o}, so others can read it", f"chmod 700 {quote(path)}")
    return None


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
