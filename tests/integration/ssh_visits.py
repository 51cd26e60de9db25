"""What the tests of logging in share: settings for a real sshd, one visit to it, and what is left behind by one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from deployer.command import encode_program
from deployer.ports import Channel
from deployer.transports.ssh import SshSettings, open_channel
from tests.attempts import ATTEMPTS
from tests.relay import Relay
from tests.sshd import Sshd

__all__ = [
    "CountingClock",
    "PassingClock",
    "echo",
    "flowing",
    "held",
    "new_sessions",
    "occupy",
    "settles",
    "to",
    "turns_to",
    "vacate",
]

ROUND_TRIP = 0.2  # seconds: the ends answer in less of it, so that what they do at the same time is seen to be that


class CountingClock:
    """Counts the pauses instead of waiting, and no other time passes; ``during`` is called in each."""

    def __init__(self, during: Callable[[], None] = lambda: None) -> None:
        self.pauses: list[float] = []
        self._during = during

    def monotonic(self) -> float:
        return sum(self.pauses)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self._during()


class PassingClock(CountingClock):
    """The time that everything takes passes, too."""

    def monotonic(self) -> float:
        return time.monotonic() + super().monotonic()


def to(server: Sshd, **changes: object) -> SshSettings:
    """Settings for the server itself, with its key pinned and its own client's key, but for the ``changes``."""
    settings = SshSettings(
        "127.0.0.1",
        server.port,
        server.user,
        key_file=server.key_file,
        host_keys=(server.pin(),),
        connect_timeout=60,
        command_timeout=60,
    )
    return replace(settings, **changes)  # type: ignore[arg-type]


def echo(settings: SshSettings, program: str = "echo in", data: bytes = b"") -> bytes:
    """What the program answers to the data."""
    channel = open_channel(settings)
    try:
        channel.send(encode_program(program) + data)
        channel.end_input()
        return b"".join(iter(channel.receive, b""))
    finally:
        channel.close()


def occupy(server: Sshd) -> socket.socket:
    """A visitor who is let in and says nothing, so that a server with room for one has none."""
    for _ in range(100):
        visitor = socket.create_connection(("127.0.0.1", server.port))
        if visitor.recv(100).startswith(b"SSH-"):
            return visitor
        visitor.close()  # the one who looked whether the server is up still counts
        time.sleep(0.05)
    raise AssertionError("the server lets nobody in")


def vacate(server: Sshd, visitor: socket.socket) -> None:
    """Have the visitor leave, and the server see that."""
    visitor.close()
    assert settles(lambda: not server.sessions())
    time.sleep(0.1)  # seconds, between the end of a session's process and the server's look at it


def flowing(settings: SshSettings) -> Channel:
    """A channel that has taken much data already.

    Within these settings' short time-outs a machine that is busy may not come so far: then another is opened.
    """
    for _ in range(ATTEMPTS):
        channel = open_channel(settings)
        try:
            channel.send(encode_program("cat >/dev/null"))
            channel.send(bytes(1 << 20))
        except ConnectionError:
            channel.close()
        else:
            return channel
    raise AssertionError("the host takes no data")


def turns_to(server: Sshd, settings: Callable[[Relay], SshSettings]) -> int:
    """How many journeys over the line to ``server`` there are from the login's begin to a program's first answer."""
    with Relay(to=server.port, rtt=ROUND_TRIP) as relay:
        channel = open_channel(settings(relay))
        try:
            channel.send(encode_program("echo in; exec cat"))
            assert channel.receive() == b"in\n"
            return relay.traffic().turns
        finally:
            channel.close()


def held() -> tuple[int, int]:
    """This process's file descriptors and threads."""
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


def new_sessions(before: Sequence[set[int]], servers: Sequence[Sshd]) -> list[int]:
    """The servers' sessions that were not there ``before``."""
    return [pid for known, server in zip(before, servers, strict=True) for pid in set(server.sessions()) - known]


def settles(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Whether the condition holds before the time is over."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()
