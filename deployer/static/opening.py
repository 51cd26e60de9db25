"""The first round trip of a deploy: the lock, the facts, and on a host that has nothing to do the end."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import partial

from deployer.config import Config
from deployer.parallel import together
from deployer.plan import Reply, Request
from deployer.ports import Answer
from deployer.static import requests
from deployer.static.facts import Facts, read_facts

__all__ = ["Opening"]

LOCK, FACTS = 1, 3
"""Which reply is to what."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What hosts are asked first; ``label`` tells other deployers whose lock it is."""

    config: Config
    label: str

    def requests(self, digest: str, *, alone: bool, patient: bool) -> tuple[Request, ...]:
        """Lock, and compare with ``digest``. Hosts that are locked in turn do not unlock before all have answered."""
        return (
            requests.site(self.config.app, self.config.static.target, secrets.token_hex(6), self.label),
            self._lock(patient=patient),
            requests.copy(),
            requests.facts(digest),
            *((requests.conclude(),) if alone or not patient else ()),
        )

    def healed(self, answers: tuple[Answer, ...]) -> tuple[tuple[str, ...], ...]:
        """What was found of killed deploys on each host."""
        return tuple(answer.replies[LOCK].every("healed") for answer in answers)

    def facts(self, answers: tuple[Answer, ...]) -> tuple[Facts, ...]:
        """Each host's."""
        return tuple(read_facts(answer.replies[FACTS], answer.host) for answer in answers)

    def conclude(self, answers: tuple[Answer, ...]) -> None:
        """The end everywhere, when no host has anything to do."""
        if not _concluded(answers[0]):
            together([partial(answer.session.perform, requests.conclude("always")) for answer in answers])

    def differing(self, answers: tuple[Answer, ...]) -> tuple[Reply, ...]:
        """What each host says to ``facts`` when at least one has something to do; all are locked then. Raises LockHeld."""
        return together([partial(self._differing, answer) for answer in answers])

    def _differing(self, answer: Answer) -> Reply:
        reply = answer.replies[FACTS]
        if not read_facts(reply).unchanged:
            return reply
        # It sent no manifest and may have unlocked, because it has what is wanted.
        lock = (self._lock(patient=False),) if _concluded(answer) else ()
        return answer.session.perform(*lock, requests.facts(""))[-1]

    def _lock(self, *, patient: bool) -> Request:
        return requests.lock(self.config.lock_wait if patient else 0, self.label)


def _concluded(answer: Answer) -> bool:
    """Whether the host was asked to finish by itself where nothing is to do."""
    return len(answer.replies) > FACTS + 1
