"""The commands that change something: run and rollback, and plan, which is a run that is dry."""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import click

from deployer.clock import SystemClock
from deployer.composition import (
    STRATEGIES,
    StrategyParts,
    commit_of,
    destinations_for,
    label,
)
from deployer.config import Config, Secrets
from deployer.deploy import Collaborators, Result, deploy
from deployer.fleet import Destination
from deployer.hooks import is_due, run_after
from deployer.interrupts import Interrupts
from deployer.ports import Strategy
from deployer.reporting import Display, RecordingReporter, choose, print_error, print_outcome, print_plan
from deployer.transports.dryrun import DryRun
from deployer.watching import ProbeWatch

if TYPE_CHECKING:
    from deployer.latency import ProbeReport

__all__ = ["Audience", "Ending", "Invocation", "rollback", "run"]


class Invocation(Protocol):
    """What the command line says besides the command."""

    @property
    def json(self) -> bool:
        """Whether standard output gets one JSON object."""
        ...

    @property
    def quiet(self) -> bool:
        """Whether only warnings and errors are said."""
        ...

    @property
    def verbose(self) -> bool:
        """Whether everything is said."""
        ...

    def load(self) -> tuple[Config, Secrets]:
        """The configuration and the secrets. Raises InvalidInput."""
        ...


@dataclass(frozen=True, slots=True)
class Ending:
    """How a deploy ended. ``probe`` is None where nothing was measured; ``log`` is what was said on the way."""

    result: Result
    probe: ProbeReport | None
    log: str

    @property
    def answer(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return self.result.as_json() | (_plan_view(self.result) if self.result.status == "planned" else {})

    @property
    def changes(self) -> list[dict[str, Any]]:
        """What the plan changes, file by file, also when it was carried out: as in ``plan --json``."""
        return _changes(self.result)


class Audience(Protocol):
    """Whom a deploy tells what it does, and at last how it ended."""

    @property
    def display(self) -> Display:
        """Where it tells what it does."""
        ...

    def tell(self, ending: Ending) -> None:
        """The end, after the display was closed; signals are ignored by then."""
        ...


def run(invocation: Invocation, audience: Audience | None = None, *, dry: bool) -> int:
    """Deploy, or with ``dry`` only say how; to whoever uses the command line by default. Returns the exit code."""
    config, secrets = invocation.load()
    work = _Work(audience or _Terminal(invocation), config, secrets, dry=dry)
    return work.carry_out(STRATEGIES[config.strategy].deploy(work.parts), success="deployed")


def rollback(invocation: Invocation, release: str, audience: Audience | None = None, *, dry: bool) -> int:
    """Switch to a kept release. Returns the exit code."""
    config, secrets = invocation.load()
    work = _Work(audience or _Terminal(invocation), config, secrets, dry=dry)
    return work.carry_out(STRATEGIES[config.strategy].rollback(work.parts, release), success="rolled_back")


class _Work:
    """What run and rollback share: the collaborators, and the end that people and programs see."""

    def __init__(self, audience: Audience, config: Config, secrets: Secrets, *, dry: bool) -> None:
        self._audience = audience
        self._config = config
        self._secrets = secrets
        self._dry = dry
        self._clock = SystemClock()
        self.recording = RecordingReporter(audience.display)
        self._watch = ProbeWatch(config, self._clock, self.recording)

    @property
    def parts(self) -> StrategyParts:
        """What a strategy is made of."""
        return StrategyParts(
            config=self._config,
            secrets=self._secrets,
            reporter=self.recording,
            label=label(os.environ),
            commit=commit_of(self._config.directory),
            environment=os.environ,
            log=lambda: self.recording.text,
        )

    def carry_out(self, strategy: Strategy, success: str) -> int:
        config = self._config
        interrupts = Interrupts()
        interrupts.install()
        destinations = destinations_for(config, self._secrets, self._clock, self.recording)
        world = Collaborators(
            destinations=tuple(map(_dry, destinations)) if self._dry else destinations,
            reporter=self.recording,
            clock=self._clock,
            watch=self._watch,
            uninterrupted=interrupts.held,
            probe_budget=_budget(config),
            dry=self._dry,
        )
        hosts = tuple(destination.transport.host for destination in destinations)
        result = Result(config.app, config.strategy, config.environment, hosts, config.url)
        try:
            deploy(result, strategy, world, success=success)
            interrupts.ignore()
            self._after(result, interrupts)
        finally:
            interrupts.ignore()
            self._audience.display.close()
        self._audience.tell(Ending(result, self._watch.report, self.recording.text))
        return result.error.exit_code if result.error else 0

    def _after(self, result: Result, interrupts: Interrupts) -> None:
        config = self._config
        if config.hooks.after and is_due(result.status, result.error):
            answer = result.as_json()
            run_after(config.hooks.after, answer, config.directory, os.environ, self.recording, self._clock, interrupts)


class _Terminal:
    """Whoever uses the command line: people read standard error, programs the JSON on standard output."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self.display = choose(sys.stderr, quiet=invocation.quiet, verbose=invocation.verbose, json=invocation.json)

    def tell(self, ending: Ending) -> None:
        answer = ending.answer
        if self._invocation.json:
            click.echo(json.dumps(answer))
        if not self._invocation.quiet and ending.result.status == "planned":
            print_plan(answer, sys.stderr)
        elif not self._invocation.quiet:
            print_outcome(answer, sys.stderr, _latencies(ending.probe))
        if ending.result.error is not None:
            print_error(ending.result.error, sys.stderr)


def _latencies(seen: ProbeReport | None) -> str:
    if seen is None:
        return ""
    from deployer.latency import latency_line

    utf8 = (sys.stderr.encoding or "").lower().replace("-", "") == "utf8"
    return latency_line(seen, ascii_only=not utf8)


def _budget(config: Config) -> float:
    """How many dropped requests are no failure. What a plain `up` drops is told, and no more: it has a gap by nature."""
    return math.inf if config.strategy == "rebuild" and not config.rebuild.roll else config.probe.budget


def _dry(destination: Destination) -> Destination:
    return replace(destination, transport=DryRun(destination.transport))


def _plan_view(result: Result) -> dict[str, Any]:
    """Changes, steps and warnings."""
    return {
        "changes": _changes(result),
        "steps": [
            {"name": step.name, "summary": step.summary, "effect": step.effect.value}
            for plan in result.plans
            for step in plan.steps
        ],
        "warnings": [warning for plan in result.plans for warning in plan.warnings],
    }


def _changes(result: Result) -> list[dict[str, Any]]:
    """Of several hosts, each change says whose it is."""
    several = len(result.plans) > 1
    return [
        {"action": change.action, "path": change.path, "bytes": change.size}
        | ({"from": change.origin} if change.origin else {})
        | ({"host": host} if several else {})
        for host, plan in zip(result.hosts, result.plans, strict=False)
        for change in plan.changes
    ]
