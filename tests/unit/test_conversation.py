"""The line protocol by itself, over a channel in memory; tests/contract holds it on every real way."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.command import encode_program
from deployer.errors import ConnectionLost, DeployFailed, InvalidInput, LockHeld
from deployer.plan import Effect, Request
from deployer.transports import conversation
from deployer.transports.conversation import Conversation
from tests.contract.program import ask

PROGRAM = "echo 'hello' # a program\nexit"
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_.", min_size=1, max_size=8)
LINES = st.binary(max_size=40).map(lambda value: value.replace(b"\n", b" "))


@dataclass
class Memory:
    """A channel whose other side is ``host``: it gets the mark, and gives what the host says, in its pieces."""

    host: Callable[[bytes], Iterator[bytes]]
    words: str = ""
    sent: bytearray = field(default_factory=bytearray)
    closed: int = 0
    broken: bool = False

    def __post_init__(self) -> None:
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._heard = False

    def send(self, data: bytes) -> None:
        if self.broken:
            raise ConnectionResetError("the cable is cut")
        self.sent += data
        if not self._heard and b"\n" in self._lines:
            self._heard = True
            for piece in self.host(self.mark):
                self._answers.put(piece)

    @property
    def mark(self) -> bytes:
        """The first line behind the program."""
        return self._lines.split(b"\n")[0]

    @property
    def requests(self) -> bytes:
        """What came behind program and mark."""
        return self._lines.split(b"\n", 1)[1]

    @property
    def _lines(self) -> bytes:
        return bytes(self.sent).removeprefix(encode_program(PROGRAM))

    def receive(self) -> bytes:
        return self._answers.get()

    def end_input(self) -> None:
        self._answers.put(b"")

    def diagnostics(self) -> str:
        return self.words

    def close(self, *, spare: bool = False) -> None:
        self.closed += 1
        self._answers.put(b"")


def says(*lines: bytes) -> Callable[[bytes], Iterator[bytes]]:
    """A host that says these lines, each behind the mark, in one piece."""

    def host(mark: bytes) -> Iterator[bytes]:
        yield b"".join(mark + b" " + line for line in lines)

    return host


def test_the_program_and_the_mark_come_first() -> None:
    """The program is one line, then comes a mark that no other conversation has; then the requests."""
    channels = [Memory(says(b". one\n", b". two\n")) for _ in range(2)]
    for channel in channels:
        session = Conversation(channel, PROGRAM, "host")
        session.perform(ask("one", "a", "b"), ask("two"))
        session.close()
        assert bytes(channel.sent).startswith(encode_program(PROGRAM) + channel.mark + b"\n")
        assert channel.requests == b"one\na\nb\ntwo\n"
    assert channels[0].mark != channels[1].mark
    assert len(channels[0].mark) == 16


def test_a_body_travels_in_frames() -> None:
    """Each piece behind its size, a nought at the end; empty pieces would be an end and are left out."""

    @dataclass(frozen=True)
    class Pieces:
        def chunks(self) -> Iterator[bytes]:
            yield from (b"first\n", b"", b"0\n")

    channel = Memory(says(b". keep\n"))
    Conversation(channel, PROGRAM, "host").perform(Request("keep", Effect.WRITE, ("file",), Pieces()))
    assert channel.requests == b"keep\nfile\n6\nfirst\n2\n0\n0\n"


@given(
    st.lists(st.tuples(NAMES, LINES | st.binary(max_size=60), st.booleans()), max_size=6),
    st.lists(st.integers(1, 30), min_size=1),
)
def test_facts_are_the_same_in_pieces_of_any_size(facts: list[tuple[str, bytes, bool]], sizes: list[int]) -> None:
    """The network cuts anywhere: in the mark, in a size, inside raw bytes."""

    def host(mark: bytes) -> Iterator[bytes]:
        answer = bytearray(b"noise\n")
        for name, value, raw in facts:
            if raw or b"\n" in value:
                answer += b"%s # %s %d\n%s" % (mark, name.encode(), len(value), value)
            else:
                answer += b"%s = %s %s\n" % (mark, name.encode(), value)
        answer += b"%s . look\n" % mark
        turn = 0
        while answer:
            size = sizes[turn % len(sizes)]
            yield bytes(answer[:size])
            del answer[:size]
            turn += 1

    (reply,) = Conversation(Memory(host), PROGRAM, "host").perform(ask("look"))
    assert reply.facts == tuple((name, value) for name, value, _ in facts)


def test_lines_that_only_look_like_answers_are_skipped() -> None:
    """Another mark, none at all, and kinds that this version does not know."""

    def host(mark: bytes) -> Iterator[bytes]:
        yield b"0123456789abcdef = said wrong\n= said wrong\n\n" + mark + b"= said wrong\n"
        yield mark + b" ? something new\n" + mark + b"\n" + mark + b" = said right\n" + mark + b" . look\n"

    (reply,) = Conversation(Memory(host), PROGRAM, "host").perform(ask("look"))
    assert reply.facts == (("said", b"right"),)


@pytest.mark.parametrize("answer", [b"# data many\n", b"# data 10\nshort", b"# data\n"])
def test_a_broken_answer_is_a_lost_connection(answer: bytes) -> None:
    """A size that is none, and bytes that never come."""

    def host(mark: bytes) -> Iterator[bytes]:
        yield mark + b" " + answer
        yield b""

    with pytest.raises(ConnectionLost, match="the connection to host broke"):
        Conversation(Memory(host), PROGRAM, "host").perform(ask("look"))


def test_a_failure_has_the_hosts_last_words_as_its_hint() -> None:
    """The last three lines of standard error, on one line."""
    channel = Memory(says(b"! failed no space\n"), words="one\n\n two \nthree\ntar: disk full\n")
    with pytest.raises(DeployFailed) as caught:
        Conversation(channel, PROGRAM, "deploy@example.org").perform(ask("look"))
    assert caught.value.message == "deploy@example.org: no space"
    assert caught.value.hint == "The host said: two; three; tar: disk full"


def test_a_held_lock_says_whose_it_is_and_what_to_do() -> None:
    """The owner's label, and the two ways on."""
    with pytest.raises(LockHeld, match="anna@laptop since noon") as caught:
        Conversation(Memory(says(b"! held anna@laptop since noon\n")), PROGRAM, "host").perform(ask("lock"))
    assert "--lock-wait" in caught.value.hint


def test_a_connection_that_breaks_at_once_is_closed() -> None:
    """Not even the program could be sent."""
    channel = Memory(says(), broken=True, words="Permission denied\n")
    with pytest.raises(ConnectionLost, match="broke before the program was there: the cable is cut") as caught:
        Conversation(channel, PROGRAM, "host")
    assert channel.closed == 1
    assert caught.value.hint == "The host said: Permission denied"


def test_a_refused_argument_sends_nothing_of_its_request() -> None:
    """Not even the verb: the host would take what follows for arguments."""
    channel = Memory(says(b". one\n"))
    session = Conversation(channel, PROGRAM, "host")
    with pytest.raises(InvalidInput, match="'two\\\\nlines'"):
        session.perform(ask("one"), ask("two", "fine", "two\nlines"))
    assert channel.requests == b"one\n"


def test_heartbeats_wait_for_a_body_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat inside a body would be taken for a frame."""
    monkeypatch.setattr(conversation, "BEAT_SECONDS", 0.02)

    @dataclass(frozen=True)
    class Slow:
        def chunks(self) -> Iterator[bytes]:
            yield b"a"
            time.sleep(0.2)
            yield b"b"

    channel = Memory(says(b". keep\n"))
    session = Conversation(channel, PROGRAM, "host")
    tuple(session.stream([Request("keep", Effect.WRITE, (), Slow())]))
    session.close()
    assert b"keep\n1\na1\nb0\n" in channel.requests
    assert channel.requests.replace(b"beat\n", b"") == b"keep\n1\na1\nb0\n"


def test_no_heartbeat_after_the_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread ends with the session."""
    monkeypatch.setattr(conversation, "BEAT_SECONDS", 0.02)
    channel, before = Memory(says()), set(threading.enumerate())
    session = Conversation(channel, PROGRAM, "host")
    (beating,) = (each for each in set(threading.enumerate()) - before if each.name == "deployer-beat")
    session.close()
    beating.join(30)
    assert not beating.is_alive()
    assert channel.closed == 1


def test_many_sessions_leave_no_threads() -> None:
    """Receiver, sender and heartbeat end with their session."""
    before = threading.active_count()
    sessions = [Conversation(Memory(says(b". one\n")), PROGRAM, "host") for _ in range(5)]
    for session in sessions:
        session.perform(ask("one"))
        session.close()
    deadline = time.monotonic() + 30
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_an_end_that_nobody_asked_for_is_known() -> None:
    """Before the next request is sent, one can look whether the host is still there; the first reason counts."""
    well = Conversation(Memory(says(b". look\n")), PROGRAM, "host")
    well.perform(ask("look"))
    well.check()
    for line, kind in ((b"! deposed the lock is void\n", DeployFailed), (b"", ConnectionLost)):
        channel = Memory(says(line))
        session = Conversation(channel, PROGRAM, "host")
        channel.end_input()
        session._receiver.join(30)
        with pytest.raises(kind):
            session.check()
