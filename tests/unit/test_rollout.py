"""Plans on several hosts: every end that they can have together, and the order of what happens on the way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from deployer.engine import Steps
from deployer.errors import ConnectionLost, DeployerError, DeployFailed, GateFailed, Interrupted, StateUnknown
from deployer.plan import Effect, Plan, Reply, Request, Step
from deployer.rollout import Leg, roll_out
from tests.fakes import FakeClock, FakeSession, FakeWatch, RecordedReports, held

NEW, OLD = "20261122T190300Z-7f247f9.c0ffee", "20261121T190300Z-aaaaaaa.beef"
NAMES = ("web1", "web2", "web3")


def step(name: str, verb: str) -> Step:
    return Step(name, f"do {name}", (Request(verb, Effect.WRITE),))


PLAN = Plan(
    NEW,
    OLD,
    prepare=(step("upload", "contents"),),
    switch=step("switch", "switch"),
    confirm=(step("finish", "confirm"),),
    revert=(step("roll back", "revert"),),
)
IDLE = Plan(NEW, NEW, confirm=(step("finish", "conclude"),))


class Named(FakeSession):
    """Notes in a list that all share whose each request is, and counts how often something was sent."""

    def __init__(self, name: str, shared: list[str]) -> None:
        super().__init__()
        self.name, self.shared, self.streams = name, shared, 0

    def stream(self, requests: Iterable[Request]) -> Iterator[Reply]:
        self.streams += 1
        return super().stream(self._noted(requests))

    def _noted(self, requests: Iterable[Request]) -> Iterator[Request]:
        for request in requests:
            self.shared.append(f"{request.verb} {self.name}")
            yield request


@dataclass
class Rollout:
    """One run of plans against fakes that share a list of events; ``reasons`` are what gates say."""

    plans: dict[str, Plan] = field(default_factory=lambda: dict.fromkeys(NAMES, PLAN))
    reasons: dict[str, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    reports: RecordedReports = field(default_factory=RecordedReports)

    def __post_init__(self) -> None:
        self.sessions = {name: Named(name, self.events) for name in NAMES}
        self.on_gate: dict[str, DeployerError] = {}

    def gate(self, name: str) -> str:
        self.events.append(f"gate {name}")
        for other, error in self.on_gate.items():
            self.sessions[other].lost = error
        return self.reasons.get(name, "")

    def run(self) -> list[str]:
        legs = [
            Leg(name, self.sessions[name], plan.on(name), partial(self.gate, name)) for name, plan in self.plans.items()
        ]
        steps = Steps(self.reports, FakeClock())
        roll_out(legs, steps, watch=FakeWatch(self.events), uninterrupted=lambda: held(self.events))
        return self.events

    def fails(self, kind: type[DeployerError], *words: str) -> DeployerError:
        with pytest.raises(DeployerError) as caught:
            self.run()
        assert type(caught.value) is kind
        for word in words:
            assert word in str(caught.value)
        return caught.value


SWITCHES = [f"{verb} {name}".replace(f"mark {name}", "mark") for name in NAMES for verb in ("switch", "mark", "gate")]


def test_hosts_are_prepared_then_switched_one_by_one_then_confirmed() -> None:
    """The watch begins when all are ready; nothing is confirmed before the last gate has passed."""
    events = Rollout().run()
    assert set(events[:3]) == {"contents web1", "contents web2", "contents web3"}
    assert events[3 : 4 + len(SWITCHES)] == ["watch", *SWITCHES]
    assert events[4 + len(SWITCHES)] == "held"
    assert set(events[-4:-1]) == {"confirm web1", "confirm web2", "confirm web3"}
    assert events[-1] == "released"


def test_one_host_alone_is_streamed() -> None:
    """Its switch is sent behind its contents, without a round trip between them."""
    alone = Rollout({"web1": PLAN})
    verbs = ["contents", "watch", "switch", "mark", "gate", "held", "confirm", "released"]
    assert [event.removesuffix(" web1") for event in alone.run()] == verbs
    assert alone.sessions["web1"].streams == 2


def test_nothing_to_switch_anywhere_is_nothing_to_do() -> None:
    """No watch, no request."""
    assert Rollout(dict.fromkeys(NAMES, Plan(OLD, OLD))).run() == []


def test_a_host_that_has_the_release_already_is_only_finished() -> None:
    """It is neither switched nor checked, and its lock is held until all others have ended well."""
    rollout = Rollout({"web1": PLAN, "web2": IDLE, "web3": PLAN})
    events = rollout.run()
    assert [event for event in events if "web2" in event] == ["conclude web2"]
    assert events.index("conclude web2") > events.index("gate web3")


def test_a_failure_while_preparing_switches_nobody() -> None:
    """It is told as it is."""
    rollout = Rollout()
    rollout.sessions["web2"].answers["contents"] = DeployFailed("web2: no space", hint="Free some.")
    error = rollout.fails(DeployFailed, "web2: no space", "Free some.", "No host was switched.")
    assert error.exit_code == 1
    assert "watch" not in rollout.events


@pytest.mark.parametrize("failing", NAMES)
def test_a_failed_gate_brings_back_all_that_were_switched(failing: str) -> None:
    """The hosts behind are never switched; the error says how each is."""
    rollout = Rollout(reasons={failing: "status 500"})
    error = rollout.fails(GateFailed, f"failed its health gate on {failing}: status 500")
    number = NAMES.index(failing)
    for name in NAMES[: number + 1]:
        assert f"revert {name}" in rollout.events
        assert f"{name}: 20261121T190300Z-aaaaaaa is live again" in error.hint
    for name in NAMES[number + 1 :]:
        assert not {f"switch {name}", f"revert {name}"} & set(rollout.events)
        assert f"{name}: 20261121T190300Z-aaaaaaa is live, as before" in error.hint
    assert rollout.events.index("held") < rollout.events.index("revert web1")
    assert rollout.events.count("return") == 1
    assert rollout.events.index(f"revert {failing}") < rollout.events.index("return")
    assert not [event for event in rollout.events if event.startswith("confirm")]


def test_a_revert_that_fails_is_an_unknown_state() -> None:
    """The others go back all the same, and both reasons are told."""
    rollout = Rollout(reasons={"web2": "status 500"})
    rollout.sessions["web1"].answers["revert"] = ConnectionLost("gone")
    rollout.fails(StateUnknown, "status 500", "web1: gone", "web1: what is live is not known", "web2: 20261121")
    assert "revert web2" in rollout.events


def test_a_host_that_is_known_to_be_gone_is_never_reached_by_a_switch() -> None:
    """Nobody is: exit code 1, because nothing is unknown."""
    rollout = Rollout()
    rollout.sessions["web3"].lost = ConnectionLost("web3 ended the conversation")
    error = rollout.fails(ConnectionLost, "web3 ended", "web1: 20261121T190300Z-aaaaaaa is live, as before")
    assert error.exit_code == 1
    assert not [event for event in rollout.events if event.startswith("switch")]


def test_a_host_that_goes_before_its_switch_takes_the_others_back() -> None:
    """It is noticed before anybody else is switched."""
    rollout = Rollout()
    rollout.on_gate = {"web3": ConnectionLost("web3 ended the conversation")}
    rollout.fails(ConnectionLost, "web3 ended", "web1: 20261121T190300Z-aaaaaaa is live again")
    assert "revert web1" in rollout.events
    assert "switch web2" not in rollout.events


def test_a_host_that_goes_after_its_switch_is_an_unknown_state() -> None:
    """What it does alone nobody knows; nobody else stays on the new release."""
    rollout = Rollout()
    rollout.on_gate = {"web1": ConnectionLost("web1 ended the conversation")}
    rollout.fails(StateUnknown, "web1 was lost after its switch", "web1: what is live is not known", "deployer status")
    assert "switch web2" not in rollout.events
    assert "revert web1" not in rollout.events


def test_a_connection_lost_during_a_switch_is_an_unknown_state() -> None:
    """The request was sent, and nobody said what became of it."""
    rollout = Rollout()
    rollout.sessions["web2"].answers["switch"] = ConnectionLost("gone")
    rollout.fails(StateUnknown, "broke during the switch of web2 to 20261122T190300Z-7f247f9: gone")
    assert "revert web1" in rollout.events
    assert not {"revert web2", "switch web3"} & set(rollout.events)


def test_a_switch_that_the_host_refuses_is_a_failure() -> None:
    """It said that it did not switch: all are where they were."""
    rollout = Rollout()
    rollout.sessions["web2"].answers["switch"] = DeployFailed("web2: the lock was taken away")
    rollout.fails(DeployFailed, "the lock was taken away", "web1: ", "is live again", "web2: ", "as before")


def test_a_host_that_is_lost_at_the_end_stays_alone() -> None:
    """The others are confirmed and stay on the new release; the message says which one is not known."""
    rollout = Rollout()
    rollout.sessions["web2"].answers["confirm"] = ConnectionLost("gone")
    rollout.fails(
        StateUnknown, "web2: gone", "web1: 20261122T190300Z-7f247f9 is live", "web2: what is live is not known"
    )
    assert {"confirm web1", "confirm web3"} <= set(rollout.events)


def test_an_interrupt_before_the_end_undoes_nothing_by_itself() -> None:
    """It passes through: closing the sessions has every host undo what was begun."""
    rollout = Rollout()
    rollout.sessions["web2"].answers["switch"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        rollout.run()
    assert not [event for event in rollout.events if event.startswith(("revert", "confirm"))]


def test_without_gates_all_are_switched_and_confirmed() -> None:
    """Where nothing can be asked, no step claims a check."""
    reports = RecordedReports()
    legs = [Leg(name, FakeSession(), PLAN.on(name), None) for name in NAMES]
    roll_out(legs, Steps(reports, FakeClock()), watch=FakeWatch(), uninterrupted=contextlib.nullcontext)
    assert not [name for name in reports.said("started") if name.startswith("check")]
    assert {"finish web1", "finish web2", "finish web3"} <= set(reports.said("finished"))


PATIENT = replace(PLAN, approach=(step("start", "start"),), patient=True)
TURN = ["contents", "watch", "start", "switch", "mark", "gate", "held", "confirm", "released"]


def turn(name: str, *events: str) -> list[str]:
    """What happens at one host, as the shared list has it."""
    return [event if event in {"watch", "mark", "held", "released"} else f"{event} {name}" for event in events]


def test_patient_plans_are_carried_out_one_host_after_the_other() -> None:
    """Each through its gate before the next is touched; nobody watches while a host prepares."""
    events = Rollout(dict.fromkeys(NAMES, PATIENT)).run()
    assert events == [event for name in NAMES for event in turn(name, *TURN)]


def test_a_patient_host_with_nothing_to_do_is_only_finished() -> None:
    """In its turn, without a watch of its own."""
    events = Rollout({"web1": PATIENT, "web2": IDLE, "web3": PATIENT}).run()
    assert events == [*turn("web1", *TURN), "conclude web2", *turn("web3", *TURN)]


def test_the_first_patient_host_that_fails_ends_the_deploy() -> None:
    """It goes back, the ones before it stay, the ones behind it are not touched, and the error says how each is."""
    rollout = Rollout(dict.fromkeys(NAMES, PATIENT), reasons={"web2": "status 500"})
    error = rollout.fails(GateFailed, "web2: ", "status 500")
    assert "web1: 20261122T190300Z-7f247f9 is live" in error.hint
    assert "web2: 20261121T190300Z-aaaaaaa is live again" in error.hint
    assert "web3: 20261121T190300Z-aaaaaaa is live, as before" in error.hint
    assert "revert web2" in rollout.events
    assert not [event for event in rollout.events if "web3" in event]


def test_a_patient_host_that_cannot_prepare_leaves_all_as_they_are() -> None:
    """Its own failure is told, with its exit code."""
    rollout = Rollout(dict.fromkeys(NAMES, PATIENT))
    rollout.sessions["web1"].answers["contents"] = DeployFailed("build failed")
    error = rollout.fails(DeployFailed, "web1: build failed")
    assert "web1: 20261121T190300Z-aaaaaaa is live, as before" in error.hint
    assert "watch" not in rollout.events


def test_a_signal_at_the_end_of_a_patient_host_goes_no_further() -> None:
    """What that host has left to do it does by itself, it keeps the new release, and those behind it are not touched."""
    lasting = replace(PATIENT, rest=(step("retire", "retire"),))
    rollout = Rollout(dict.fromkeys(NAMES, lasting))
    rollout.sessions["web2"].answers["retire"] = KeyboardInterrupt()
    error = rollout.fails(Interrupted, "interrupted when web2 was done but for its end")
    for name in ("web1", "web2"):
        assert f"{name}: 20261122T190300Z-7f247f9 is live" in error.hint
    assert "web3: 20261121T190300Z-aaaaaaa is live, as before" in error.hint
    assert not [event for event in rollout.events if "web3" in event]
    rollout = Rollout(dict.fromkeys(NAMES, lasting))
    rollout.sessions["web3"].answers["retire"] = KeyboardInterrupt()
    rollout.run()
