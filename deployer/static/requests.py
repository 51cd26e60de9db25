"""The verbs of the host's program, each as one function that gives a request."""

from __future__ import annotations

import math
from collections.abc import Callable

from deployer.journal import members
from deployer.plan import Body, Effect, Reply, Request

__all__ = [
    "break_lock",
    "check",
    "check_release",
    "conclude",
    "confirm",
    "contents",
    "copy",
    "discard",
    "facts",
    "forget",
    "inspect",
    "inventory",
    "lock",
    "log",
    "patch",
    "remove",
    "revert",
    "share",
    "show_log",
    "signatures",
    "site",
    "switch",
    "tree",
]


def site(app: str, target: str, nonce: str, label: str) -> Request:
    """Name the app, its target and this deploy; ``label`` tells others whose lock it is."""
    return Request("site", Effect.READ, (app, target, nonce, label))


def lock(wait: float, label: str) -> Request:
    """Take the lock, waiting up to ``wait`` seconds, and heal what a killed deploy left."""
    return Request("lock", Effect.WRITE, (str(math.ceil(wait)), members([("by", label)])))


def facts(digest: str) -> Request:
    """Ask for everything that a run must know; with the wanted digest live, only for that."""
    return Request("facts", Effect.READ, (digest,))


def inventory(release: str) -> Request:
    """Hash the files of a release anew."""
    return Request("inventory", Effect.READ, (release,))


def conclude(when: str = "unchanged") -> Request:
    """Unlock if ``facts`` found nothing to do, or ``always``."""
    return Request("conclude", Effect.WRITE, (when,))


def copy() -> Request:
    """Let ``facts`` begin the new release as a copy of the live one, made of links, if something is to change."""
    return Request("copy", Effect.WRITE)


def discard() -> Request:
    """Begin with nothing after all."""
    return Request("discard", Effect.WRITE)


def remove(body: Body) -> Request:
    """Remove the paths of ``body``, each ended by NUL, from the copy."""
    return Request("remove", Effect.WRITE, (), body)


def forget(body: Body) -> Request:
    """Remove the paths of ``body``, each ended by NUL, from what arrived before an earlier upload broke off."""
    return Request("forget", Effect.WRITE, (), body)


def signatures() -> Request:
    """Ask for the signatures that are stored of the live release; none where files cannot be rebuilt."""
    return Request("signatures", Effect.READ)


def patch(codec: str, stamp: str, count: int, body: Body, heard: Callable[[Reply], None]) -> Request:
    """Rebuild ``count`` files out of the live release's; ``heard`` is told which of them are not right."""
    return Request("patch", Effect.WRITE, (codec, stamp, str(count)), body, heard)


def contents(codec: str, stamp: str, body: Body) -> Request:
    """Send the contents that the host does not have; ``stamp`` is the release's time as ``touch -t`` takes it."""
    return Request("contents", Effect.WRITE, (codec, stamp), body)


def share(path: str) -> Request:
    """Make the server's own place for ``path``, with what the live site has there."""
    return Request("share", Effect.WRITE, (path,))


def tree(codec: str, release: str, count: int, body: Body) -> Request:
    """Build the release's directory, of ``count`` entries, out of links."""
    return Request("tree", Effect.WRITE, (codec, release, str(count)), body)


def switch(release: str, expected: str, **about: object) -> Request:
    """Put ``release`` live where ``expected`` is now (empty: nothing)."""
    return Request("switch", Effect.WRITE, (release, expected, members(about.items())))


def confirm(keep: int) -> Request:
    """The release is good: prune and unlock."""
    return Request("confirm", Effect.WRITE, (str(keep), ""))


def revert(why: str = "gate") -> Request:
    """The release is bad: switch back and unlock."""
    return Request("revert", Effect.WRITE, (members([("why", why)]),))


def log(release: str, body: Body) -> Request:
    """Store the deploy's output."""
    return Request("log", Effect.WRITE, (release,), body)


def inspect() -> Request:
    """Ask for releases, lock, journal and disk space."""
    return Request("inspect", Effect.READ)


def show_log(release: str) -> Request:
    """Ask for the stored output of a deploy."""
    return Request("show_log", Effect.READ, (release,))


def check(target: str) -> Request:
    """Ask for all that `deployer check` judges; needs no ``site`` before it, which would fail where something is wrong."""
    return Request("check", Effect.READ, (target,))


def check_release(release: str) -> Request:
    """Fail unless the release is as it was when it was built."""
    return Request("check_release", Effect.READ, (release,))


def break_lock(entry: str) -> Request:
    """Take away the lock entry of that name, and no other."""
    return Request("break", Effect.WRITE, (entry,))
