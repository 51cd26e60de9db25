"""A distant network on loopback: a TCP relay with a round trip and a rate, in a process of its own.

``python -m tests.relay --listen PORT --to PORT --rtt 0.05 --rate 100`` or, in a test::

    with Relay(to=sshd.port, rtt=0.05, rate=100) as relay:
        connect("127.0.0.1", relay.port)

The timing is TCP's over such a line: connecting takes a round trip (RFC 9293, section 3.5), so the relay opens its own
connection when the last packet of that handshake would arrive, one and a half round trips after the first was sent;
every byte waits for its turn on the line, and arrives half a round trip after it left. Slow start and loss are left out.

What a conversation waits for is counted as well, because time also tells how busy the machine is: ``Traffic.turns``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Relay", "Traffic"]

LOOPBACK = "127.0.0.1"
CHUNK = 32 * 1024
CHUNKS_ON_THE_WAY = 64  # in one direction of one connection: what the ends' socket buffers would hold, 2 MiB
Journeys = asyncio.Queue[tuple[float, bytes, int]]  # when each piece is due, the piece, and its turns


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went through since the start: connections, and bytes to and from the far end.

    ``turns``: how many journeys over the line, one after the other, led to what a near end has heard, the handshake's aside:
    a message that leaves when others have arrived is an answer to them. Two are a round trip. An end that is slower than
    the line may be taken to have answered what it did not wait for, so that there may be more of them, never fewer.
    """

    connections: int
    sent: int
    received: int
    turns: int


class Relay:
    """The relay's process. It ends with the ``with`` block, or with the process that started it."""

    def __init__(self, to: int, *, rtt: float = 0.05, rate: float = 0, listen: int = 0, limit: int = 0) -> None:
        """Relay to loopback's port ``to``; ``rtt`` in seconds, ``rate`` in Mbit/s each way (0: no limit).

        A connection breaks when it has carried ``limit`` bytes, both ways together (0: never).
        """
        arguments = [f"--listen={listen}", f"--to={to}", f"--rtt={rtt}", f"--rate={rate}", f"--limit={limit}"]
        arguments.append("--controlled")
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.port = int(self._answer())

    def traffic(self) -> Traffic:
        """The counters now."""
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return Traffic(**json.loads(self._answer()))

    def pause(self) -> None:
        """Pull the cable: connections stay, and nothing arrives."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Put the cable back: what waited arrives."""
        self._process.send_signal(signal.SIGCONT)

    def cut(self) -> None:
        """Break every connection at once, and refuse new ones."""
        self._process.kill()
        self._process.communicate(timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.cut()

    def _answer(self) -> bytes:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the relay ended with status {self._process.wait(timeout=60)}")
        return line


@dataclass(slots=True)
class Line:
    """One direction: bytes leave one after the other, and each travels for ``delay`` seconds."""

    delay: float
    seconds_per_byte: float
    carried: int = 0
    free_at: float = 0.0

    def arrival(self, size: int) -> float:
        """When the last of ``size`` bytes that are handed over now is there."""
        self.carried += size
        self.free_at = max(self.free_at, time.monotonic()) + size * self.seconds_per_byte
        return self.free_at + self.delay


@dataclass(slots=True)
class End:
    """One end of a connection: ``turns`` is how many journeys what it has heard so far took, one after the other."""

    turns: int = 0

    def hears(self, turns: int) -> None:
        """A message has arrived that is the last of so many."""
        self.turns = max(self.turns, turns)


@dataclass(slots=True)
class Allowance:
    """How many bytes one connection may still carry, both ways together."""

    left: float

    def take(self, chunk: bytes) -> bytes:
        """As much of the chunk as may go. Raises ConnectionError when nothing may."""
        if self.left <= 0:
            raise ConnectionResetError
        taken = chunk[: int(min(self.left, len(chunk)))]
        self.left -= len(taken)
        return taken


@dataclass(slots=True)
class Network:
    """What all connections share: the far end's port, a line each way, and how many bytes each connection may carry."""

    to: int
    handshake: float
    there: Line
    back: Line
    limit: float = math.inf
    connections: int = 0
    near_ends: list[End] = field(default_factory=list)

    def traffic(self) -> Traffic:
        turns = max((end.turns for end in self.near_ends), default=0)
        return Traffic(self.connections, self.there.carried, self.back.carried, turns)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until both of its directions have ended, or either has broken."""
        self.connections += 1
        writers = [writer]
        try:
            await asyncio.sleep(self.handshake)
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self.to, limit=CHUNK)
            writers.append(far_writer)
            allowance = Allowance(self.limit)
            near, far = End(), End()
            self.near_ends.append(near)
            async with asyncio.TaskGroup() as group:
                group.create_task(carry(reader, far_writer, self.there, allowance, (near, far)))
                group.create_task(carry(far_reader, writer, self.back, allowance, (far, near)))
        except* OSError:
            for each in writers:
                reset(each)
        finally:
            for each in writers:
                each.close()


async def carry(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    line: Line,
    allowance: Allowance,
    ends: tuple[End, End],
) -> None:
    """Bring everything that ``reader`` gives, its end included, to ``writer`` at the time that ``line`` says."""
    on_the_way: Journeys = asyncio.Queue(CHUNKS_ON_THE_WAY)
    sender, receiver = ends
    async with asyncio.TaskGroup() as group:
        group.create_task(deliver(on_the_way, writer, receiver))
        while chunk := await reader.read(CHUNK):
            allowed = allowance.take(chunk)
            await on_the_way.put((line.arrival(len(allowed)), allowed, sender.turns + 1))
        await on_the_way.put((line.arrival(0), b"", sender.turns))


async def deliver(on_the_way: Journeys, writer: asyncio.StreamWriter, receiver: End) -> None:
    """Write each piece when it is due; an empty one is the end."""
    while True:
        due, chunk, turns = await on_the_way.get()
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if not chunk:
            writer.write_eof()
            return
        receiver.hears(turns)
        writer.write(chunk)
        await writer.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    """Break the connection so that its other end sees a reset, never an orderly end."""
    linger_for_nothing = struct.pack("ii", 1, 0)
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_nothing)
    writer.transport.abort()


async def answer_until_end(network: Network) -> None:
    """Answer every line of standard input with the counters, until it ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        print(json.dumps(asdict(network.traffic())), flush=True)


async def run(options: argparse.Namespace) -> None:
    """Relay until stopped; the first line of standard output is the port."""
    seconds_per_byte = 8 / (options.rate * 1_000_000) if options.rate else 0.0
    there, back = (Line(options.rtt / 2, seconds_per_byte) for _ in range(2))
    network = Network(options.to, 1.5 * options.rtt, there, back, options.limit or math.inf)
    server = await asyncio.start_server(network.serve, LOOPBACK, options.listen, limit=CHUNK, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await (answer_until_end(network) if options.controlled else asyncio.Event().wait())


def main() -> None:
    """Parse the command line and relay."""
    parser = argparse.ArgumentParser(description="A TCP relay on loopback that is as slow as a distant host.")
    parser.add_argument("--listen", type=int, default=0, metavar="PORT", help="default: any free one, which is printed")
    parser.add_argument("--to", type=int, required=True, metavar="PORT")
    parser.add_argument("--rtt", type=float, default=0.05, metavar="SECONDS", help="the round trip; default 0.05")
    parser.add_argument("--rate", type=float, default=0, metavar="MBIT", help="Mbit/s each way; default: no limit")
    parser.add_argument(
        "--limit", type=int, default=0, metavar="BYTES", help="break each connection after that many; default: never"
    )
    parser.add_argument(
        "--controlled", action="store_true", help="answer each line of stdin with the counters, end with it"
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
