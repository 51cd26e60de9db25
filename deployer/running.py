"""The commands that change something: run and rollback, and plan, which is a run that is dry."""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import replace
from typing import Any, Protocol

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
from deployer.reporting import RecordingReporter, choose, print_error, print_outcome, print_plan
from deployer.transports.dryrun import DryRun
from deployer.watching import ProbeWatch

__all__ = ["Invocation", "rollback", "run"]


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


def run(invocation: Invocation, *, dry: bool) -> int:
    """Deploy, or with ``dry`` only say how. Returns the exit code."""
    config, secrets = invocation.load()
    work = _Work(invocation, config, secrets, dry=dry)
    return work.carry_out(STRATEGIES[config.strategy].deploy(work.parts), success="deployed")


def rollback(invocation: Invocation, release: str, *, dry: bool) -> int:
    """Switch to a kept release. Returns the exit code."""
    config, secrets = invocation.load()
    work = _Work(invocation, config, secrets, dry=dry)
    return work.carry_out(STRATEGIES[config.strategy].rollback(work.parts, release), success="rolled_back")


class _Work:
    """What run and rollback share: the collaborators, and the end that people and programs see."""

    def __init__(self, invocation: Invocation, config: Config, secrets: Secrets, *, dry: bool) -> None:
        self._invocation = invocation
        self._config = config
        self._secrets = secrets
        self._dry = dry
        self._clock = SystemClock()
        self._display = choose(sys.stderr, quiet=invocation.quiet, verbose=invocation.verbose, json=invocation.json)
        self.recording = RecordingReporter(self._display)
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
            self._display.close()
        self._tell(result)
        return result.error.exit_code if result.error else 0

    def _after(self, result: Result, interrupts: Interrupts) -> None:
        config = self._config
        if config.hooks.after and is_due(result.status, result.error):
            answer = result.as_json()
            run_after(config.hooks.after, answer, config.directory, os.environ, self.recording, self._clock, interrupts)

    def _tell(self, result: Result) -> None:
        answer = result.as_json()
        if result.status == "planned":
            answer |= _plan_view(result)
        if self._invocation.json:
            click.echo(json.dumps(answer))
        if not self._invocation.quiet and result.status == "planned":
            print_plan(answer, sys.stderr)
        elif not self._invocation.quiet:
            utf8 = (sys.stderr.encoding or "").lower().replace("-", "") == "utf8"
            print_outcome(answer, sys.stderr, self._watch.line(ascii_only=not utf8))
        if result.error is not None:
            print_error(result.error, sys.stderr)


def _budget(config: Config) -> float:
    """How many dropped requests are no failure. What a plain `up` drops is told, and no more: it has a gap by nature."""
    return math.inf if config.strategy == "rebuild" and not config.rebuild.roll else config.probe.budget


def _dry(destination: Destination) -> Destination:
    return replace(destination, transport=DryRun(destination.transport))


def _plan_view(result: Result) -> dict[str, Any]:
    """Changes, steps and warnings; of several hosts, each change says whose it is."""
    several = len(result.plans) > 1
    return {
        "changes": [
            {"action": change.action, "path": change.path, "bytes": change.size}
            | ({"from": change.origin} if change.origin else {})
            | ({"host": host} if several else {})
            for host, plan in zip(result.hosts, result.plans, strict=True)
            for change in plan.changes
        ],
        "steps": [
            {"name": step.name, "summary": step.summary, "effect": step.effect.value}
            for plan in result.plans
            for step in plan.steps
        ],
        "warnings": [warning for plan in result.plans for warning in plan.warnings],
    }
