"""What `deployer check` says of the directories on a host: the target, the one that it is in, and ``.deployer``. Pure."""

from __future__ import annotations

from deployer.command import quote
from deployer.finding import Finding, error, fine, warning
from deployer.release import short
from deployer.static.seen import About, Seen
from deployer.static.seen import about as read_about

__all__ = ["parent_finding", "state_finding", "target_finding"]

STATE_VERSION = "1"
STICKY = 0o1000


def parent_finding(seen: Seen) -> Finding:
    """Whether the target's directory is there, and can be written to."""
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


def target_finding(seen: Seen) -> Finding:
    """What is at the target, and whether it is whole."""
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
    about, parent = read_about(seen, "target"), read_about(seen, "parent")
    if about and parent and parent.mode & STICKY and seen.user not in {"root", about.owner, parent.owner}:
        found = (
            f"{seen.target} belongs to {about.owner}, in a directory with the sticky bit: {seen.user} cannot replace it"
        )
        return error("target", found, f"sudo chown -R {quote(seen.user)} {quote(seen.target)}")
    found = f"{seen.target} is a plain directory, which the first deploy keeps as the first release"
    if about and about.owner != seen.user and not about.writable:
        found = f"{found}; it belongs to {about.owner}, so it is copied"
        return warning("target", found, f"sudo chown -R {quote(seen.user)} {quote(seen.target)}")
    if not seen.reply.text("exchange"):
        found = f"{found}; no tool here exchanges two names in one step, so visitors may miss it for 2 ms, once"
        return warning("target", found, "sudo apt-get install python3 (or perl)")
    return fine("target", found)


def state_finding(seen: Seen) -> Finding:
    """Of ``.deployer`` and what is in it: see ``make_state`` in site.sh for how they are made."""
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
        found = f"{seen.target} belongs to the app {app!r} on this host, not to {seen.app!r}"
        return error("state", found, "choose another target, or that app's name: --target, --app", code=2)
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
