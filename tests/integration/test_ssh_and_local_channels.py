"""What every byte channel promises (deployer.ports.Channel), asked of the real ones: sshd's and this machine's."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deployer.command import encode_program
from deployer.ports import Channel
from deployer.transports import local, ssh
from tests.attempts import ATTEMPTS, until
from tests.sshd import Sshd, sshd_for_tests

MEGABYTE = 1 << 20
Open = Callable[..., Channel]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd_for_tests(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(params=["ssh", "local"])
def opened(request: pytest.FixtureRequest) -> Iterator[Open]:
    """A function that opens a channel and starts a program; everything opened is closed in the end."""
    channels: list[Channel] = []

    def open_once(timeout: float) -> Channel:
        if request.param == "ssh":
            server: Sshd = request.getfixturevalue("sshd")
            settings = ssh.SshSettings(
                "127.0.0.1",
                server.port,
                server.user,
                key_file=server.key_file,
                host_keys=(server.pin(),),
                connect_timeout=60,
                command_timeout=timeout,
            )
            return ssh.open_channel(settings)
        return local.open_channel(timeout)

    def open_channel(program: str, timeout: float = 60.0) -> Channel:
        for _ in range(ATTEMPTS if timeout < 10 else 1):
            channels.append(open_once(timeout))
            try:
                channels[-1].send(encode_program(program))
            except ConnectionError as error:
                slow = error  # a busy machine may take longer than so short a time-out to start a program
            else:
                return channels[-1]
        raise slow

    yield open_channel
    for channel in channels:
        channel.close()


def read_all(channel: Channel) -> bytes:
    return b"".join(iter(channel.receive, b""))


def test_fifty_megabytes_come_back(opened: Open) -> None:
    """Sending and receiving at the same time, from two threads, loses and changes nothing."""
    channel = opened("exec cat")
    piece = hashlib.shake_128(b"noise").digest(MEGABYTE)
    sent, came = hashlib.sha256(), hashlib.sha256()

    def send() -> None:
        for number in range(50):
            data = piece[number:] + piece[:number]
            sent.update(data)
            channel.send(data)
        channel.end_input()

    sender = threading.Thread(target=send)
    sender.start()
    total = 0
    while data := channel.receive():
        came.update(data)
        total += len(data)
    sender.join()
    assert total == 50 * MEGABYTE
    assert came.digest() == sent.digest()


def test_the_program_is_not_mixed_with_its_input(opened: Open) -> None:
    """What is sent right behind the program, without a pause, is the program's standard input to the byte."""
    channel = opened("IFS= read -r line; printf '%s|' \"$line\"; cat")
    channel.send(b"  first \\n\r\nrest \0\xff\n\n")
    channel.end_input()
    assert read_all(channel) == b"  first \\n\r|rest \0\xff\n\n"


def test_input_ends_before_output(opened: Open) -> None:
    """The end of input reaches the program, which can still answer; its exit is the end of output."""
    channel = opened("cat >/dev/null; echo bye; exit 3")
    channel.send(b"x" * 100_000)
    channel.end_input()
    assert read_all(channel) == b"bye\n"
    assert channel.receive() == b""


def test_noise_on_standard_error_stops_nothing(opened: Open) -> None:
    """Ten megabytes that nobody asked for pass, and the last 4 KiB are kept."""
    noise = (
        "awk 'BEGIN { for (i = 0; i < 200000; i++) print \"noise noise noise noise noise noise noise noise\", i }' >&2"
    )
    channel = opened(f"{noise}; echo last words >&2; echo done")
    assert read_all(channel) == b"done\n"
    text = channel.diagnostics()
    assert text.endswith("noise 199999\nlast words\n")
    assert len(text) == 4096


def test_diagnostics_are_there_while_it_runs(opened: Open) -> None:
    """Standard error can be looked at before the end; bytes that are no text are shown somehow."""
    channel = opened("printf 'w\\303\\244rn\\377ing' >&2; echo ready; cat")
    assert channel.receive() == b"ready\n"
    until(channel.diagnostics)
    assert channel.diagnostics() == "wärn\ufffding"


def test_a_program_that_ends_early_is_noticed(opened: Open) -> None:
    """Sending to a program that is gone is an error within moments, not a wait."""
    channel = opened("echo gone; exec >&-; exit 1")
    assert read_all(channel) == b"gone\n"

    def send_for_a_while() -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            channel.send(b"x" * 65536)
            time.sleep(0.01)

    with pytest.raises(ConnectionError) as caught:
        send_for_a_while()
    assert "took no data for" not in str(caught.value)


def test_silence_ends_by_the_time_out(opened: Open) -> None:
    """A host that says nothing for the command time-out is an error that tells the seconds."""
    channel = opened("exec sleep 60", timeout=0.5)
    began = time.monotonic()
    with pytest.raises(ConnectionError, match=r"said nothing for 0\.5 s"):
        channel.receive()
    assert 0.4 < time.monotonic() - began < 30


def test_a_host_that_does_not_read_ends_by_the_time_out(opened: Open) -> None:
    """Sending waits for progress: a program that never reads is an error, not a hang."""
    channel = opened("exec sleep 60", timeout=0.5)
    began = time.monotonic()
    with pytest.raises(ConnectionError, match=r"took no data for 0\.5 s"):
        channel.send(b"x" * (64 * MEGABYTE))
    assert time.monotonic() - began < 30


def test_slow_progress_is_progress(opened: Open) -> None:
    """The time-out counts from the last byte, in both directions. A machine that stops for so long may be tried again."""
    program = "for i in 1 2 3 4 5 6; do sleep 0.7; head -c 1000000 >/dev/null; echo $i; done"
    ends = []

    def send(channel: Channel) -> None:
        with contextlib.suppress(ConnectionError):
            channel.send(b"x" * 6_000_000)

    for _ in range(ATTEMPTS):
        channel = opened(program, timeout=4.0)
        sender = threading.Thread(target=send, args=(channel,))
        sender.start()
        try:
            ends.append(read_all(channel).split()[-1])
        except ConnectionError as error:
            ends.append(str(error).encode())
        sender.join()
        if ends[-1] == b"6":
            break
    assert ends[-1] == b"6", ends


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends by itself may take its time for that: then waiting in vain for it takes long, too."""
    monkeypatch.setattr(local, "_UNDO_SECONDS", 60)


@pytest.mark.usefixtures("patient")
def test_closing_twice_is_harmless_and_quick(opened: Open) -> None:
    """Closing never raises, in the middle of everything, from several threads."""
    channel = opened("cat")
    channel.send(b"x" * 65536)
    began = time.monotonic()
    threads = [threading.Thread(target=channel.close) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    channel.close()
    assert time.monotonic() - began < 30
    channel.end_input()
    channel.diagnostics()
    with pytest.raises(ConnectionError):
        channel.send(b"x")


def test_closing_wakes_who_waits(opened: Open) -> None:
    """A thread that waits for output returns when another closes the channel."""
    channel = opened("cat", timeout=100)
    ended = threading.Event()

    def receive() -> None:
        with contextlib.suppress(ConnectionError):
            channel.receive()
        ended.set()

    threading.Thread(target=receive, daemon=True).start()
    time.sleep(0.2)
    channel.close()
    assert ended.wait(30)


@pytest.mark.usefixtures("patient")
def test_the_host_sees_the_end_and_can_undo(opened: Open, tmp_path: Path) -> None:
    """When the channel is closed the program's input ends, and what it does then is done."""
    undone = tmp_path / "undone"
    channel = opened(f"trap '' HUP PIPE; echo ready; cat >/dev/null; sleep 0.3; echo undo; : >'{undone}'")
    assert channel.receive() == b"ready\n"
    channel.close()
    until(undone.exists)


def test_a_killed_program_is_the_end_of_output(opened: Open) -> None:
    """SIGKILL of the shell is seen at once, as an end or as an error."""
    channel = opened("echo $$; cat; :")
    pid = int(channel.receive())
    began = time.monotonic()
    # Its own `cat` keeps the output open until its input ends.
    os.kill(pid, signal.SIGKILL)
    channel.end_input()
    with contextlib.suppress(ConnectionError):
        assert channel.receive() == b""
    assert time.monotonic() - began < 30  # the time-out is a minute
