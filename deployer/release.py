"""Names of releases: they sort by time, are never reused, and their directories cannot be guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from deployer.errors import InvalidInput

__all__ = ["ReleaseName", "choose", "new_name", "short"]

_FORM = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-z]+(\.[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True)
class ReleaseName:
    """A release: ``identifier`` for people, ``directory`` on the host (with 96 random bits), ``time`` in Unix seconds."""

    identifier: str
    directory: str
    time: int


def new_name(now: int, newest: str, version: str, token: str) -> ReleaseName:
    """The name of a release made at ``now`` (the host's clock), later than ``newest`` even if that clock went back.

    ``version`` is the commit or content hash, of which seven characters count; ``token`` is 24 random hex digits.
    """
    match = _NAME.fullmatch(newest)
    if match:
        newest_time = datetime.strptime(match.group(1), _FORM).replace(tzinfo=UTC)
        now = max(now, int(newest_time.timestamp()) + 1)
    identifier = f"{datetime.fromtimestamp(now, UTC).strftime(_FORM)}-{version[:7]}"
    return ReleaseName(identifier, f"{identifier}.{token}", now)


def short(directory: str) -> str:
    """The identifier of a release directory's name: what people see and type."""
    return directory.partition(".")[0]


def choose(wanted: str, directories: tuple[str, ...]) -> str:
    """The directory that ``wanted`` (an identifier, or any unambiguous part of one) means.

    Raises InvalidInput when it means none or several.
    """
    exact = [name for name in directories if wanted in (name, short(name))]
    found = exact or [name for name in directories if wanted and wanted in short(name)]
    if len(found) == 1:
        return found[0]
    kept = ", ".join(short(name) for name in directories) or "none"
    if not found:
        message = f"no kept release is named {wanted!r}"
        raise InvalidInput(message, hint=f"Kept: {kept}")
    message = f"{wanted!r} means {len(found)} of the kept releases"
    raise InvalidInput(message, hint=f"Kept: {kept}")
