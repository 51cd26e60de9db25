"""Going back to a kept release: its commit and its images, the same replacement, gate and journal, and no build."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from deployer.config import Config
from deployer.errors import DeployFailed
from deployer.journal import release_to_return_to
from deployer.parallel import together
from deployer.plan import Plan, Request, Step, Text
from deployer.ports import Answer, Reporter
from deployer.rebuild import requests
from deployer.rebuild.facts import Facts, read_facts
from deployer.rebuild.host import program
from deployer.rebuild.steps import Ending
from deployer.rebuild.strategy import FACTS, LOCK, check_host, movement, opening, tell
from deployer.release import short

__all__ = ["RebuildRollback"]


class RebuildRollback:
    """Bring back ``wanted`` (an identifier or an unambiguous part of one; empty: what was live before)."""

    build_summary = ""
    scan_summary = ""

    def __init__(self, config: Config, reporter: Reporter, wanted: str, *, label: str, log: Callable[[], str]) -> None:
        self._config = config
        self._reporter = reporter
        self._wanted = wanted
        self._label = label
        self._log = log

    @property
    def program(self) -> str:
        """The host's side, as POSIX shell text."""
        return program()

    def build(self) -> None:
        """Nothing to build here."""

    def scan(self) -> Callable[[], None]:
        """Nothing to read."""
        return lambda: None

    def opening(self, *, alone: bool, patient: bool = True) -> tuple[Request, ...]:
        """Lock and look at host and releases."""
        return (*opening(self._config, self._label, patient=patient), requests.inspect())

    def decide(self, answers: tuple[Answer, ...]) -> tuple[Plan, ...]:
        """The way back to the chosen release on every host. The first host's journal says which one was live before."""
        facts = [read_facts(answer.replies[FACTS], answer.host) for answer in answers]
        first = answers[0].replies[-1]
        release = release_to_return_to(self._wanted, facts[0].live, first.every("record"), first.text("journal"))
        if all(each.live == release for each in facts):
            together([partial(answer.session.perform, requests.conclude()) for answer in answers])
            return tuple(Plan(release, release) for _ in answers)
        return tuple(self._plan(each, answer, release) for each, answer in zip(facts, answers, strict=True))

    def _plan(self, facts: Facts, answer: Answer, release: str) -> Plan:
        found = answer.replies[-1]
        check_host(self._config, facts)
        if release == facts.live:
            # The others are brought to what this host has already.
            return Plan(release, release, confirm=(Step("finish", "unlock", (requests.conclude(),)),))
        if release not in found.every("record"):
            message = f"{answer.host} has no release {short(release)}, which the first host has"
            raise DeployFailed(message, hint="Name a release that all hosts have, see `deployer releases`.")
        commit = found.text(f"{release}.commit")
        lost = found.every(f"{release}.lost")
        kept = not lost and not found.text(f"{release}.unkept")
        ending = Ending(self._config, self._reporter, facts, release, commit, self._log, rollback=True)
        start = requests.begin(release, facts.live, Text(lambda: ""), commit=commit, rollback=True)
        step = Step(
            "checkout",
            movement(facts, commit),
            (start, requests.to_commit(commit, partial(tell, self._reporter, facts))),
        )
        return ending.complete(
            (step, ending.brought_back(found.every(f"{release}.image")) if kept else ending.built()),
            (*answer.replies[LOCK].every("healed"), *_warnings(release, lost)),
        )


def _warnings(release: str, lost: tuple[str, ...]) -> tuple[str, ...]:
    if not lost:
        return ()
    services = ", ".join(dict.fromkeys(lost))
    return (f"images of {short(release)} are gone ({services}), so it is built again from its commit",)
