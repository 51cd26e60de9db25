"""Going back to a kept release: the same lock, switch, gate and journal as a deploy, without an upload."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from deployer.config import Config
from deployer.errors import DeployFailed
from deployer.journal import parse, previous_of
from deployer.plan import Plan, Reply, Request, Step
from deployer.ports import Session
from deployer.release import choose, short
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

    def opening(self) -> tuple[Request, ...]:
        """Lock and look."""
        config = self._config
        return (
            requests.site(config.app, config.static.target, secrets.token_hex(6), self._label),
            requests.lock(config.lock_wait, self._label),
            requests.inspect(),
        )

    def decide(self, replies: tuple[Reply, ...], session: Session) -> Plan:
        """The switch to the chosen release, which must be as it was when it was deployed."""
        answer = replies[-1]
        live = answer.text("live")
        release = self._choose(answer, live)
        if release == live:
            session.perform(requests.conclude("always"))
            return Plan(live, live)
        session.perform(requests.check_release(release))
        keep_log = Step("log", "keep the output on the host", (requests.log(release, Text(self._log)),))
        keep = self._config.static.keep
        commit = answer.text(f"{release}.commit")
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
            figures={"files_total": answer.number(f"{release}.files")},
            warnings=tuple(replies[1].every("healed")),
        )

    def _choose(self, answer: Reply, live: str) -> str:
        kept = answer.every("record")
        if self._wanted:
            return choose(self._wanted, kept)
        if not live:
            message = "nothing is live, so there is nothing to go back from"
            raise DeployFailed(message, hint="Name a release, see `deployer releases`.")
        previous = previous_of(parse(answer.text("journal")), live)
        if previous not in kept:
            gone = f"{short(previous)}, which is not kept any more" if previous else "nothing that the journal knows"
            message = f"before {short(live)} there was {gone}"
            raise DeployFailed(message, hint="Name a release, see `deployer releases`.")
        return previous
