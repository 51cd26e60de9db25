"""What every strategy's deploys need of a host, judged for `deployer check` out of the facts of host/look.sh. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from deployer.command import quote
from deployer.finding import Finding, error, fine, warning
from deployer.plan import Reply
from deployer.release import short

__all__ = [
    "About",
    "Seen",
    "clock_finding",
    "disk_finding",
    "history_findings",
    "inodes_finding",
    "lock_finding",
    "parent_finding",
    "read_about",
    "size_text",
    "state_finding",
]

CLOCK_SECONDS = 60
ENOUGH = 0.1
"""The share of blocks and inodes that should be free."""
FULL_KILOBYTES = 512
STATE_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Seen:
    """A host's reply to ``check``, and between which Unix seconds of this machine it was made.

    ``place`` is the absolute path of what is deployed there.
    """

    app: str
    place: str
    reply: Reply
    asked: float
    answered: float

    @property
    def parent(self) -> str:
        """The directory that the place is in."""
        return self.place.rpartition("/")[0] or "/"

    @property
    def root(self) -> str:
        """Where the app's releases and state are."""
        parent, _, name = self.place.rpartition("/")
        return f"{parent}/.deployer/{name}"

    @property
    def user(self) -> str:
        """Who is logged in on the host."""
        return self.reply.text("user")


@dataclass(frozen=True, slots=True)
class About:
    """A directory on the host: see ``about`` in look.sh."""

    uid: str
    owner: str
    mode: int
    device: str
    writable: bool


def read_about(seen: Seen, name: str) -> About | None:
    """The fact of that name (parent, deployer, root, state, …); None when there is no such directory."""
    fields = seen.reply.text(name).split(" ")
    if len(fields) != 5 or not re.fullmatch("[0-7]+", fields[2]):
        return None
    return About(fields[0], fields[1], int(fields[2], 8), fields[3], fields[4] == "yes")


def clock_finding(seen: Seen) -> Finding:
    """Whether the host's clock is like this machine's."""
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
    units = ((86400, "days"), (3600, "h"), (60, "min"))
    text = next((f"{amount // size} {name}" for size, name in units if amount // size > 1), f"{amount} s")
    return f"{text} {'ahead of' if seconds > 0 else 'behind'}"


def parent_finding(seen: Seen) -> Finding:
    """Whether the directory above is there, and can be written to."""
    parent, word = seen.parent, quote(seen.parent)
    own = f"sudo chown {quote(seen.user)} {word}"
    if seen.reply.text("parent_is") == "file":
        return error("parent", f"{parent} is not a directory", f"move it away, then sudo mkdir {word} && {own}")
    about = read_about(seen, "parent")
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


def state_finding(seen: Seen) -> Finding:
    """Of ``.deployer`` and what is in it: see ``make_directories`` in state.sh for how they are made."""
    above, root, state = (read_about(seen, name) for name in ("deployer", "root", "state"))
    if above is None:
        return fine("state", f"{seen.root} is not there yet: the first deploy makes it")
    if root is None and not above.writable:
        found = f"{_above(seen)} belongs to {above.owner}, and {seen.user} has no directory in it yet"
        return error("state", found, f"sudo install -d -m 711 -o {quote(seen.user)} {quote(seen.root)}")
    for about, path in ((root, seen.root), (state, f"{seen.root}/state")):
        if about and not about.writable:
            found = f"{path} belongs to {about.owner}, not to {seen.user}"
            return error("state", found, f"sudo chown -R {quote(seen.user)} {quote(path)}, or log in as {about.owner}")
    parent = read_about(seen, "parent")
    for about, path in ((root, seen.root), (state, f"{seen.root}/state")):
        if about and parent and about.device != parent.device:
            found = f"{path} is on another file system than {seen.parent}, so no switch could be one step"
            return error("state", found, f"put it back there, or if it is a mount: sudo umount {quote(path)}")
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
        found = f"{seen.place} belongs to the app {app!r} on this host, not to {seen.app!r}"
        return error("state", found, "choose another place, or that app's name: --app", code=2)
    if version and version != STATE_VERSION:
        found = f"the state in {seen.root}/state was written by another deployer (version {version})"
        return error("state", found, "use that one: pip install --upgrade deployer")
    return None


def _modes(seen: Seen, above: About, root: About | None, state: About | None) -> Finding | None:
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


def disk_finding(seen: Seen, live: float = 0) -> Finding:
    """The space of the directory above; ``live`` is the live release's size in bytes."""
    table = _table(seen.reply.text("blocks"))
    if table is None:
        return fine("disk", "df does not say how much space there is")
    total, free = table
    found = f"{size_text(free)} of {size_text(total)} free"
    mend = "df -h; remove what nobody needs, or keep fewer releases: --keep"
    if free < FULL_KILOBYTES:
        return error("disk", f"the disk of {seen.parent} is full: {found}", mend)
    if free < 2 * live / 1024:
        return warning("disk", f"{found}, less than twice the live release ({size_text(live / 1024)})", mend)
    return warning("disk", found, mend) if free < ENOUGH * total else fine("disk", found)


def size_text(kilobytes: float) -> str:
    """Kilobytes of 1024 bytes for people, who count in thousands."""
    size = kilobytes * 1.024
    for unit in ("kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def inodes_finding(seen: Seen, live: int = 0) -> Finding:
    """How many files the directory above can still hold; ``live`` is how many the live release has."""
    table = _table(seen.reply.text("inodes"))
    if table is None:
        return fine("inodes", "this file system does not count them")
    total, free = table
    found = f"{free:,} of {total:,} free"
    mend = "df -i; remove directories with many small files, or keep fewer releases: --keep"
    if not free:
        return error("inodes", f"{seen.parent} can hold no more files: {found}", mend)
    if free < 2 * live:
        return warning("inodes", f"{found}, less than twice the live release's {live:,} files", mend)
    return warning("inodes", found, mend) if free < ENOUGH * total else fine("inodes", found)


def lock_finding(seen: Seen) -> Finding:
    """Who holds the lock, and whether that one still lives."""
    owner, stale = seen.reply.text("lock"), seen.reply.text("lock_stale")
    if seen.reply.raw("lock") is None:
        return fine("lock", "free")
    if stale:
        return warning(
            "lock", f"left by a deploy that has ended ({stale}): {owner}", "deployer run (it takes the lock over)"
        )
    return warning("lock", f"held by {owner}", "wait for that deploy, or take its lock away: deployer unlock")


def history_findings(seen: Seen) -> Iterator[Finding]:
    """Of deploys that were cut off, and releases that failed; nothing where all went well."""
    reply = seen.reply
    pending = short(reply.text("pending").split(" ")[0])
    if pending and (reply.raw("lock") is None or reply.text("lock_stale")):
        found = f"a deploy of {pending} was interrupted"
        yield warning("interrupted", found, "deployer run (it finishes or undoes that first)")
    if failed := [short(name) for name in reply.every("failed")]:
        found = f"kept, because it failed its gate: {', '.join(failed)}"
        yield warning("failed", found, f"deployer logs {failed[-1]} (the next good deploys remove it)")
