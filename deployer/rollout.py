"""The runner of plans on several hosts: all are prepared, one after the other is switched, and all hold or none.

One host alone is the engine's work.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from deployer.engine import Gate, Steps, Watch, carry_out
from deployer.errors import ConnectionLost, DeployerError, GateFailed, Interrupted, PreparationLost, StateUnknown
from deployer.parallel import outcomes, together
from deployer.plan import Plan
from deployer.ports import Session
from deployer.release import short

__all__ = ["Leg", "roll_out"]

Uninterrupted = Callable[[], contextlib.AbstractContextManager[None]]


class _State(enum.Enum):
    """How far a host is; the value says what is live there."""

    BEFORE = "{previous} is live, as before"
    SWITCHED = "{release} is live, not confirmed"
    UNKNOWN = "what is live is not known; the host undoes a switch that nobody confirmed"
    UNDONE = "the server undoes what was begun; `deployer status` says when that is done"
    BACK = "{previous} is live again, and the failed release is kept"
    CONFIRMED = "{release} is live"


@dataclass(slots=True)
class Leg:
    """One host's part of a deploy; ``gate`` is None where nothing can be asked."""

    host: str
    session: Session
    plan: Plan
    gate: Gate | None
    state: _State = _State.BEFORE

    @property
    def account(self) -> str:
        """What is live on the host, as far as is known."""
        release, previous = short(self.plan.release), short(self.plan.previous) or "nothing"
        return f"{self.host}: {self.state.value.format(release=release, previous=previous)}"


def roll_out(legs: Sequence[Leg], steps: Steps, *, watch: Watch, uninterrupted: Uninterrupted) -> None:
    """Run the plans to their end: the new release live and confirmed on every host, or the old one on every host.

    Patient plans are carried out in turn, and the hosts before one that fails keep the new release.
    Where all hosts cannot be brought to the same end, StateUnknown says how each is, as do GateFailed and ConnectionLost
    (of a host that was not switched yet) after all went back. See :func:`deployer.engine.carry_out` for one host.
    """
    if len(legs) == 1:
        (leg,) = legs
        carry_out(leg.plan, leg.session, steps, gate=leg.gate, watch=watch, uninterrupted=uninterrupted)
    elif any(leg.plan.patient for leg in legs):
        _in_turn(legs, steps, watch, uninterrupted)
    elif any(leg.plan.switch for leg in legs):
        _prepare(legs, steps)
        watch.start()
        try:
            _one_by_one(legs, steps, watch)
        except DeployerError as error:
            with uninterrupted():
                raise _gone_back(legs, steps, watch, error) from error
        with uninterrupted():
            _confirm(legs, steps)


def _in_turn(legs: Sequence[Leg], steps: Steps, watch: Watch, uninterrupted: Uninterrupted) -> None:
    """Deploy to one host after the other, each through its gate; the first that fails ends it, and those before it stay."""
    for number, leg in enumerate(legs, 1):
        try:
            if leg.plan.switch is None:
                steps.perform(leg.plan.confirm, leg.session)
            seen_out = carry_out(leg.plan, leg.session, steps, gate=leg.gate, watch=watch, uninterrupted=uninterrupted)
        except DeployerError as error:
            if isinstance(error, GateFailed):
                leg.state = _State.BACK
            elif isinstance(error, StateUnknown):
                leg.state = _State.UNKNOWN
            raise type(error)(f"{leg.host}: {error.message}", hint=_accounts(legs, error.hint)) from error
        except KeyboardInterrupt as interrupt:
            leg.state = _State.UNDONE
            raise Interrupted(f"interrupted at {leg.host}", hint=_accounts(legs)) from interrupt
        leg.state = _State.CONFIRMED
        if not seen_out and number < len(legs):
            raise Interrupted(f"interrupted when {leg.host} was done but for its end", hint=_accounts(legs))


def _prepare(legs: Sequence[Leg], steps: Steps) -> None:
    try:
        together([partial(steps.perform, leg.plan.prepare, leg.session) for leg in legs])
    except DeployerError as error:
        hint = "\n".join(filter(None, (error.hint, "No host was switched.")))
        kind = PreparationLost if isinstance(error, ConnectionLost) else type(error)
        raise kind(error.message, hint=hint) from error


def _one_by_one(legs: Sequence[Leg], steps: Steps, watch: Watch) -> None:
    for leg in legs:
        # Nobody is switched while another one is known to be gone: that would have to be undone.
        _muster(legs)
        if leg.plan.switch is not None:
            _switch(leg, steps)
            watch.mark_switch()
            _look(leg, steps)
    _muster(legs)


def _muster(legs: Sequence[Leg]) -> None:
    for leg in legs:
        try:
            leg.session.check()
        except DeployerError as error:
            if leg.state is _State.BEFORE:
                raise
            leg.state = _State.UNKNOWN
            message = f"{leg.host} was lost after its switch to {short(leg.plan.release)}: {error.message}"
            raise StateUnknown(message) from error


def _switch(leg: Leg, steps: Steps) -> None:
    assert leg.plan.switch is not None
    leg.state = _State.UNKNOWN
    try:
        steps.perform((leg.plan.switch,), leg.session)
    except ConnectionLost as error:
        message = f"the connection broke during the switch of {leg.host} to {short(leg.plan.release)}: {error.message}"
        raise StateUnknown(message) from error
    except DeployerError:
        # The host itself said that it did not.
        leg.state = _State.BEFORE
        raise
    leg.state = _State.SWITCHED


def _look(leg: Leg, steps: Steps) -> None:
    if leg.gate is None:
        return
    with steps.step(f"check {leg.host}", "health and served contents" if leg.plan.served else "health"):
        reason = leg.gate()
    if reason:
        message = f"{short(leg.plan.release)} failed its health gate on {leg.host}: {reason}"
        raise GateFailed(message)


def _gone_back(legs: Sequence[Leg], steps: Steps, watch: Watch, error: DeployerError) -> DeployerError:
    """Switch every switched host back, and give the error that says how all are."""
    switched = [leg for leg in legs if leg.state is _State.SWITCHED]
    troubles = _finish(
        switched, [partial(steps.perform, leg.plan.revert, leg.session) for leg in switched], _State.BACK
    )
    if any(leg.state is _State.BACK for leg in switched):
        watch.mark_return()
    unknown = any(leg.state is _State.UNKNOWN for leg in legs)
    kind = StateUnknown if unknown else type(error)
    return kind("; and ".join([error.message, *troubles]), hint=_accounts(legs, error.hint))


def _confirm(legs: Sequence[Leg], steps: Steps) -> None:
    tasks = [partial(steps.perform, leg.plan.confirm, leg.session) for leg in legs]
    troubles = _finish(legs, tasks, _State.CONFIRMED)
    if troubles:
        message = f"{short(legs[0].plan.release)} was switched to, but the end of the deploy is not known everywhere: "
        raise StateUnknown(message + "; and ".join(troubles), hint=_accounts(legs))


def _finish(legs: Sequence[Leg], tasks: Sequence[Callable[[], None]], state: _State) -> list[str]:
    """Do all to their end, whatever becomes of one; what went wrong, as texts."""
    troubles = []
    try:
        for number, outcome in outcomes(tasks):
            legs[number].state = _State.UNKNOWN if isinstance(outcome, BaseException) else state
            if isinstance(outcome, DeployerError):
                troubles.append(f"{legs[number].host}: {outcome.message}")
            elif isinstance(outcome, BaseException):
                raise outcome
    except KeyboardInterrupt as interrupt:
        message = f"interrupted twice while the deploy of {short(legs[0].plan.release)} was being finished"
        raise StateUnknown(message, hint=_accounts(legs)) from interrupt
    return troubles


def _accounts(legs: Sequence[Leg], hint: str = "") -> str:
    lines = [hint, *(leg.account for leg in legs)]
    if any(leg.state is _State.UNKNOWN for leg in legs):
        lines.append("See what is live with `deployer status`, then run again.")
    return "\n".join(filter(None, lines))
