"""What a session does, whichever way leads to the host: the same behaviours on this machine and over SSH."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployer.errors import ConnectionLost, DeployerError, DeployFailed, InvalidInput, LockHeld, StateUnknown
from deployer.plan import Effect, Request
from deployer.ports import Session
from deployer.transports import conversation
from tests.attempts import ATTEMPTS, until
from tests.contract.conftest import Way
from tests.contract.program import TALK, Bytes, Endless, Failing, Late, ask, mirror, sink

SOON = 30.0  # seconds: far more than any of these needs, far less than the command time-out

pytestmark = pytest.mark.timeout(180)


def test_facts_come_in_order_and_may_repeat(way: Way) -> None:
    """A reply has the facts as the host said them; the last of a name is the one that counts."""
    (reply,) = way.open().perform(ask("many"))
    assert reply.facts == (("word", b"one"), ("other", b"two"), ("word", b"three"))
    assert (reply.text("word"), reply.every("word")) == ("three", ("one", "three"))


def test_arguments_arrive_as_they_are(way: Way) -> None:
    """An argument of any characters but line breaks and NUL reaches the host and comes back unchanged."""
    texts = ["", " spaces  around ", "$(exit 9)`exit 9`", "-n", "back\\slash\\n", "'\"", "é\udcff\udc80", "x" * 9000]
    replies = way.open().perform(*(ask("echo", text) for text in texts))
    assert [reply.text("said") for reply in replies] == texts


@pytest.mark.parametrize("text", ["two\nlines", "a\0b"])
def test_an_argument_with_a_line_break_or_nul_is_refused(way: Way, text: str, tmp_path: Path) -> None:
    """Such an argument would be another request: nothing of it is sent, nor of anything behind it."""
    session = way.open()
    with pytest.raises(InvalidInput, match="line break or NUL"):
        session.perform(ask("echo", text), ask("touch", str(tmp_path / "never")))
    session.close()
    assert not (tmp_path / "never").exists()


def test_replies_come_in_the_order_of_the_requests(way: Way) -> None:
    """Many requests at once are carried out one after the other, each with its own reply."""
    replies = way.open().perform(*(ask("echo", str(number)) for number in range(200)))
    assert [reply.number("said") for reply in replies] == list(range(200))


def test_a_body_and_a_raw_fact_of_several_megabytes_arrive_exactly(way: Way, tmp_path: Path) -> None:
    """Bytes of every value pass in both directions, line breaks and zeros included."""
    data = os.urandom(5_000_003) + bytes(range(256)) + b"\n\n"
    session = way.open()
    reply, after = session.perform(mirror(str(tmp_path / "kept"), Bytes(data)), ask("echo", "still here"))
    assert reply.raw("data") == data
    assert (tmp_path / "kept").read_bytes() == data
    assert after.text("said") == "still here"


def test_small_bodies_arrive_exactly(way: Way, tmp_path: Path) -> None:
    """An empty body is one, and contents that look like the protocol's own lines are only contents."""
    bodies = [b"", b"0\n", b"beat\n", b"x"]
    replies = way.open().perform(*(mirror(str(tmp_path / "kept"), Bytes(data, piece=2)) for data in bodies))
    assert [reply.raw("data") for reply in replies] == bodies


def test_requests_are_made_one_after_the_other(way: Way) -> None:
    """A request may wait for the reply to the one before: streaming takes it when it is there."""
    answered = threading.Event()

    def requests() -> Iterator[Request]:
        yield ask("echo", "first")
        assert answered.wait(SOON)
        yield ask("echo", "second")

    said = []
    for reply in way.open().stream(requests()):
        said.append(reply.text("said"))
        answered.set()
    assert said == ["first", "second"]


def test_replies_come_while_a_later_body_is_being_sent(way: Way, tmp_path: Path) -> None:
    """A reply is handed over when it arrives, not when everything is sent."""
    answered = threading.Event()
    waited: list[bool] = []
    late = mirror(str(tmp_path / "kept"), Late(lambda: waited.append(answered.wait(SOON))))
    replies = way.open().stream([ask("echo", "early"), late])
    assert next(replies).text("said") == "early"
    answered.set()
    assert next(replies).raw("data") == b"firstsecond"
    assert waited == [True]


@pytest.mark.parametrize(
    ("code", "error", "exit_code"),
    [
        ("failed", DeployFailed, 1),
        ("invalid", InvalidInput, 2),
        ("held", LockHeld, 3),
        ("deposed", DeployFailed, 1),
        ("unknown", StateUnknown, 7),
        ("from-a-newer-program", DeployFailed, 1),
    ],
)
def test_a_failure_is_the_error_of_its_code(
    way: Way, code: str, error: type[DeployerError], exit_code: int, tmp_path: Path
) -> None:
    """The host's code chooses the error's class, its text is in the message, and what follows is not carried out."""
    session = way.open()
    requests = (ask("echo", "fine"), ask("fail", code, "the disk is odd"), ask("touch", str(tmp_path / "never")))
    replies = session.stream(requests)
    assert next(replies).text("said") == "fine"
    with pytest.raises(DeployerError, match="the disk is odd") as caught:
        next(replies)
    assert (type(caught.value), caught.value.exit_code) == (error, exit_code)
    session.close()
    assert not (tmp_path / "never").exists()


def test_after_a_failure_every_request_fails_with_it(way: Way) -> None:
    """A session that has failed says the same reason again, and never answers with silence."""
    session = way.open()
    for _ in range(3):
        with pytest.raises(StateUnknown, match="odd"):
            session.perform(ask("fail", "unknown", "odd"))


def test_the_end_of_the_host_is_noticed_between_two_requests(way: Way) -> None:
    """What was asked after the host had ended by itself fails as a lost connection."""
    session = way.open()
    session.perform(ask("hold", "/nowhere/at/all"), ask("echo", "x"))
    with pytest.raises(ConnectionLost):
        session.perform(ask("leave"))
    time.sleep(0.2)
    with pytest.raises(ConnectionLost):
        session.perform(ask("echo", "is anybody there?"))


def test_a_host_that_ends_early_is_a_lost_connection_with_its_last_words(way: Way) -> None:
    """What the host wrote to standard error is the hint."""
    with pytest.raises(ConnectionLost, match="ended the conversation") as caught:
        way.open().perform(ask("leave"))
    assert caught.value.hint == "The host said: first words; last words"


def test_an_answer_that_is_cut_is_a_lost_connection(way: Way) -> None:
    """Fewer raw bytes than were announced are never taken for the whole."""
    with pytest.raises(ConnectionLost, match="cut"):
        way.open().perform(ask("cut"))


def test_an_answer_to_something_else_is_a_failure(way: Way) -> None:
    """A program that says another verb than the one that was asked is not believed."""
    with pytest.raises(DeployFailed, match="'truth' instead of 'lie'"):
        way.open().perform(ask("lie"))


@pytest.mark.parametrize(
    "noise",
    [
        "Welcome to Debian!\\nLast login: today\\n",
        "\\033]0;title without a line break\\007",
        "= said wrong\\n. echo\\n! failed no\\n",
        "\\0\\377\\376\\n",
    ],
)
def test_noise_of_a_login_shell_is_skipped(way: Way, noise: str) -> None:
    """What a profile prints before the program starts is no answer, with or without a line break at its end."""
    noisy = f"printf '{noise}'; printf 'and on standard error' >&2\n{TALK}"
    (reply,) = way.open(noisy).perform(ask("echo", "heard"))
    assert reply.facts == (("said", b"heard"),)


def test_what_goes_on_is_told_and_is_not_part_of_a_reply(way: Way) -> None:
    """What the host says while it makes us wait reaches the user, and leaves the facts as they are."""
    (reply,) = way.open().perform(ask("wait"))
    assert reply.facts == ()
    assert len(way.heard) == 1
    assert way.heard[0].endswith(": waiting for something")


def test_heartbeats_go_on_while_the_host_works_in_silence(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing is sent, the host hears from us often enough to know that we live."""
    monkeypatch.setattr(conversation, "BEAT_SECONDS", 0.1)
    session = way.open()

    def beats() -> int:
        return session.perform(ask("beats"))[0].number("beats")

    def while_it_sleeps() -> int:
        before = beats()
        _, after = session.perform(ask("sleep", "1"), ask("echo", "done"))
        assert after.text("said") == "done"
        return beats() - before

    # A machine that stops for that second sends none either.
    assert any(while_it_sleeps() >= 5 for _ in range(ATTEMPTS))


def test_a_silent_host_ends_the_session_after_the_command_timeout(way: Way) -> None:
    """Waiting has a bound: without any progress for so long, the connection counts as lost."""
    session = impatient(way)
    began = time.monotonic()
    with pytest.raises(ConnectionLost, match="said nothing for 1 s"):
        session.perform(ask("sleep", "60"))
    assert time.monotonic() - began < SOON


def impatient(way: Way) -> Session:
    """A session whose time-out is a second: a busy machine may take longer to start the program."""
    for _ in range(ATTEMPTS):
        try:
            return way.open(command_timeout=1)
        except ConnectionLost as error:
            slow = error
    raise slow


def test_closing_early_undoes_and_unlocks(way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing waits until the program has undone what was not confirmed."""
    monkeypatch.setattr(conversation, "GOODBYE_SECONDS", SOON)
    session = way.open()
    session.perform(ask("hold", str(tmp_path / "lock")))
    assert (tmp_path / "lock").exists()
    session.close()
    assert not (tmp_path / "lock").exists()
    assert (tmp_path / "lock.undone").exists()
    session.close()


def test_closing_in_the_middle_of_a_body_undoes_and_unlocks(way: Way, tmp_path: Path) -> None:
    """Also while another thread is still sending: it stops, and the host undoes within seconds."""
    session = way.open()
    replies = session.stream([ask("hold", str(tmp_path / "lock")), sink(Endless())])
    next(replies)
    began = time.monotonic()
    session.close()
    assert time.monotonic() - began < SOON
    until((tmp_path / "lock.undone").exists, SOON)


def test_a_closed_session_fails_at_once(way: Way) -> None:
    """Nobody waits for an answer that cannot come."""
    session = way.open()
    session.perform(ask("echo", "x"))
    session.close(wait=False)
    with pytest.raises(ConnectionLost):
        session.perform(ask("echo", "y"))


def test_a_failure_while_a_big_body_is_being_sent_does_not_hang(way: Way, tmp_path: Path) -> None:
    """A host that says no without reading on is heard, however much is still to be sent."""
    session = way.open()
    began = time.monotonic()
    with pytest.raises(DeployFailed, match="no space"):
        session.perform(Request("refuse", Effect.WRITE, (), Endless()), ask("touch", str(tmp_path / "never")))
    assert time.monotonic() - began < SOON
    session.close()
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    "error", [DeployFailed("the page changed"), OSError(5, "the page cannot be read"), ValueError("the page is odd")]
)
def test_a_body_that_breaks_off_fails_the_request(
    way: Way, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error while the body is made is told at once, and the host never takes the part for the whole."""
    monkeypatch.setattr(conversation, "BEAT_SECONDS", 2 * SOON)
    session = way.open()
    began = time.monotonic()
    with pytest.raises(DeployFailed, match="the page"):
        session.perform(mirror(str(tmp_path / "part"), Failing(error)), ask("touch", str(tmp_path / "never")))
    assert time.monotonic() - began < SOON  # the next heartbeat would tell
    session.close()
    assert not (tmp_path / "never").exists()


def test_sessions_at_the_same_time_do_not_mix(way: Way) -> None:
    """Two conversations with one host have their own marks, threads and connections."""
    one, two = way.open(), way.open()
    assert one.perform(ask("echo", "one"))[0].text("said") == "one"
    assert two.perform(ask("echo", "two"))[0].text("said") == "two"
    one.close()
    assert two.perform(ask("echo", "still"))[0].text("said") == "still"
