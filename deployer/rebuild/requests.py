"""The verbs of the host's program, each as one function that gives a request; some are those of every strategy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from deployer.host.requests import break_lock, inspect, lock, log, show_log, site
from deployer.journal import members
from deployer.plan import Body, Effect, Reply, Request

__all__ = [
    "accept",
    "adopt",
    "begin",
    "break_lock",
    "check",
    "command",
    "conclude",
    "cut",
    "facts",
    "finish",
    "images",
    "inspect",
    "lock",
    "log",
    "proxy",
    "render",
    "resolve",
    "retire",
    "revert",
    "show_log",
    "site",
    "start",
    "to_commit",
    "traefik",
    "up",
    "update",
    "use_images",
]


def facts(compose_file: str, traefik_directory: str, traefik_api: str) -> Request:
    """Ask for the checkout, the Compose project with its containers and images, and the proxy's files."""
    return Request("facts", Effect.READ, (compose_file, traefik_directory, traefik_api))


def check(
    app: str, path: str, compose_file: str, traefik_directory: str, traefik_api: str, words: Sequence[str]
) -> Request:
    """Ask for all that `deployer check` judges; needs no ``site`` before it, which would fail where something is wrong.

    ``words`` are lines ``program NAME`` and ``target NAME`` (of the checkout's Makefile): what is to be looked for.
    """
    arguments = (app, path, compose_file, traefik_directory, traefik_api, str(len(words)), *words)
    return Request("check", Effect.READ, arguments)


def resolve(ref: str, repository: str, credential: Body, *, early: bool = False) -> Request:
    """Ask the remote which commit ``ref`` is (empty: the head of the branch that is checked out).

    One that is ``early``, before the facts were judged, does not fail but answers nothing.
    """
    return Request("resolve", Effect.READ, (ref, repository, "early" if early else ""), credential)


def conclude() -> Request:
    """There was nothing to do: unlock."""
    return Request("conclude", Effect.WRITE, ("always",))


def begin(release: str, previous: str, record: Body, **about: object) -> Request:
    """From here on ``release`` is unfinished; an empty ``record`` means that the host has it."""
    return Request("begin", Effect.WRITE, (release, previous, members(about.items())), record)


def update(
    release: str, commit: str, refname: str, mode: str, repository: str, credential: Body, *, stash: bool
) -> Request:
    """Fetch ``commit`` and bring the checkout to it."""
    arguments = (release, commit, refname, mode, "yes" if stash else "", repository)
    return Request("update", Effect.WRITE, arguments, credential)


def to_commit(commit: str, heard: Callable[[Reply], None] | None = None) -> Request:
    """Bring the checkout to a commit that was deployed before, without the network."""
    return Request("to_commit", Effect.WRITE, (commit,), heard=heard)


def command(what: str, seconds: float, text: Body) -> Request:
    """Run a command in the checkout."""
    return Request("command", Effect.WRITE, (what, str(math.ceil(seconds))), text)


def images(release: str, rolled: Sequence[str], heard: Callable[[Reply], None]) -> Request:
    """Note and tag what was built, and ask for the Compose project as it is now; the services ``rolled`` are next."""
    return Request("images", Effect.WRITE, (release, " ".join(rolled)), heard=heard)


def use_images(release: str, heard: Callable[[Reply], None]) -> Request:
    """Let the Compose file's references mean the images of a kept release."""
    return Request("use_images", Effect.WRITE, (release,), heard=heard)


def render(rolled: Sequence[str], heard: Callable[[Reply], None]) -> Request:
    """Ask for the Compose project as it is now that checkout and images are there; the services ``rolled`` are next."""
    return Request("render", Effect.READ, (" ".join(rolled),), heard=heard)


def proxy(file: str, api: str, entry_point: str, seconds: float, template: Body) -> Request:
    """Hand over what deployer's file in Traefik's directory is made of."""
    return Request("proxy", Effect.WRITE, (file, api, entry_point, str(math.ceil(seconds))), template)


def traefik(directory: str, api: str) -> Request:
    """Ask for the files of Traefik's directory, and whether its API answers."""
    return Request("traefik", Effect.READ, (directory, api))


def adopt(files: Sequence[tuple[str, str, int]], texts: Body) -> Request:
    """Take services out of files: of each its name, the hash of what it says now, and the size of its new text.

    ``texts`` are the new texts, one behind the other. The host puts what ``proxy`` told into its own file first.
    """
    arguments = [str(each) for file in files for each in file]
    return Request("adopt", Effect.WRITE, (str(len(files)), *arguments), texts)


def start(services: Body) -> Request:
    """Start the new containers beside the old ones, and wait until they are good."""
    return Request("start", Effect.WRITE, (), services)


def cut() -> Request:
    """Cut over to the new containers."""
    return Request("cut", Effect.WRITE)


def up(seconds: float, text: Body) -> Request:
    """Run the command that replaces what runs."""
    return Request("up", Effect.WRITE, (str(math.ceil(seconds)),), text)


def accept(**about: object) -> Request:
    """The release is good and live; an interrupted deploy is finished from here on, not undone."""
    return Request("accept", Effect.WRITE, (members(about.items()),))


def retire(drain: float) -> Request:
    """Remove the old containers once their requests had ``drain`` seconds to end."""
    return Request("retire", Effect.WRITE, (str(math.ceil(drain)),))


def revert(why: str = "gate") -> Request:
    """The release is bad: bring the one before back and unlock."""
    return Request("revert", Effect.WRITE, (members([("why", why)]),))


def finish(keep: int) -> Request:
    """Prune and unlock."""
    return Request("finish", Effect.WRITE, (str(keep),))
