"""Visitors without mercy: ``wrk`` on a number of connections, from the construction to the end, and what failed.

::

    with Load("http://127.0.0.1:8000/", connections=200, host="blog.test") as load:
        deploy()
    assert load.stop().failed == 0
"""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests import parts

__all__ = ["Load", "Outcome"]

PATIENCE = 30  # seconds for one answer
LONGEST = 7200  # seconds
BEGIN_SECONDS = 0.3  # wrk has its connections by then

SCRIPT = """\
wrk.method = "%(method)s"
wrk.body = %(body)s
%(headers)s
%(delay)s
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init(args) failures = {} end
function response(status, headers, body)
  if status ~= 200 then
    local key = tostring(status)
    failures[key] = (failures[key] or 0) + 1
  elseif wrk.body and body ~= wrk.body then
    failures["wrong"] = (failures["wrong"] or 0) + 1
  end
end
function done(summary, latency, requests)
  local counted = {}
  for _, thread in ipairs(threads) do
    for key, count in pairs(thread:get("failures")) do counted[key] = (counted[key] or 0) + count end
  end
  local found = {}
  for key, count in pairs(counted) do table.insert(found, string.format('"%%s": %%d', key, count)) end
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %%d, "seconds": %%f, "connect": %%d, "read": %%d, "write": %%d, "timeout": %%d, ' ..
    '"p99": %%f, "answers": {%%s}}\\n',
    summary.requests, summary.duration / 1e6, errors.connect, errors.read, errors.write, errors.timeout,
    latency:percentile(99.0) / 1e6, table.concat(found, ", ")))
end
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the requests: ``answers`` counts each status but 200, and bodies that are ``wrong``.

    ``connect``, ``read``, ``write`` and ``timeout`` are failures of connections; ``p99`` is a latency in seconds.
    """

    requests: int
    seconds: float
    connect: int
    read: int
    write: int
    timeout: int
    p99: float
    answers: Mapping[str, int]

    @property
    def failed(self) -> int:
        """Requests that did not get their 200."""
        return self.connect + self.read + self.write + self.timeout + sum(self.answers.values())

    def __str__(self) -> str:
        """One line for a person: ``12,345 requests, 3 failed (502: 2, read: 1)``."""
        kinds = {name: getattr(self, name) for name in ("connect", "read", "write", "timeout")} | dict(self.answers)
        said = ", ".join(f"{name}: {count}" for name, count in kinds.items() if count)
        return f"{self.requests:,} requests, {self.failed:,} failed" + (f" ({said})" if said else "")


class Load:
    """Asks for ``url`` as fast as it is answered, until ``stop``; then ``outcome`` is there.

    ``close`` makes a new connection for every request; ``post`` is a body to send, which must come back. ``host`` is
    the name to ask for, in the Host header. After each answer, a connection rests for ``pause`` milliseconds: without, the
    machine has no time for anything else.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 20,
        close: bool = False,
        post: str = "",
        host: str = "",
        threads: int = 1,
        pause: int = 0,
    ) -> None:
        program = parts.find("wrk")
        assert program, "wrk is not installed"
        headers = {"Host": host} if host else {}
        headers |= {"Connection": "close"} if close else {}
        self._folder = tempfile.TemporaryDirectory(prefix="load-")
        script = Path(self._folder.name, "load.lua")
        lines = "\n".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items())
        body = json.dumps(post) if post else "nil"
        delay = f"function delay() return {pause} end" if pause else ""
        about = {"method": "POST" if post else "GET", "body": body, "headers": lines, "delay": delay}
        script.write_text(SCRIPT % about, "utf-8")
        self.outcome: Outcome | None = None
        self._process = subprocess.Popen(
            [
                *(program, f"--threads={threads}", f"--connections={max(connections, threads)}"),
                *(f"--duration={LONGEST}s", f"--timeout={PATIENCE}s", f"--script={script}", url),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        time.sleep(BEGIN_SECONDS)

    def stop(self) -> Outcome:
        """End it; what is on its way is nobody's failure. May be called twice. Raises RuntimeError with wrk's words."""
        if self.outcome is None:
            self._process.send_signal(signal.SIGINT)
            try:
                said, _ = self._process.communicate(timeout=PATIENCE)
            finally:
                self._process.kill()
                self._folder.cleanup()
            last = said.strip().rpartition("\n")[2]
            if not last.startswith("{"):
                raise RuntimeError(f"wrk: {said.strip()}")
            self.outcome = Outcome(**json.loads(last))
        return self.outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
            return
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()
