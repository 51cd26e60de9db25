"""What `deployer check` says of the target on a host. Pure."""

from __future__ import annotations

from deployer.command import quote
from deployer.finding import Finding, error, fine, warning
from deployer.premises import Seen, read_about
from deployer.release import short

__all__ = ["target_finding"]

STICKY = 0o1000


def target_finding(seen: Seen) -> Finding:
    """What is at the target, and whether it is whole."""
    target, word = seen.place, quote(seen.place)
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
    target, reply = seen.place, seen.reply
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
            f"{seen.place} belongs to {about.owner}, in a directory with the sticky bit: {seen.user} cannot replace it"
        )
        return error("target", found, f"sudo chown -R {quote(seen.user)} {quote(seen.place)}")
    found = f"{seen.place} is a plain directory, which the first deploy keeps as the first release"
    if about and about.owner != seen.user and not about.writable:
        found = f"{found}; it belongs to {about.owner}, so it is copied"
        return warning("target", found, f"sudo chown -R {quote(seen.user)} {quote(seen.place)}")
    if not seen.reply.text("exchange"):
        found = f"{found}; no tool here exchanges two names in one step, so visitors may miss it for 2 ms, once"
        return warning("target", found, "sudo apt-get install python3 (or perl)")
    return fine("target", found)
