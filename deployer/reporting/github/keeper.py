"""The process that keeps one record: orders on standard input, what is missing on standard output."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from typing import IO, NoReturn

from deployer.reporting.github.calls import keep_record
from deployer.reporting.github.subject import Ending, Subject, from_line

__all__ = ["main"]


def main() -> NoReturn:
    """The first line is a Subject, the second, when the deploy ends, its Ending. The end of the input ends this process."""
    orders: queue.SimpleQueue[Subject | Ending] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, orders), daemon=True).start()
    subject = orders.get()
    assert isinstance(subject, Subject)

    def ending() -> Ending:
        ended = orders.get()
        assert isinstance(ended, Ending)
        return ended

    keep_record(subject, ending, _tell)
    os._exit(0)


def _listen(orders: IO[bytes], heard: queue.SimpleQueue[Subject | Ending]) -> NoReturn:
    """Whatever the other thread waits for: when nobody is left to wait for it, that is the end."""
    for line in orders:
        heard.put(from_line(line))
    os._exit(1)


def _tell(missing: str, why: str) -> None:
    os.write(1, json.dumps([missing, why]).encode() + b"\n")
