"""One deploy from its first step to its result, whatever the strategy, the transport and the end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from deployer.attempts import Attempts, figures_of
from deployer.engine import Steps, Watch
from deployer.errors import (
    BudgetExceeded,
    ConnectionLost,
    ConnectionRefused,
    DeployerError,
    GateFailed,
    Interrupted,
    LockHeld,
    PreparationLost,
)
from deployer.fleet import Connecting, Destination, leave, open_at_once, open_in_turn
from deployer.plan import Plan
from deployer.ports import Answer, Clock, Reporter, Session, Strategy
from deployer.release import short
from deployer.rollout import Leg, roll_out

__all__ = ["Collaborators", "Observation", "ProbeFigures", "Result", "deploy"]

PAUSE_SECONDS = 1.0
"""Before a host is connected to again: no hammering at a server that counts connections."""


@dataclass(frozen=True, slots=True)
class ProbeFigures:
    """What the probe measured; times in milliseconds."""

    requests: int
    dropped: int
    p50_ms: float
    p99_ms: float
    longest_gap_ms: float


class Observation(Watch, Protocol):
    """A watch that also says what it saw."""

    def abandon(self) -> None:
        """End at once, without settling. May be called without ``start``."""
        ...

    def figures(self) -> ProbeFigures | None:
        """The sums after ``stop``; None when nothing was measured."""
        ...


@dataclass(slots=True)
class Result:
    """How a deploy ended: the object that ``run --json`` prints, and the error that decides the exit code."""

    app: str
    strategy: str
    environment: str
    hosts: tuple[str, ...]
    url: str
    release: str = ""
    previous_release: str = ""
    status: str = "failed"
    commit: str = ""
    figures: dict[str, int] = field(default_factory=dict)
    duration_seconds: float = 0.0
    steps: list[tuple[str, float]] = field(default_factory=list)
    probe: ProbeFigures | None = None
    error: DeployerError | None = None
    plans: tuple[Plan, ...] = ()
    """One for each of ``hosts``; none before they were asked."""

    @property
    def plan(self) -> Plan | None:
        """The first host's."""
        return self.plans[0] if self.plans else None

    def as_json(self) -> dict[str, Any]:
        """The documented object; what is not known is null."""
        names = ("files_total", "files_uploaded", "files_deleted", "bytes_uploaded")
        return {
            "app": self.app or None,
            "strategy": self.strategy or None,
            "environment": self.environment or None,
            "hosts": list(self.hosts),
            "release": short(self.release) or None,
            "previous_release": short(self.previous_release) or None,
            "status": self.status,
            "commit": self.commit or None,
            "url": self.url or None,
            **{name: self.figures.get(name, 0) for name in names},
            "duration_seconds": round(self.duration_seconds, 3),
            "steps": [{"name": name, "seconds": round(seconds, 3)} for name, seconds in self.steps],
            "probe": asdict(self.probe) if self.probe else None,
            "error": str(self.error) if self.error else None,
        }


@dataclass(frozen=True, slots=True)
class Collaborators:
    """The outside world of one deploy: its hosts, at least one, and what they share.

    ``uninterrupted`` makes signals wait.
    """

    destinations: tuple[Destination, ...]
    reporter: Reporter
    clock: Clock
    watch: Observation
    uninterrupted: Callable[[], contextlib.AbstractContextManager[None]]
    probe_budget: float = 0
    dry: bool = False


def deploy(result: Result, strategy: Strategy, world: Collaborators, *, success: str = "deployed") -> Result:
    """Build, connect while reading the source, decide, carry out; fill ``result`` and return it.

    Never raises DeployerError: it is in ``result.error``. ``success`` is the status of a switch that held.
    """
    began = world.clock.monotonic()
    steps = Steps(world.reporter, world.clock)
    result.steps = steps.durations
    try:
        _run(result, strategy, world, steps, success)
    except DeployerError as error:
        result.error = error
        result.status = "rolled_back" if isinstance(error, GateFailed) else "failed"
    except KeyboardInterrupt:
        if result.status == "failed":
            result.error = Interrupted("interrupted", hint=_undoing(result.plans))
    _measure(result, world)
    result.duration_seconds = world.clock.monotonic() - began
    return result


def _undoing(plans: tuple[Plan, ...]) -> str:
    """What becomes of what an interrupted deploy had begun."""
    if any(plan.patient and plan.switch for plan in plans):
        return (
            "The server undoes what was begun; `deployer status` says when that is done, and the next run sees to it."
        )
    return "What was live before serves; nothing needs to be mended."


def _run(result: Result, strategy: Strategy, world: Collaborators, steps: Steps, success: str) -> None:
    if strategy.build_summary and not world.dry:
        with steps.step("build", strategy.build_summary):
            strategy.build()
    sessions = _connect_and_scan(strategy, world.destinations, steps)
    attempts = Attempts()
    while True:
        plans: list[Plan] = []
        try:
            _attempt(result, strategy, world, sessions, plans, steps, attempts, success)
        except PreparationLost as error:
            attempts = attempts.broken(error, plans)
            sessions = _connect_again(strategy, world, steps, error)
        else:
            return


def _connect_again(strategy: Strategy, world: Collaborators, steps: Steps, error: PreparationLost) -> list[Session]:
    world.reporter.note(f"{error.message}; trying to go on with what has arrived")
    world.clock.sleep(PAUSE_SECONDS)
    try:
        return [*Connecting(world.destinations, strategy.program, steps).wait()]
    except ConnectionRefused as refused:
        message = f"{error.message}; and then {refused.message}"
        raise ConnectionLost(message, hint=error.hint) from refused


def _attempt(
    result: Result,
    strategy: Strategy,
    world: Collaborators,
    sessions: list[Session],
    plans: list[Plan],
    steps: Steps,
    attempts: Attempts,
    success: str,
) -> None:
    """Decide and carry out, once; ``plans`` gets what was decided."""
    finished = False
    try:
        plans += _compare(strategy, world, sessions, steps)
        attempts.check(plans)
        _take_over(result, tuple(plans), world.reporter)
        if world.dry:
            result.status = "planned"
        elif all(plan.switch is None for plan in plans):
            result.status = "unchanged"
        else:
            legs = tuple(map(_leg, world.destinations, sessions, plans))
            roll_out(legs, steps, watch=world.watch, uninterrupted=world.uninterrupted)
            result.status = success
        finished = True
    finally:
        result.figures.update(attempts.in_all(figures_of(plans)))
        leave(sessions, wait=not finished)


def _connect_and_scan(strategy: Strategy, destinations: tuple[Destination, ...], steps: Steps) -> list[Session]:
    """Both at once: the connections wait for the network, the scan for the disk."""
    scanned = strategy.scan()
    connecting = Connecting(destinations, strategy.program, steps)
    try:
        if strategy.scan_summary:
            with steps.step("scan", strategy.scan_summary):
                scanned()
    except DeployerError:
        connecting.abandon()
        raise
    return [*connecting.wait()]


def _compare(strategy: Strategy, world: Collaborators, sessions: list[Session], steps: Steps) -> tuple[Plan, ...]:
    """The plans of hosts that are all locked; ``sessions`` are new ones where that took a second attempt.

    Asking all at once is a round trip shorter than locking one before the others. Nobody waits then, so nobody waits for
    somebody who waits for him; and nobody who waits, in turn, is passed by for ever, because all locks are given back.
    """
    if len(sessions) > 1:
        try:
            return _decide(strategy, world.destinations, sessions, steps, patient=False)
        except LockHeld as held:
            leave(sessions, wait=True)
            world.reporter.note(f"{held.message}; all hosts are asked again, one before the others")
        sessions[:] = Connecting(world.destinations, strategy.program, steps).wait()
    return _decide(strategy, world.destinations, sessions, steps, patient=True)


def _decide(
    strategy: Strategy, destinations: tuple[Destination, ...], sessions: list[Session], steps: Steps, *, patient: bool
) -> tuple[Plan, ...]:
    with steps.step("compare", "lock and compare with what is live"):
        opening = strategy.opening(alone=len(sessions) == 1, patient=patient)
        replies = open_in_turn(destinations, sessions, opening) if patient else open_at_once(sessions, opening)
        names = [destination.name for destination in destinations]
        plans = strategy.decide(tuple(map(Answer, names, replies, sessions)))
        return tuple(map(Plan.on, plans, names))


def _leg(destination: Destination, session: Session, plan: Plan) -> Leg:
    return Leg(destination.name, session, plan, destination.gate(plan))


def _take_over(result: Result, plans: tuple[Plan, ...], reporter: Reporter) -> None:
    first = plans[0]
    result.plans = plans
    result.release, result.previous_release = first.release, first.previous
    result.commit = first.commit
    for plan in plans:
        for warning in plan.warnings:
            reporter.warning(warning)


def _measure(result: Result, world: Collaborators) -> None:
    """Take the probe's figures; an interrupted deploy does not wait for them."""
    try:
        if isinstance(result.error, Interrupted):
            world.watch.abandon()
            return
        world.watch.stop()
    except KeyboardInterrupt:
        world.watch.abandon()
        return
    result.probe = world.watch.figures()
    if result.error is None and result.probe and result.probe.dropped > world.probe_budget:
        result.error = BudgetExceeded(
            f"{short(result.release)} is live and healthy, but {result.probe.dropped} of {result.probe.requests} "
            f"requests were dropped, more than the budget of {world.probe_budget}",
            hint="Nothing was rolled back: that would be a second transition. See the reasons above.",
        )
