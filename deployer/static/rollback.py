"""Going back to a kept release: the same lock, switch, gate and journal as a deploy, without an upload."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial

from deployer.config import Config
from deployer.errors import DeployFailed
from deployer.journal import release_to_return_to
from deployer.parallel import together
from deployer.plan import Plan, Request, Step
from deployer.ports import Answer
from deployer.release import short
from deployer.static import requests
from deployer.static.host import program
from deployer.static.stream import Text

__all__ = ["StaticRollback"]


class StaticRollback:
    """Switch to ``wanted`` (an identifier or an unambiguous part of one; empty: what was live before)."""

    build_summary = ""
    scan_summary = ""

    def __init__(self, config: Config, wanted: str, *, label: str, log: Callable[[], str]) -> None:
        self._config = config
        self._wanted = wanted
        self._label = label
        self._log = log

    @property
    def program(self) -> str:
        """The host's side, as POSIX shell text."""
        return program()

    def build(self) -> None:
        """Nothing to build."""

    def scan(self) -> Callable[[], None]:
        """Nothing to read."""
        return lambda: None

    def opening(self, *, alone: bool, patient: bool = True) -> tuple[Request, ...]:
        """Lock and look; what is to do, if anything, only the answers say, from one host or several."""
        config = self._config
        return (
            requests.site(config.app, config.static.target, secrets.token_hex(6), self._label),
            requests.lock(config.lock_wait if patient else 0, self._label),
            requests.inspect(),
        )

    def decide(self, answers: tuple[Answer, ...]) -> tuple[Plan, ...]:
        """The switch to the chosen release, which must be as it was when it was deployed, on every host.

        The first host's journal says which one was live before.
        """
        first = answers[0].replies[-1]
        release = release_to_return_to(self._wanted, first.text("live"), first.every("record"), first.text("journal"))
        lives = tuple(answer.replies[-1].text("live") for answer in answers)
        if set(lives) == {release}:
            together([partial(answer.session.perform, requests.conclude("always")) for answer in answers])
            return tuple(Plan(release, release) for _ in answers)
        together([partial(_check, answer, release) for answer in answers])
        return tuple(self._plan(answer, release, live) for answer, live in zip(answers, lives, strict=True))

    def _plan(self, answer: Answer, release: str, live: str) -> Plan:
        if release == live:
            # The others are brought to what this host has already.
            return Plan(live, live, confirm=(Step("finish", "unlock", (requests.conclude("always"),)),))
        keep_log = Step("log", "keep the output on the host", (requests.log(release, Text(self._log)),))
        keep = self._config.static.keep
        commit = answer.replies[-1].text(f"{release}.commit")
        return Plan(
            release=release,
            previous=live,
            commit=commit,
            switch=Step(
                "switch",
                f"put {short(release)} live",
                (requests.switch(release, live, commit=commit, rollback=True),),
            ),
            confirm=(keep_log, Step("finish", f"keep {keep} releases, unlock", (requests.confirm(keep),))),
            revert=(keep_log, Step("roll back", f"put {short(live)} live again", (requests.revert(),))),
            figures={"files_total": answer.replies[-1].number(f"{release}.files")},
            warnings=answer.replies[1].every("healed"),
        )


def _check(answer: Answer, release: str) -> None:
    if release not in answer.replies[-1].every("record"):
        message = f"{answer.host} has no release {short(release)}, which the first host has"
        raise DeployFailed(message, hint="Name a release that all hosts have, see `deployer releases`.")
    answer.session.perform(requests.check_release(release))
