"""What `deployer check` asks a host and makes of the answer, for each strategy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from deployer.config import Config, Secrets
from deployer.finding import Finding
from deployer.plan import Reply
from deployer.ports import Session

__all__ = ["Looked", "is_first", "is_live", "look"]


class Looked(NamedTuple):
    """A host's reply, and what is to say of it."""

    reply: Reply
    findings: Iterator[Finding]


def look(config: Config, credentials: Secrets, session: Session) -> Looked:
    """Ask the host, which is not asked any more once this returns. Raises DeployerError."""
    return _LOOKS[config.strategy](config, credentials, session)


def is_live(config: Config, reply: Reply | None) -> bool:
    """Whether visitors should find something; so it is taken to be where the host could not be asked."""
    if reply is None:
        return True
    if config.strategy == "rebuild":
        running = any(text.split(" ")[4:5] == ["running"] for text in reply.every("container"))
        return running or bool(reply.text("live"))
    return bool(reply.text("present")) or reply.text("kind") == "directory"


def is_first(config: Config, reply: Reply | None) -> bool:
    """Whether what visitors find is not what deployer has put there: a directory, perhaps empty, that is adopted."""
    return reply is not None and config.strategy == "static" and not reply.text("present")


def _static(config: Config, _credentials: Secrets, session: Session) -> Looked:
    from deployer.premises import Seen
    from deployer.static import requests
    from deployer.static.checks import host_findings

    target, asked = config.static.target, time.time()
    (reply,) = session.perform(requests.check(target))
    return Looked(reply, host_findings(Seen(config.app, target, reply, asked, time.time())))


def _rebuild(config: Config, credentials: Secrets, session: Session) -> Looked:
    from deployer.premises import Seen
    from deployer.rebuild.checks import ask_remote, host_findings, request

    asked = time.time()
    (reply,) = session.perform(request(config))
    seen = Seen(config.app, reply.text("path"), reply, asked, time.time())
    return Looked(reply, host_findings(config, seen, ask_remote(config, credentials, seen, session)))


_LOOKS: dict[str, Callable[[Config, Secrets, Session], Looked]] = {"static": _static, "rebuild": _rebuild}
