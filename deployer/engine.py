"""The runner of a plan on one host: send, switch, look, then confirm or switch back. It knows no strategy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from deployer.errors import ConnectionLost, DeployerError, GateFailed, PreparationLost, StateUnknown
from deployer.plan import Plan, Reply, Request, Step
from deployer.ports import Clock, Reporter, Session
from deployer.release import short

__all__ = ["Gate", "Steps", "Watch", "carry_out"]


class Gate(Protocol):
    """What must hold after the switch."""

    def __call__(self) -> str:
        """Look, and say in one line why the release is bad; empty when it is good."""
        ...


class Watch(Protocol):
    """What measures visitors' requests around the switch."""

    def prepare(self) -> None:
        """There is time now to get ready. May be left out."""
        ...

    def start(self) -> None:
        """Begin, and return once a first answer, good or bad, has come (or a short time has passed)."""
        ...

    def mark_switch(self) -> None:
        """The switch has happened."""
        ...

    def mark_return(self) -> None:
        """What was live before is live again."""
        ...

    def stop(self) -> None:
        """End, after a settling time. May be called without ``start``."""
        ...


@dataclass(slots=True)
class Steps:
    """Names and durations of steps, in the order in which they ended; tells the reporter."""

    reporter: Reporter
    clock: Clock
    durations: list[tuple[str, float]] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, name: str, summary: str = "") -> Iterator[None]:
        """Measure what happens inside; a step that fails is not counted."""
        self.reporter.step_started(name, summary)
        began = self.clock.monotonic()
        yield
        self.ended(name, self.clock.monotonic() - began)

    def ended(self, name: str, seconds: float) -> None:
        """A step was done."""
        self.durations.append((name, seconds))
        self.reporter.step_finished(name, seconds)

    def follow(self, wanted: tuple[Step, ...], replies: Iterator[Reply]) -> None:
        """Tell of each step when its last reply has come."""
        began = self.clock.monotonic()
        for step in wanted:
            self.reporter.step_started(step.name, step.summary)
            for request in step.requests:
                reply = next(replies)
                if request.heard is not None:
                    request.heard(reply)
                for text in reply.every("warning"):
                    self.reporter.warning(text)
            now = self.clock.monotonic()
            self.ended(step.name, now - began)
            began = now

    def perform(self, wanted: tuple[Step, ...], session: Session) -> None:
        """Send the requests of all these steps without waiting in between, and follow their replies."""
        self.follow(wanted, session.stream(request for step in wanted for request in step.requests))


def carry_out(
    plan: Plan,
    session: Session,
    steps: Steps,
    *,
    gate: Gate | None,
    watch: Watch,
    uninterrupted: Callable[[], contextlib.AbstractContextManager[None]],
) -> bool:
    """Run ``plan`` to its end: the new release live and confirmed, or the old one live.

    ``gate`` is None where nothing can be asked. ``uninterrupted`` is entered once the gate has decided: from there a
    signal waits, and one that comes in the plan's ``rest`` leaves that to the host: then the result is False. Raises
    GateFailed after an automatic rollback, StateUnknown when it cannot be known what is live, PreparationLost where
    another attempt may go on, or what the host reported before the switch.
    """
    if plan.switch is None:
        return True
    reach = _patiently if plan.patient else _at_once
    reach(plan, plan.switch, session, steps, watch)
    watch.mark_switch()
    reason = ""
    if gate is not None:
        with steps.step("check", "health and served contents" if plan.served else "health"):
            reason = gate()
    with uninterrupted():
        if reason:
            message = f"{short(plan.release)} failed its health gate: {reason}"
            if plan.one_way:
                raise StateUnknown(f"{message}. It was not rolled back: {plan.one_way}", hint=_ONE_WAY)
            _perform(plan.revert, session, steps, plan)
            watch.mark_return()
            hint = f"{short(plan.previous) or 'Nothing'} is live again; the failed release stays on the host."
            raise GateFailed(message, hint=hint)
        _perform(plan.confirm, session, steps, plan)
    return not plan.rest or _see_out(plan, session, steps)


_LOOK = "The host undoes a switch that nobody confirmed. See what is live with `deployer status`, then run again."


_ONE_WAY = "The release stays live. Mend it and run again, or go back by hand with `deployer rollback`."


def _at_once(plan: Plan, switch: Step, session: Session, steps: Steps, watch: Watch) -> None:
    """Send everything without waiting: every round trip less counts where the work is small."""
    flight = _Flight((*(() if plan.heavy else plan.prepare), *plan.approach), switch, watch)
    try:
        if plan.heavy:
            steps.perform(plan.prepare, session)
        steps.follow(flight.steps, session.stream(flight.requests()))
    except ConnectionLost as error:
        if flight.switching:
            raise _lost(plan, error) from error
        if flight.watching:
            raise
        raise PreparationLost(error.message, hint=error.hint) from error


def _patiently(plan: Plan, switch: Step, session: Session, steps: Steps, watch: Watch) -> None:
    """Let the preparation end before anybody watches: it may take many minutes."""
    watch.prepare()
    steps.perform(plan.prepare, session)
    watch.start()
    steps.perform(plan.approach, session)
    try:
        steps.perform((switch,), session)
    except ConnectionLost as error:
        raise _lost(plan, error) from error


def _lost(plan: Plan, error: ConnectionLost) -> StateUnknown:
    message = f"the connection broke during the switch to {short(plan.release)}: {error.message}"
    return StateUnknown(message, hint=_LOOK)


@dataclass(slots=True)
class _Flight:
    """The requests up to the switch, sent without waiting; starts the watch when only the switch is left to send."""

    before: tuple[Step, ...]
    switch: Step
    watch: Watch
    watching: bool = False
    switching: bool = False

    @property
    def steps(self) -> tuple[Step, ...]:
        return (*self.before, self.switch)

    def requests(self) -> Iterator[Request]:
        for step in self.before:
            yield from step.requests
        self.watching = True
        self.watch.start()
        self.switching = True
        yield from self.switch.requests


def _see_out(plan: Plan, session: Session, steps: Steps) -> bool:
    """Wait for the rest, unless somebody interrupts that; whether it was seen to its end."""
    try:
        steps.perform(plan.rest, session)
    except DeployerError as error:
        raise _unknown(plan, error) from error
    except KeyboardInterrupt:
        left = ", ".join(step.name for step in plan.rest)
        steps.reporter.warning(
            f"interrupted when {short(plan.release)} was live; the host does the rest by itself ({left})"
        )
        return False
    return True


def _unknown(plan: Plan, error: DeployerError) -> StateUnknown:
    message = f"{short(plan.release)} was switched to, but the end of the deploy is not known: {error.message}"
    return StateUnknown(message, hint=_LOOK)


def _perform(wanted: tuple[Step, ...], session: Session, steps: Steps, plan: Plan) -> None:
    try:
        steps.perform(wanted, session)
    except DeployerError as error:
        raise _unknown(plan, error) from error
    except KeyboardInterrupt as interrupt:
        message = f"interrupted twice while the deploy of {short(plan.release)} was being finished"
        raise StateUnknown(message, hint=_LOOK) from interrupt
