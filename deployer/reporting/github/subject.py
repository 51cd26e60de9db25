"""What GitHub's record is about, and how it travels to the process that keeps it."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields

from deployer.secret import Secret

__all__ = ["Ending", "Subject", "from_line", "to_line"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is deployed, and where GitHub keeps the record of that.

    ``api_url`` is the API's root (``https://api.github.com``), ``repository`` is ``owner/name``. ``ref`` is the branch, tag
    or commit as GitHub is to show it; for a pull request that is its head, because nobody knows the merge commit.
    ``task`` tells the apps apart that one repository deploys to one environment: a Deployment replaces only those of its
    own task. ``log_url`` leads to the output. Without a token nothing is recorded.
    """

    api_url: str
    repository: str
    token: Secret
    ref: str
    environment: str
    task: str = "deploy"
    log_url: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """How the deploy ended: one of the API's states, where it is live, and a short sentence."""

    state: str
    url: str = ""
    description: str = ""


def to_line(value: Subject | Ending) -> bytes:
    """One line of JSON for the pipe between our own processes, the token included."""
    content = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Subject):
        content["token"] = value.token.reveal()
    return json.dumps(content).encode() + b"\n"


def from_line(line: bytes) -> Subject | Ending:
    """What ``to_line`` was given."""
    content = json.loads(line)
    if "state" in content:
        return Ending(**content)
    return Subject(**{**content, "token": Secret(content["token"])})
