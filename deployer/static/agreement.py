"""What several hosts have in common after a deploy: the release's name, and every file's modification time. Pure.

Web servers make a file's ETag of its size and time: visitors who are sent from one host to the other must not be told
that it changed, and never that it did not.
"""

from __future__ import annotations

from dataclasses import replace

from deployer.static.changes import Base
from deployer.static.facts import Facts

__all__ = ["agree", "level"]


def agree(hosts: tuple[Facts, ...]) -> tuple[Facts, ...]:
    """The same facts with one clock, one newest release and one newest time for all: each the latest of any."""
    now, newest, newest_time = (
        max(host.now for host in hosts),
        max(host.newest for host in hosts),
        max(host.newest_time for host in hosts),
    )
    return tuple(replace(host, now=now, newest=newest, newest_time=newest_time) for host in hosts)


def level(hosts: tuple[Facts, ...], bases: tuple[Base, ...]) -> tuple[Base, ...]:
    """The bases, of which files may keep their times only where all hosts have the very same release as it was built.

    Otherwise (a host is new, was restored, or somebody wrote into its release) every file gets the new release's time.
    """
    same = len({host.live for host in hosts}) == 1 and hosts[0].live and all(base.recorded for base in bases)
    if len(hosts) == 1 or same:
        return bases
    copied = {id(base): replace(base, linking=False, copying=False) for base in bases}
    return tuple(copied[id(base)] for base in bases)
