"""Running a plan: every end that it can have, and the order of what happens on the way."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from deployer.engine import Steps, carry_out
from deployer.errors import ConnectionLost, DeployerError, DeployFailed, GateFailed, PreparationLost, StateUnknown
from deployer.interrupts import Interrupts
from deployer.plan import Effect, Plan, Reply, Request, Step
from tests.fakes import Behaviour, FakeClock, FakeSession, FakeWatch, RecordedReports, held

NEW, OLD = "20261122T190300Z-7f247f9.c0ffee", "20261121T190300Z-aaaaaaa.beef"
WAY_UP = ["contents 1", "contents 2", "tree", "watch", "switch", "mark", "gate"]


def step(name: str, *verbs: str) -> Step:
    return Step(name, f"do {name}", tuple(Request(verb, Effect.WRITE) for verb in verbs))


PLAN = Plan(
    NEW,
    OLD,
    prepare=(step("upload", "contents 1", "contents 2"), step("assemble", "tree")),
    switch=step("switch", "switch"),
    confirm=(step("log", "log"), step("finish", "confirm")),
    revert=(step("log", "log"), step("roll back", "revert")),
)


@dataclass
class Deploy:
    """One run of a plan against fakes that share a list of events."""

    plan: Plan = PLAN
    reason: str = ""
    answers: dict[str, Behaviour] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    reports: RecordedReports = field(default_factory=RecordedReports)
    interrupts: Interrupts | None = None

    def __post_init__(self) -> None:
        self.steps = Steps(self.reports, FakeClock())

    def run(self) -> list[str]:
        """Carry the plan out, and give everything that happened in order."""
        session = FakeSession(self.answers, self.events)
        uninterrupted = self.interrupts.held if self.interrupts else lambda: held(self.events)
        carry_out(self.plan, session, self.steps, gate=self.gate, watch=self.watch(), uninterrupted=uninterrupted)
        return self.events

    def watch(self) -> FakeWatch:
        return FakeWatch(self.events)

    def gate(self) -> str:
        self.events.append("gate")
        answer = self.answers.get("gate")
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            answer()
        return self.reason


def test_a_release_that_passes_is_confirmed() -> None:
    """Send everything, watch, switch, look, and finish without being interrupted."""
    assert Deploy().run() == [*WAY_UP, "held", "log", "confirm", "released"]


def test_a_release_that_fails_is_reverted() -> None:
    """The old one goes live again, nothing is confirmed, and the error says why in one line."""
    deploy = Deploy(reason="https://example.org/ answered 500")
    with pytest.raises(GateFailed, match="20261122T190300Z-7f247f9 failed its health gate: .* 500") as caught:
        deploy.run()
    assert deploy.events == [*WAY_UP, "held", "log", "revert", "return"]
    assert caught.value.hint.startswith("20261121T190300Z-aaaaaaa is live again")


def test_a_first_release_that_fails_leaves_nothing() -> None:
    """Without a release before it, the hint says so."""
    plan = Plan(NEW, "", switch=PLAN.switch, revert=PLAN.revert)
    with pytest.raises(GateFailed) as caught:
        Deploy(plan, reason="wrong").run()
    assert caught.value.hint.startswith("Nothing is live again")


def test_a_plan_without_a_switch_does_nothing() -> None:
    """No watch, no gate, no request."""
    assert Deploy(Plan(OLD, OLD)).run() == []


def test_without_a_gate_nothing_is_checked() -> None:
    """Where nothing can be asked, the switch is confirmed at once, and no step claims a check."""
    events: list[str] = []
    reports = RecordedReports()
    carry_out(
        PLAN,
        FakeSession(events=events),
        Steps(reports, FakeClock()),
        gate=None,
        watch=FakeWatch(events),
        uninterrupted=lambda: held(events),
    )
    assert events == [*WAY_UP[:-1], "held", "log", "confirm", "released"]
    assert "check" not in reports.said("started")


@pytest.mark.parametrize("verb", ["contents 1", "contents 2", "tree"])
@pytest.mark.parametrize("error", [DeployFailed("no space"), ConnectionLost("gone")])
def test_a_failure_before_the_switch_is_told_as_it_is(verb: str, error: DeployerError) -> None:
    """Nothing was switched: neither watch nor gate begin. After a lost connection, another attempt may go on."""
    deploy = Deploy(answers={verb: error})
    with pytest.raises(DeployerError) as caught:
        deploy.run()
    assert (caught.value.exit_code, caught.value.message) == (1, error.message)
    assert isinstance(caught.value, PreparationLost) == isinstance(error, ConnectionLost)
    assert deploy.events == WAY_UP[: WAY_UP.index(verb) + 1]


class DeafSession(FakeSession):
    """Everything that it is sent at once leaves this end, and the line breaks before an answer comes."""

    def stream(self, requests: Iterable[Request]) -> Iterator[Reply]:
        self.events.extend(request.verb for request in requests)
        raise ConnectionLost("gone")


def test_the_switch_waits_until_much_has_arrived() -> None:
    """A break while the last megabytes are on the way is no break during the switch: another attempt may go on."""
    session = DeafSession()
    steps = Steps(RecordedReports(), FakeClock())
    with pytest.raises(PreparationLost):
        carry_out(
            replace(PLAN, heavy=True),
            session,
            steps,
            gate=None,
            watch=FakeWatch(session.events),
            uninterrupted=lambda: held(session.events),
        )
    assert session.events == WAY_UP[:3]


def test_a_connection_lost_at_the_switch_is_an_unknown_state() -> None:
    """The request was sent, and nobody said what became of it."""
    with pytest.raises(StateUnknown, match="broke during the switch to 20261122T190300Z-7f247f9: gone") as caught:
        Deploy(answers={"switch": ConnectionLost("gone")}).run()
    assert "deployer status" in caught.value.hint


def test_a_switch_that_the_host_refuses_is_a_failure() -> None:
    """The host said that it did not switch: the old release serves."""
    deploy = Deploy(answers={"switch": DeployFailed("the lock was taken away, so nothing was switched")})
    with pytest.raises(DeployFailed, match="nothing was switched"):
        deploy.run()
    assert "gate" not in deploy.events


@pytest.mark.parametrize(("reason", "verb"), [("", "log"), ("", "confirm"), ("wrong", "log"), ("wrong", "revert")])
@pytest.mark.parametrize("error", [ConnectionLost("gone"), DeployFailed("cannot switch back")])
def test_a_failure_after_the_switch_is_an_unknown_state(reason: str, verb: str, error: DeployerError) -> None:
    """A person has to look: the end was neither confirmed nor undone as far as anybody knows."""
    with pytest.raises(StateUnknown, match="was switched to, but the end of the deploy is not known") as caught:
        Deploy(reason=reason, answers={verb: error}).run()
    assert caught.value.__cause__ is error
    assert caught.value.exit_code == 7


def test_a_gate_that_cannot_look_leaves_the_switch_unconfirmed() -> None:
    """The session's end then has the host undo it."""
    deploy = Deploy(answers={"gate": DeployFailed("no network")})
    with pytest.raises(DeployFailed, match="no network"):
        deploy.run()
    assert deploy.events == WAY_UP


def test_steps_are_told_in_pairs_and_in_order() -> None:
    """Each step begins with its summary, ends when its last reply is there, and has a duration."""
    deploy = Deploy()
    deploy.run()
    names = ["upload", "assemble", "switch", "check", "log", "finish"]
    assert deploy.reports.said("started") == deploy.reports.said("finished") == names
    assert [name for name, _ in deploy.steps.durations] == names
    assert ("started", "upload", "do upload") in deploy.reports.calls


def test_durations_are_seconds_of_the_clock() -> None:
    """What a step took is the time between its predecessor's last reply and its own."""
    clock = FakeClock()
    answers: dict[str, Behaviour] = {"tree": lambda: clock.sleep(2.5), "switch": lambda: clock.sleep(0.25)}
    steps = Steps(RecordedReports(), clock)
    carry_out(
        PLAN, FakeSession(answers), steps, gate=lambda: "", watch=FakeWatch(), uninterrupted=contextlib.nullcontext
    )
    assert [(name, seconds) for name, seconds in steps.durations if seconds] == [("assemble", 2.5), ("switch", 0.25)]


def test_a_step_that_fails_is_not_counted() -> None:
    """It never ended."""
    deploy = Deploy(answers={"tree": DeployFailed("no space")})
    with pytest.raises(DeployFailed):
        deploy.run()
    assert [name for name, _ in deploy.steps.durations] == ["upload"]


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    taken = Interrupts()
    taken.install()
    yield taken
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("moment", ["contents 1", "tree", "switch", "gate"])
def test_a_signal_before_the_verdict_stops_the_deploy(moment: str, interrupts: Interrupts) -> None:
    """Nothing further is sent: closing the session has the host undo what was begun."""
    deploy = Deploy(answers={moment: interrupt}, interrupts=interrupts)
    with pytest.raises(KeyboardInterrupt):
        deploy.run()
    assert deploy.events == WAY_UP[: WAY_UP.index(moment) + 1]


@pytest.mark.parametrize("moment", ["log", "confirm"])
def test_a_signal_after_the_verdict_waits(moment: str, interrupts: Interrupts) -> None:
    """A release that has passed is finished, in the moment that this takes."""
    assert Deploy(answers={moment: interrupt}, interrupts=interrupts).run() == [*WAY_UP, "log", "confirm"]


def test_a_signal_during_the_way_back_waits(interrupts: Interrupts) -> None:
    """A rollback that has begun is finished, and told as one."""
    deploy = Deploy(reason="wrong", answers={"log": interrupt}, interrupts=interrupts)
    with pytest.raises(GateFailed):
        deploy.run()
    assert deploy.events[-2:] == ["revert", "return"]


def test_a_second_signal_gives_up_the_finish(interrupts: Interrupts) -> None:
    """Whoever insists gets out, and is told that the state is unknown."""

    def twice() -> None:
        interrupt()
        interrupt()

    with pytest.raises(StateUnknown, match="interrupted twice"):
        Deploy(answers={"log": twice}, interrupts=interrupts).run()


PATIENT = replace(PLAN, approach=(step("start", "start"),), patient=True)


def test_a_patient_plan_is_watched_when_it_is_prepared() -> None:
    """The watch does not run beside a build; the approach, which visitors might notice, is watched."""
    way = ["contents 1", "contents 2", "tree", "watch", "start", "switch", "mark", "gate"]
    assert Deploy(PATIENT).run() == [*way, "held", "log", "confirm", "released"]


def test_a_patient_plan_that_loses_its_connection_before_the_switch_is_a_failure() -> None:
    """What was live before serves: only the switch itself makes the state unknown."""
    for verb, kind in (("start", ConnectionLost), ("switch", StateUnknown)):
        with pytest.raises(DeployerError) as caught:
            Deploy(PATIENT, answers={verb: ConnectionLost("gone")}).run()
        assert type(caught.value) is kind


def test_a_one_way_release_is_not_reverted() -> None:
    """Its gate fails, it stays, and the error says why."""
    deploy = Deploy(replace(PATIENT, one_way="the database was migrated"), reason="status 500")
    with pytest.raises(StateUnknown, match="status 500. It was not rolled back: the database was migrated"):
        deploy.run()
    assert "revert" not in deploy.events


LASTING = replace(PATIENT, rest=(step("retire", "retire"), step("finish", "finish")))


def test_what_may_last_comes_at_last() -> None:
    """Signals are heard again by then."""
    deploy = Deploy(LASTING)
    assert deploy.run()[-5:] == ["log", "confirm", "released", "retire", "finish"]


def test_a_signal_leaves_what_may_last_to_the_host(interrupts: Interrupts) -> None:
    """The release is live: that is no failure, but the warning says that nobody has waited for the end."""
    deploy = Deploy(LASTING, answers={"retire": interrupt}, interrupts=interrupts)
    deploy.run()
    assert deploy.events[-1] == "retire"
    (warning,) = deploy.reports.said("warning")
    assert (
        warning
        == "interrupted when 20261122T190300Z-7f247f9 was live; the host does the rest by itself (retire, finish)"
    )


def test_a_failure_of_what_may_last_is_an_unknown_end() -> None:
    """The host said what went wrong; the release is live all the same."""
    with pytest.raises(StateUnknown, match="was switched to, but the end of the deploy is not known: no space"):
        Deploy(LASTING, answers={"retire": DeployFailed("no space")}).run()
