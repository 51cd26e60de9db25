"""What `deployer check` says of the commands that a deploy runs in the checkout. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from deployer.command import first_word
from deployer.config import Config
from deployer.errors import DeployerError
from deployer.finding import Finding, error, fine, warning
from deployer.rebuild.checkout_checks import Remote
from deployer.rebuild.facts import Facts

__all__ = ["command_findings", "make_targets", "words"]


def words(config: Config) -> tuple[str, ...]:
    """What the host is to look for: lines of ``program NAME`` or ``target NAME``."""
    found: dict[str, None] = {}
    for _, text in _commands(config):
        if word := first_word(text):
            found[f"program {word}"] = None
        found |= {f"target {target}": None for target in make_targets(text)}
    return tuple(found)


def _commands(config: Config) -> tuple[tuple[str, str], ...]:
    """The commands that a deploy runs, by their keys."""
    rebuild = config.rebuild
    up = "" if rebuild.roll else rebuild.up
    named = (("build", rebuild.build), ("before_up", rebuild.before_up), ("up", up), ("after_up", rebuild.after_up))
    return tuple((name, text) for name, text in named if text)


def make_targets(command: str) -> tuple[str, ...]:
    """The targets of a plain ``make TARGET...``; none where options, or more than that command, decide."""
    try:
        given = shlex.split(command)
    except ValueError:
        return ()
    if given[:1] != ["make"] or not all(re.fullmatch(r"[A-Za-z0-9_.@+-]+(=.*)?", word) for word in given[1:]):
        return ()
    if any(word.startswith("-") for word in given):
        return ()
    return tuple(word for word in given[1:] if "=" not in word)


def command_findings(config: Config, facts: Facts, remote: Remote) -> Iterator[Finding]:
    """For each command, whether the host has its program, and the checkout's Makefile its target."""
    for name, text in _commands(config):
        yield _command(name, text, facts, remote)


def _command(name: str, text: str, facts: Facts, remote: Remote) -> Finding:
    reply, word = facts.reply, first_word(text)
    if word and word in reply.every("absent"):
        found = f"the host has no program {word}, which `{text}` begins with"
        return error(name, found, f"on the host: sudo apt-get install {word}; or correct rebuild.{name}")
    targets = make_targets(text)
    if not targets or facts.checkout != "yes":
        return fine(name, text)
    if not reply.text("makefile"):
        found = f"{facts.path} has no Makefile for `{text}`"
    elif missing := [target for target in targets if target in reply.every("no_target")]:
        found = f"{facts.path}/{reply.text('makefile')} has no target {', '.join(missing)} for `{text}`"
    else:
        return fine(name, text)
    mend = f"push one that has it, or correct rebuild.{name} (an empty text: none)"
    if remote is None or isinstance(remote, DeployerError) or remote.text("commit") == facts.head:
        return error(name, found, mend)
    # The commit that would be deployed is another one.
    return warning(name, f"{found}, at {facts.head[:7]}", mend)
