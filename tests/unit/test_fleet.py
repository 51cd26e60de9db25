"""The hosts of a deploy: reached together, locked in one order, and never left open."""

from __future__ import annotations

import threading
import time

import pytest

from deployer.engine import Steps
from deployer.errors import ConnectionLost, ConnectionRefused, LockHeld
from deployer.fleet import Connecting, Destination, leave, open_at_once, open_in_turn
from deployer.plan import Effect, Request
from deployer.ports import Session
from tests.fakes import FakeClock, FakeSession, FakeTransport, RecordedReports

SITE, LOCK, FACTS = Request("site", Effect.READ), Request("lock", Effect.WRITE), Request("facts", Effect.READ)


def destination(name: str, session: Session | None = None, error: BaseException | None = None) -> Destination:
    transport = FakeTransport(session or FakeSession(), host=f"deploy@{name}:22", error=error)
    return Destination(transport, lambda _plan: None, name)


def require(happened: bool) -> None:
    assert happened


def steps() -> Steps:
    return Steps(RecordedReports(), FakeClock())


def test_all_are_connected_at_the_same_time() -> None:
    """Each waits for the others, so one after the other would never end; the sessions come in the hosts' order."""
    barrier = threading.Barrier(3)
    sessions = [FakeSession() for _ in range(3)]

    class Waiting(FakeTransport):
        def open(self, program: str) -> Session:
            barrier.wait(30)
            return super().open(program)

    destinations = [Destination(Waiting(session), lambda _plan: None, str(n)) for n, session in enumerate(sessions)]
    opened = Connecting(destinations, "the program", steps()).wait()
    assert all(one is other for one, other in zip(opened, sessions, strict=True))


def test_one_that_refuses_closes_the_others() -> None:
    """Those that are open, and those that open later."""
    refused = ConnectionRefused("nobody is there")
    later, closed = threading.Event(), threading.Event()

    class Closing(FakeSession):
        def close(self, *, wait: bool = True) -> None:
            super().close(wait=wait)
            closed.set()

    open_now, open_later = FakeSession(), Closing()

    class Slow(FakeTransport):
        def open(self, program: str) -> Session:
            require(later.wait(30))
            return open_later

    destinations = [
        destination("web1", open_now),
        destination("web2", error=refused),
        Destination(Slow(open_later), lambda _plan: None, "web3"),
    ]
    connecting = Connecting(destinations, "the program", steps())
    with pytest.raises(ConnectionRefused) as caught:
        connecting.wait()
    assert caught.value is refused
    assert open_now.closed in ([False], [])  # it may have been slower than the refusal
    later.set()
    assert closed.wait(30)


def test_the_same_host_is_locked_first_by_everybody() -> None:
    """The first by name, whatever the order in deploy.toml: then nobody holds what another waits for."""
    order: list[str] = []

    def session(name: str) -> FakeSession:
        return FakeSession({"lock": lambda: order.append(name)})

    names = ("web3", "web1", "web2")
    sessions = [session(name) for name in names]
    replies = open_in_turn([destination(name) for name in names], sessions, (LOCK,))
    assert order[0] == "web1"
    assert sorted(order) == ["web1", "web2", "web3"]
    assert [len(each) for each in replies] == [1, 1, 1]


def test_what_comes_behind_the_lock_is_waited_for_together() -> None:
    """The first host takes long to say what it has: the others are asked meanwhile."""
    asked = threading.Event()
    first, other = FakeSession({"facts": lambda: require(asked.wait(30))}), FakeSession({"lock": asked.set})
    replies = open_in_turn([destination("web1"), destination("web2")], [first, other], (SITE, LOCK, FACTS))
    assert asked.is_set()
    assert [len(each) for each in replies] == [3, 3]


def test_a_held_lock_on_the_first_host_asks_no_other() -> None:
    """They stay free for whoever holds it."""
    sessions = [FakeSession(), FakeSession({"lock": LockHeld("anna has it")})]
    with pytest.raises(LockHeld):
        open_in_turn([destination("web2"), destination("web1")], sessions, (LOCK,))
    assert sessions[0].sent == []


def test_hosts_that_wait_for_no_lock_are_asked_at_the_same_time() -> None:
    """Each answers only when all have been asked; the replies come in the hosts' order."""
    barrier = threading.Barrier(3)
    sessions = [FakeSession({"lock": lambda: require(barrier.wait(30) >= 0)}) for _ in range(3)]
    replies = open_at_once(sessions, (SITE, LOCK))
    assert [len(each) for each in replies] == [2, 2, 2]


def test_a_held_lock_is_told_when_all_have_answered() -> None:
    """Whoever is left earlier holds the lock that it has just taken until it has looked at its files."""
    looked = threading.Event()

    def look() -> None:
        time.sleep(0.1)
        looked.set()

    slow = FakeSession({"facts": look})
    with pytest.raises(LockHeld, match="anna has it"):
        open_at_once([FakeSession({"lock": LockHeld("anna has it")}), slow], (LOCK, FACTS))
    assert looked.is_set()


def test_another_failure_does_not_wait_for_the_others() -> None:
    """Nobody is asked again then."""
    never = threading.Event()
    waited: list[bool] = []
    broken = FakeSession({"lock": ConnectionLost("gone")})
    slow = FakeSession({"lock": lambda: waited.append(never.wait(60))})
    with pytest.raises(ConnectionLost):
        open_at_once([broken, slow], (LOCK,))
    assert waited == []
    never.set()


@pytest.mark.parametrize("count", [1, 3])
def test_all_are_left_together(count: int) -> None:
    """Each host may take its seconds to undo, at the same time as the others."""
    barrier = threading.Barrier(count)

    class Undoing(FakeSession):
        def close(self, *, wait: bool = True) -> None:
            barrier.wait(30)
            super().close(wait=wait)

    sessions = [Undoing() for _ in range(count)]
    leave(sessions, wait=True)
    assert [session.closed for session in sessions] == [[True]] * count
