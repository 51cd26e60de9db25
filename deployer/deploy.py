"""One deploy from its first step to its result, whatever the strategy, the transport and the end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from deployer.engine import Gate, Steps, Watch, carry_out
from deployer.errors import BudgetExceeded, DeployerError, GateFailed, Interrupted
from deployer.plan import Plan
from deployer.ports import Clock, Reporter, Session, Strategy, Transport
from deployer.release import short

__all__ = ["Collaborators", "Observation", "ProbeFigures", "Result", "deploy"]


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
    plan: Plan | None = None

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
    """The outside world of one deploy. ``gate`` is made from the plan; ``uninterrupted`` makes signals wait."""

    transport: Transport
    reporter: Reporter
    clock: Clock
    watch: Observation
    gate: Callable[[Plan], Gate | None]
    uninterrupted: Callable[[], contextlib.AbstractContextManager[None]]
    probe_budget: int = 0
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
            result.error = Interrupted("interrupted", hint="What was live before serves; nothing needs to be mended.")
    _measure(result, world)
    result.duration_seconds = world.clock.monotonic() - began
    return result


def _run(result: Result, strategy: Strategy, world: Collaborators, steps: Steps, success: str) -> None:
    if strategy.build_summary and not world.dry:
        with steps.step("build", strategy.build_summary):
            strategy.build()
    session = _connect_and_scan(strategy, world.transport, steps)
    finished = False
    try:
        with steps.step("compare", "lock and compare with what is live"):
            plan = strategy.decide(session.perform(*strategy.opening()), session)
        _take_over(result, plan, world.reporter)
        if world.dry:
            result.status = "planned"
        elif plan.switch is None:
            result.status = "unchanged"
        else:
            carry_out(plan, session, steps, gate=world.gate(plan), watch=world.watch, uninterrupted=world.uninterrupted)
            result.status = success
        finished = True
    finally:
        result.figures.update(result.plan.figures if result.plan else {})
        session.close(wait=not finished)


def _take_over(result: Result, plan: Plan, reporter: Reporter) -> None:
    result.plan = plan
    result.release, result.previous_release = plan.release, plan.previous
    result.commit = plan.commit
    for warning in plan.warnings:
        reporter.warning(warning)


def _connect_and_scan(strategy: Strategy, transport: Transport, steps: Steps) -> Session:
    """Both at once: the connection waits for the network, the scan for the disk."""
    opened: list[Session] = []
    refused: list[BaseException] = []

    def connect() -> None:
        try:
            with steps.step("connect", transport.host):
                opened.append(transport.open(strategy.program))
        except BaseException as error:  # handed to the thread that waits
            refused.append(error)

    scanned = strategy.scan()
    connecting = threading.Thread(target=connect, name="deployer-connect", daemon=True)
    connecting.start()
    try:
        if strategy.scan_summary:
            with steps.step("scan", strategy.scan_summary):
                scanned()
    except DeployerError:
        # Whether the host answers does not matter any more: the connection ends with this process.
        for session in opened:
            session.close(wait=False)
        raise
    connecting.join()
    for error in refused:
        raise error
    return opened[0]


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
