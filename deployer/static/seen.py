"""What a host told about itself for `deployer check`, as values."""

from __future__ import annotations

import re
from dataclasses import dataclass

from deployer.plan import Reply

__all__ = ["About", "Seen", "about"]


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
class About:
    """A directory on the host: see ``about`` in check.sh."""

    uid: str
    owner: str
    mode: int
    device: str
    writable: bool


def about(seen: Seen, name: str) -> About | None:
    """The fact of that name (parent, target, deployer, root, state); None when there is no such directory."""
    fields = seen.reply.text(name).split(" ")
    if len(fields) != 5 or not re.fullmatch("[0-7]+", fields[2]):
        return None
    return About(fields[0], fields[1], int(fields[2], 8), fields[3], fields[4] == "yes")
