"""One deploy from build to result: what each end looks like to programs, and what is always cleaned up."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace

import pytest

from deployer.deploy import Collaborators, ProbeFigures, Result, deploy
from deployer.errors import (
    BudgetExceeded,
    ConnectionLost,
    ConnectionRefused,
    DeployerError,
    DeployFailed,
    GateFailed,
    Interrupted,
    InvalidInput,
    LockHeld,
    StateUnknown,
)
from deployer.fleet import Destination
from deployer.plan import Effect, Plan, Request, Step
from tests.fakes import FakeClock, FakeSession, FakeStrategy, FakeTransport, FakeWatch, RecordedReports, held

NEW, OLD = "20261122T190300Z-7f247f9.c0ffee", "20261121T190300Z-aaaaaaa.beef"


def step(name: str) -> tuple[Step, ...]:
    return (Step(name, f"do {name}", (Request(name, Effect.WRITE),)),)


PLAN = Plan(
    NEW,
    OLD,
    commit="7f247f9a0b1c",
    prepare=step("upload"),
    switch=step("switch")[0],
    confirm=step("finish"),
    revert=step("roll back"),
    figures={"files_total": 4, "files_uploaded": 2, "files_deleted": 1, "bytes_uploaded": 300},
    warnings=("somebody wrote into the live release",),
)
FIGURES = ProbeFigures(requests=100, dropped=0, p50_ms=1.5, p99_ms=4.0, longest_gap_ms=60.0)


@dataclass
class World:
    """A deploy of ``plan`` against fakes."""

    plan: Plan = PLAN
    session: FakeSession = field(default_factory=FakeSession)
    watch: FakeWatch = field(default_factory=FakeWatch)
    reports: RecordedReports = field(default_factory=RecordedReports)
    clock: FakeClock = field(default_factory=FakeClock)
    reason: str = ""
    budget: int = 0
    dry: bool = False
    refused: BaseException | None = None

    def __post_init__(self) -> None:
        self.strategy = FakeStrategy(self.plan)

    def run(self, success: str = "deployed", transport: FakeTransport | None = None) -> Result:
        way = transport or FakeTransport(self.session, error=self.refused)
        collaborators = Collaborators(
            destinations=(Destination(way, lambda _plan: lambda: self.reason),),
            reporter=self.reports,
            clock=self.clock,
            watch=self.watch,
            uninterrupted=lambda: held([]),
            probe_budget=self.budget,
            dry=self.dry,
        )
        result = Result("blog", "static", "staging", ("deploy@example.org:22",), "https://example.org/")
        return deploy(result, self.strategy, collaborators, success=success)


def test_a_good_deploy_is_the_documented_object() -> None:
    """Every member of `run --json` is there, with its unit, and what people see are short names."""
    world = World(watch=FakeWatch(seen=FIGURES))
    world.session.answers["upload"] = lambda: world.clock.sleep(1.23456)
    result = world.run()
    assert result.error is None
    answer = json.loads(json.dumps(result.as_json()))
    steps = answer.pop("steps")
    assert [each["name"] for each in steps[2:]] == ["compare", "upload", "switch", "check", "finish"]
    assert {each["name"] for each in steps[:2]} == {"connect", "scan"}
    assert answer == {
        "app": "blog",
        "strategy": "static",
        "environment": "staging",
        "hosts": ["deploy@example.org:22"],
        "release": "20261122T190300Z-7f247f9",
        "previous_release": "20261121T190300Z-aaaaaaa",
        "status": "deployed",
        "commit": "7f247f9a0b1c",
        "url": "https://example.org/",
        "files_total": 4,
        "files_uploaded": 2,
        "files_deleted": 1,
        "bytes_uploaded": 300,
        "duration_seconds": 1.235,
        "probe": {"requests": 100, "dropped": 0, "p50_ms": 1.5, "p99_ms": 4.0, "longest_gap_ms": 60.0},
        "error": None,
    }


def test_what_is_not_known_is_null() -> None:
    """Empty texts are no values, and a deploy that never compared uploaded nothing."""
    answer = Result("blog", "static", "", ("local",), "").as_json()
    assert [name for name, value in answer.items() if value is None] == [
        "environment",
        "release",
        "previous_release",
        "commit",
        "url",
        "probe",
        "error",
    ]
    assert (answer["status"], answer["files_total"], answer["bytes_uploaded"]) == ("failed", 0, 0)


def test_warnings_of_the_plan_are_told() -> None:
    """A person reads them before the upload begins."""
    world = World()
    world.run()
    assert world.reports.said("warning") == ["somebody wrote into the live release"]


def test_a_rollback_has_a_status_of_its_own() -> None:
    """The same engine, another word for success."""
    assert World().run(success="rolled_back").status == "rolled_back"


def test_nothing_to_do_is_unchanged() -> None:
    """No step, no gate, no probe; the session is closed without waiting, because nothing is left to undo."""
    world = World(Plan(OLD, OLD, figures={"files_total": 4}))
    result = world.run()
    assert (result.status, result.error, result.figures) == ("unchanged", None, {"files_total": 4})
    assert "watch" not in world.watch.events
    assert world.session.closed == [False]


def test_a_dry_run_is_planned() -> None:
    """The plan is the result; it is not carried out, and no build runs."""
    world = World(dry=True)
    world.strategy.build_summary = "make"
    result = world.run()
    assert (result.status, result.plan) == ("planned", PLAN)
    assert world.strategy.events == ["scan", "decide"]
    assert world.session.events == ["close"]


def test_a_build_comes_first() -> None:
    """It has its step, and runs before anything is read or connected."""
    world = World()
    world.strategy.build_summary = "make build"
    world.run()
    assert world.strategy.events[:2] == ["build", "scan"]
    assert world.reports.calls[0] == ("started", "build", "make build")


def test_a_failed_build_touches_nothing() -> None:
    """No connection is made."""
    world = World()
    world.strategy.build_summary = "make build"
    world.strategy.troubles["build"] = DeployFailed("the build failed")
    result = world.run()
    assert (result.status, result.error) == ("failed", world.strategy.troubles["build"])
    assert world.session.events == []
    assert world.strategy.events == ["build"]


def test_a_source_that_cannot_be_read_ends_the_deploy() -> None:
    """The lock is not taken, and the error is the source's, whatever the host would have said."""
    world = World(refused=ConnectionRefused("nobody is there"))
    world.strategy.troubles["scan"] = InvalidInput("the source is empty")
    result = world.run()
    assert result.error is world.strategy.troubles["scan"]
    assert world.session.sent == []


def test_a_source_that_cannot_be_read_does_not_wait_for_the_host() -> None:
    """The message comes at once, even when the host takes long to answer."""
    world = World()
    answered = threading.Event()
    waited: list[bool] = []
    world.strategy.troubles["scan"] = InvalidInput("the source is empty")

    class Slow(FakeTransport):
        def open(self, program: str) -> FakeSession:
            waited.append(answered.wait(60))
            return world.session

    collaborators = Collaborators(
        destinations=(Destination(Slow(world.session), lambda _plan: None),),
        reporter=world.reports,
        clock=world.clock,
        watch=world.watch,
        uninterrupted=lambda: held([]),
    )
    result = deploy(Result("blog", "static", "", (), ""), world.strategy, collaborators)
    assert waited == []
    answered.set()
    assert isinstance(result.error, InvalidInput)


def test_a_host_that_does_not_let_us_in_ends_the_deploy() -> None:
    """The connection's error is the result's."""
    world = World(refused=ConnectionRefused("wrong host key"))
    result = world.run()
    assert (result.status, result.error) == ("failed", world.refused)
    assert result.error is not None and result.error.exit_code == 4


@pytest.mark.parametrize(
    ("verb", "error"),
    [("upload", DeployFailed("no space")), ("upload", ConnectionLost("gone")), ("switch", DeployFailed("deposed"))],
)
def test_a_failure_waits_until_the_host_has_undone(verb: str, error: DeployerError) -> None:
    """The session is closed once, with waiting; the figures of what was done stay in the result."""
    world = World()
    world.session.answers[verb] = error
    result = world.run()
    assert (result.status, str(result.error)) == ("failed", str(error))
    assert world.session.closed == [True]
    assert result.figures["bytes_uploaded"] == 300
    assert (result.release, result.previous_release) == (NEW, OLD)


def sending(files: int, size: int, previous: str = OLD) -> Plan:
    """A plan that sends so many files, and of which so many bytes have been sent when it ends."""
    figures = {"files_total": 9, "files_uploaded": files, "files_deleted": 0, "bytes_uploaded": size}
    return replace(PLAN, figures=figures, previous=previous)


def broken_off(*plans: Plan, times: int) -> World:
    """A deploy whose upload breaks so many times; what is decided is one of the plans after the other."""
    world = World()
    errors = [ConnectionLost(f"gone {number}") for number in range(1, times + 1)]
    decided = iter(plans)

    def upload() -> None:
        if errors:
            raise errors.pop(0)

    def decide() -> None:
        world.strategy.plan = next(decided)

    world.session.answers["upload"] = upload
    world.strategy.deciding = decide
    return world


def test_a_broken_upload_is_gone_on_with() -> None:
    """As long as less is missing each time; the figures are of all attempts, and the build and the scan are not repeated."""
    world = broken_off(sending(9, 5_000_000), sending(5, 5_000_000), sending(1, 700), times=2)
    result = world.run()
    assert (result.status, result.error) == ("deployed", None)
    assert result.figures == {"files_total": 9, "files_uploaded": 9, "files_deleted": 0, "bytes_uploaded": 10_000_700}
    assert world.session.closed == [True, True, False]
    assert [event for event in world.strategy.events if event != "decide"] == ["scan"]
    assert world.watch.events == ["watch", "mark", "stop"]
    assert [note.partition(";")[0] for note in world.reports.said("note")] == ["gone 1", "gone 2"]


@pytest.mark.parametrize(
    "plans",
    [
        (sending(9, 1_000_000),),
        (sending(9, 5_000_000), sending(9, 0)),
        (sending(9, 5_000_000), sending(5, 0, previous=NEW)),
    ],
    ids=["little was sent", "nothing more is there", "somebody else has deployed"],
)
def test_a_broken_upload_is_not_gone_on_with_in_vain(plans: tuple[Plan, ...]) -> None:
    """Then the connection's end is the deploy's, and every lock is given back."""
    world = broken_off(*plans, times=1)
    result = world.run()
    assert result.error is not None
    assert (result.status, result.error.message, result.error.exit_code) == ("failed", "gone 1", 1)
    assert result.figures["bytes_uploaded"] == plans[0].figures["bytes_uploaded"]
    assert world.session.closed == [True] * len(plans)


def test_a_host_that_is_gone_for_good_is_a_broken_connection() -> None:
    """Exit code 1 as for every deploy that had begun, and both reasons are told."""
    world = broken_off(sending(9, 5_000_000), times=1)
    transport = FakeTransport(world.session)

    def upload() -> None:
        transport.error = ConnectionRefused("cannot connect")
        raise ConnectionLost("gone")

    world.session.answers["upload"] = upload
    result = world.run(transport=transport)
    assert result.error is not None
    assert (result.error.exit_code, result.error.message) == (1, "gone; and then cannot connect")


def test_a_failed_gate_is_rolled_back() -> None:
    """Status, error and exit code of the automatic rollback; the probe is still measured to its end."""
    world = World(reason="status 500", watch=FakeWatch(seen=FIGURES))
    result = world.run()
    assert result.status == "rolled_back"
    assert isinstance(result.error, GateFailed)
    assert result.probe == FIGURES


def test_an_unknown_state_is_a_failure() -> None:
    """Nobody claims a rollback that was not confirmed."""
    world = World(reason="status 500")
    world.session.answers["roll back"] = ConnectionLost("gone")
    result = world.run()
    assert result.status == "failed"
    assert isinstance(result.error, StateUnknown)


def test_an_error_before_the_plan_closes_the_session() -> None:
    """The lock is held by then: the host gives it back."""
    world = World()
    world.strategy.troubles["decide"] = DeployFailed("not enough disk space")
    result = world.run()
    assert result.error is world.strategy.troubles["decide"]
    assert (world.session.closed, result.plan, result.figures) == ([True], None, {})


@pytest.mark.parametrize("error", [RuntimeError("a bug"), MemoryError()])
def test_a_bug_closes_the_session_too(error: Exception) -> None:
    """An error that nobody expected passes through, after the host was told to undo."""
    world = World()
    world.strategy.troubles["decide"] = error
    with pytest.raises(type(error)):
        world.run()
    assert world.session.closed == [True]


@pytest.mark.parametrize(("dropped", "budget", "exceeded"), [(0, 0, False), (1, 0, True), (3, 3, False), (4, 3, True)])
def test_more_drops_than_the_budget_is_an_error_of_its_own(dropped: int, budget: int, exceeded: bool) -> None:
    """The release stays live: the status says deployed, the error says how many were lost."""
    result = World(watch=FakeWatch(seen=replace(FIGURES, dropped=dropped)), budget=budget).run()
    assert result.status == "deployed"
    assert isinstance(result.error, BudgetExceeded) == exceeded
    if exceeded:
        assert f"{dropped} of 100 requests were dropped" in str(result.error)


def test_drops_do_not_hide_another_error() -> None:
    """A failed gate stays the reason, however many requests its release lost."""
    result = World(reason="status 500", watch=FakeWatch(seen=replace(FIGURES, dropped=50))).run()
    assert isinstance(result.error, GateFailed)


@pytest.mark.parametrize("moment", ["scan", "decide"])
def test_an_interrupt_is_a_failure_of_its_own(moment: str) -> None:
    """Exit code 130, and the probe is not waited for."""
    world = World()
    world.strategy.troubles[moment] = KeyboardInterrupt()
    result = world.run()
    assert result.status == "failed"
    assert isinstance(result.error, Interrupted)
    assert world.watch.events == ["abandon"]


@pytest.mark.parametrize("verb", ["upload", "switch"])
def test_an_interrupt_waits_until_the_host_has_undone(verb: str) -> None:
    """The session's end undoes, and somebody looks that it did."""
    world = World()
    world.session.answers[verb] = KeyboardInterrupt()
    assert isinstance(world.run().error, Interrupted)
    assert world.session.closed == [True]
    assert world.watch.events[-1] == "abandon"


def test_an_interrupt_after_the_confirm_does_not_deny_the_deploy() -> None:
    """The release is live and confirmed: nobody may say that the old one serves."""
    world = World()

    class Interrupting(FakeSession):
        def close(self, *, wait: bool = True) -> None:
            raise KeyboardInterrupt

    world.session = Interrupting()
    result = world.run()
    assert (result.status, result.error) == ("deployed", None)


def test_an_interrupt_while_the_probe_settles_does_not_deny_the_deploy() -> None:
    """What the probe saw is given up, the deploy is not."""
    world = World(watch=FakeWatch(interrupt=KeyboardInterrupt(), seen=FIGURES))
    result = world.run()
    assert (result.status, result.error, result.probe) == ("deployed", None, None)
    assert world.watch.events[-1] == "abandon"


@dataclass
class SeveralHosts:
    """A deploy to three hosts, each with a session and a plan of its own."""

    plans: tuple[Plan, ...] = (PLAN, PLAN, PLAN)

    def __post_init__(self) -> None:
        self.sessions = [FakeSession() for _ in self.plans]
        self.reports = RecordedReports()
        self.strategy = FakeStrategy(PLAN, plans=self.plans, asks=(Request("lock", Effect.WRITE),))

    def run(self) -> Result:
        names = [f"web{number}" for number, _ in enumerate(self.plans, 1)]
        ways = [FakeTransport(session, host=name) for session, name in zip(self.sessions, names, strict=True)]
        world = Collaborators(
            destinations=tuple(Destination(way, lambda _plan: lambda: "", way.host) for way in ways),
            reporter=self.reports,
            clock=FakeClock(),
            watch=FakeWatch(),
            uninterrupted=lambda: held([]),
        )
        return deploy(Result("blog", "static", "", tuple(names), ""), self.strategy, world)


def test_several_hosts_are_one_result() -> None:
    """The release is counted once, what was done for it on every host; each step says where it was."""
    world = SeveralHosts((PLAN, replace(PLAN, previous="", warnings=()), PLAN))
    result = world.run()
    assert (result.status, result.error) == ("deployed", None)
    assert result.figures == {"files_total": 4, "files_uploaded": 6, "files_deleted": 3, "bytes_uploaded": 900}
    assert (result.release, result.previous_release) == (NEW, OLD)
    names = [name for name, _ in result.steps]
    assert {"connect web1", "upload web2", "switch web3", "check web3", "finish web1"} <= set(names)
    assert names.count("compare") == 1
    assert world.reports.said("warning") == [
        f"{name}: somebody wrote into the live release" for name in ("web1", "web3")
    ]
    assert [answer.host for answer in world.strategy.answers] == ["web1", "web2", "web3"]
    assert [session.closed for session in world.sessions] == [[False]] * 3


def test_unchanged_is_what_all_are() -> None:
    """One that has something to do makes it a deploy."""
    unchanged = Plan(OLD, OLD, figures={"files_total": 4})
    assert SeveralHosts((unchanged,) * 3).run().status == "unchanged"
    assert SeveralHosts((unchanged, PLAN, unchanged)).run().status == "deployed"


def test_several_hosts_are_asked_once() -> None:
    """At the same time, without waiting for a lock; one host alone waits."""
    world = SeveralHosts()
    world.run()
    assert world.strategy.manners == [(False, False)]
    alone = World()
    alone.run()
    assert alone.strategy.manners == [(True, True)]


@pytest.mark.parametrize("moment", ["lock", "decide"])
def test_a_held_lock_on_one_of_several_is_waited_for_in_turn(moment: str) -> None:
    """All are left, with a look that they unlock, connected anew, and asked patiently; the deploy goes on."""
    world = SeveralHosts()
    held_once = [LockHeld("another deploy holds the lock on web2: anna")]

    def hold() -> None:
        if held_once:
            raise held_once.pop()

    if moment == "lock":
        world.sessions[1].answers["lock"] = hold
    else:
        world.strategy.deciding = hold
    result = world.run()
    assert (result.status, result.error) == ("deployed", None)
    assert world.strategy.manners == [(False, False), (False, True)]
    assert [session.closed for session in world.sessions] == [[True, False]] * 3
    assert [name for name, _ in result.steps].count("compare") == 1
    (note,) = world.reports.said("note")
    assert "on web2: anna" in note


def test_a_lock_that_is_never_free_is_an_error() -> None:
    """Whoever has waited in vain is told whose it is, and no lock stays."""
    world = SeveralHosts()
    world.sessions[2].answers["lock"] = LockHeld("another deploy holds the lock on web3: anna")
    result = world.run()
    assert result.error is world.sessions[2].answers["lock"]
    assert [session.closed for session in world.sessions] == [[True, True]] * 3


def test_a_failure_on_one_of_several_closes_all() -> None:
    """Each host undoes, and somebody looks that it did."""
    world = SeveralHosts()
    world.sessions[1].answers["upload"] = DeployFailed("web2: no space")
    result = world.run()
    assert (result.status, result.error is not None and result.error.message) == ("failed", "web2: no space")
    assert [session.closed for session in world.sessions] == [[True]] * 3
