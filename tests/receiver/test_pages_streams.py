"""Live logs as server-sent events: every line once, whoever comes and goes; all else goes on beside 500 of them."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from receiver.logs import LogWriter, Piece, log_file, read_log
from receiver.store import Database, Status, history
from receiver.store.jobs import Settled, claim, settle
from receiver.web import streams
from tests.receiver.pages_parts import PASSWORD, PASSWORD_HASH, Place, Visitor
from tests.receiver.program import Receiver, push

PATIENCE = 60.0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def visitor(place: Place) -> Visitor:
    found = Visitor(place.app())
    found.log_in()
    return found


def events(text: str) -> list[tuple[int, str]]:
    """Each line's position and what it says."""
    found = re.findall(r"^id: (\d+)\ndata: (.*)\n\n", text, re.MULTILINE)
    return [(int(position), json.loads(data)["text"]) for position, data in found]


def over(place: Place, lines: int) -> int:
    """A job that is over and has logged that many lines."""
    job = place.deployed("blog", "b" * 40, "20261122T190300Z-bbbbbbb")
    log = place.log(job.id)
    for number in range(lines):
        log.write("output", f"line {number}")
    log.close()
    return job.id


def test_a_log_that_is_over_comes_whole_and_ends(place: Place, visitor: Visitor) -> None:
    """With how long to wait before coming again, and an event that says that it does not need to."""
    number = over(place, 3_000)
    answer = visitor.get(f"/deployments/{number}/log")
    assert answer.mimetype == "text/event-stream" and answer.headers["Cache-Control"] == "no-store"
    text = answer.text
    assert text.startswith("retry: 2000\n\n") and text.endswith("event: end\ndata: {}\n\n")
    assert [said for _, said in events(text)] == [f"line {number}" for number in range(3_000)]


@pytest.mark.parametrize("how", ["header", "address"])
def test_a_stream_goes_on_where_it_was(place: Place, visitor: Visitor, how: str) -> None:
    """From any line's position, named by the browser's header or by the page."""
    number = over(place, 50)
    path = f"/deployments/{number}/log"
    for position, said in events(visitor.get(path).text)[::7]:
        rest = (
            visitor.get(path, Last_Event_ID=str(position))
            if how == "header"
            else visitor.get(f"{path}?from={position}")
        )
        told = [text for _, text in events(rest.text)]
        assert told == [f"line {each}" for each in range(int(said.split()[1]) + 1, 50)]


@pytest.mark.parametrize("position", ["x", "-5", "9" * 40, "999999999", "7", "\uff11"])
def test_a_position_that_is_none_is_harmless(place: Place, visitor: Visitor, position: str) -> None:
    """What is no number begins at the beginning; in the middle of a line, that line is left out."""
    number = over(place, 5)
    text = visitor.get(f"/deployments/{number}/log?from={position}").text
    assert text.endswith("event: end\ndata: {}\n\n") and len(events(text)) in {0, 4, 5}


def test_a_job_without_a_log_ends_at_once(place: Place, visitor: Visitor) -> None:
    """One that never ran has none; and what is no job is not found."""
    _, number = place.deliver("blog")
    assert visitor.post(f"/deployments/{number}/cancel").status_code == 303
    assert visitor.get(f"/deployments/{number}/log").text == "retry: 2000\n\nevent: end\ndata: {}\n\n"
    assert visitor.get("/deployments/99/log").status_code == 404


def test_lines_come_while_the_job_runs(place: Place, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each soon after its writing, half a line not before it is whole, and the end only after the last."""
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 90)  # whoever sees nothing of the writing looks then
    place.deliver("blog")
    job = place.run()
    log = place.log(job.id)
    log.write("output", "first")
    answer = visitor.client.get(f"/deployments/{job.id}/log", buffered=False)
    chunks = iter(answer.response)
    assert next(chunks) == b"retry: 2000\n\n"
    assert b"first" in next(chunks)
    began = time.monotonic()
    threading.Timer(0.2, log.write, ("output", "second")).start()
    assert b"second" in next(chunks)
    assert time.monotonic() - began < 45
    with log_file(place.config.log_folder, job.id).open("ab") as half:
        half.write(b'{"at": 1, "kind": "output", "te')
        half.flush()
        time.sleep(1.0)
        half.write(b'xt": "third"}\n')
        half.flush()
        assert b"third" in next(chunks)
    log.write("end", "last")
    place.end(job)
    assert b"last" in next(chunks)
    assert next(chunks) == b"event: end\ndata: {}\n\n"
    assert list(chunks) == []


def test_a_quiet_stream_has_a_heartbeat(place: Place, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment, so that whatever is between us and the browser does not take it for dead."""
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.2)
    place.deliver("blog")
    job = place.run()
    chunks = iter(visitor.client.get(f"/deployments/{job.id}/log", buffered=False).response)
    assert [next(chunks) for _ in range(3)] == [b"retry: 2000\n\n", b": still here\n\n", b": still here\n\n"]


def test_no_more_streams_are_open_than_allowed(place: Place) -> None:
    """The next one is told when to come again; where one has ended there is room, and everything else is answered."""
    visitor = Visitor(place.app(log_streams=2))
    visitor.log_in()
    place.deliver("blog")
    job = place.run()
    held = [visitor.client.get(f"/deployments/{job.id}/log", buffered=False) for _ in range(2)]
    refused = visitor.get(f"/deployments/{job.id}/log")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
    assert visitor.get(f"/deployments/{job.id}").status_code == 200
    held[0].close()
    third = visitor.client.get(f"/deployments/{job.id}/log", buffered=False)
    assert third.status_code == 200
    third.close()
    held[1].close()


def test_many_readers_look_at_a_file_together(place: Place, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty readers of one log cost one reading of each new part, not twenty."""
    place.deliver("blog")
    job = place.run()
    log = place.log(job.id)
    readings: list[int] = []

    def counted(folder: Path, number: int, position: int = 0) -> Piece:
        readings.append(position)
        return read_log(folder, number, position)

    monkeypatch.setattr(streams, "read_log", counted)
    readers = [iter(visitor.client.get(f"/deployments/{job.id}/log", buffered=False).response) for _ in range(20)]
    for reader in readers:
        next(reader)
    log.write("output", "news")
    threads = [threading.Thread(target=next, args=(reader,)) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    # Two at most may have come at the same moment to each of the two places: before the news, and to them.
    assert len(readings) <= 8


class Stream:
    """A browser that follows a log, over a socket of its own."""

    def __init__(self, port: int, path: str, cookie: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        asked = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\nAccept: text/event-stream\r\n\r\n"
        )
        self.socket.sendall(asked.encode())
        self.text = ""

    def until(self, word: str) -> str:
        """Read until ``word`` has come, or the end."""
        while word not in self.text and (data := self.socket.recv(65_536)):
            self.text += data.decode()
        return self.text

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """The real server, with room for 500 streams."""
    tmp_path.joinpath("password").write_text(PASSWORD_HASH, "utf-8")
    login = '[login]\npassword_hash = { file = "password" }\n'
    with Receiver(tmp_path, top="log_streams = 500", rest=login) as found:
        yield found


def cookie_of(receiver: Receiver) -> str:
    """That of a browser that has logged in."""
    page = receiver.get("/login")
    token = re.search(rb'name="csrf" value="([^"]+)"', page.body)
    assert token
    headers = {"Cookie": page.headers["Set-Cookie"].split(";")[0], "Content-Type": "application/x-www-form-urlencoded"}
    body = f"csrf={token[1].decode()}&password={PASSWORD.replace(' ', '+')}".encode()
    answer = receiver.request("POST", "/login", body, headers)
    assert answer.status == 303, answer.body
    return answer.headers["Set-Cookie"].split(";")[0]


def started(receiver: Receiver) -> int:
    """A job that was delivered and runs."""
    assert receiver.deliver(push()).status == 202
    database = Database.open(f"sqlite:///{receiver.state / 'receiver.db'}")
    job = claim(database, "here-1", ["blog"])
    database.close()
    assert job is not None
    return job.id


def web_process(receiver: Receiver) -> int:
    """gunicorn's worker."""
    assert receiver.process is not None
    children = Path(f"/proc/{receiver.process.pid}/task/{receiver.process.pid}/children").read_text("ascii").split()
    (child,) = map(int, children)
    return child


def memory_of(process: int) -> float:
    """MB that are its own."""
    found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{process}/smaps_rollup").read_text("ascii"), re.MULTILINE)
    assert found
    return int(found[1]) / 1_000


def seconds_of(process: int) -> float:
    """Processor time so far."""
    fields = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.slow
def test_streams_end_when_the_server_does(receiver: Receiver) -> None:
    """SIGTERM ends them at once instead of waiting for a job that may take an hour; browsers come again by themselves."""
    number = started(receiver)
    with Stream(receiver.port, f"/deployments/{number}/log", cookie_of(receiver)) as stream:
        assert "200 OK" in stream.until("retry")
        assert receiver.stop() == 0
        told = stream.until("no such word")
        assert "event: end" not in told
        # The last chunk (RFC 9112, section 7.1): who is ended with its process half a minute later does not send it.
        assert told.endswith("\r\n0\r\n\r\n")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_five_hundred_streams_cost_little_and_deliveries_go_on(receiver: Receiver, tmp_path: Path) -> None:
    """All see each line and the end; beside them a delivery is stored quickly, memory grows little, idle costs little."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4_096), hard), hard))
    number, cookie = started(receiver), cookie_of(receiver)
    log = LogWriter(receiver.state / "logs", number)
    process = web_process(receiver)
    before = memory_of(process)
    with contextlib.ExitStack() as held:
        all_streams = [
            held.enter_context(Stream(receiver.port, f"/deployments/{number}/log", cookie)) for _ in range(500)
        ]
        for stream in all_streams:
            assert "200 OK" in stream.until("retry")
        with Stream(receiver.port, f"/deployments/{number}/log", cookie) as one_more:
            assert "503" in one_more.until("too many logs are open")
        log.write("output", "to all of them")
        for stream in all_streams:
            assert "to all of them" in stream.until("to all of them")
        began, used = time.monotonic(), seconds_of(process)
        time.sleep(5)
        idle = (seconds_of(process) - used) / (time.monotonic() - began)
        taken = [_delivery_seconds(receiver, commit) for commit in range(40)]
        grown = memory_of(process) - before
        figures = {
            "idle CPU": round(idle, 3),
            "median ms": round(statistics.median(taken) * 1_000, 1),
            "slowest ms": round(max(taken) * 1_000, 1),
            "MB more": round(grown, 1),
            "MB": round(memory_of(process), 1),
        }
        print(json.dumps(figures))  # `pytest -s` shows it
        log.write("end", "done")
        database = Database.open(f"sqlite:///{receiver.state / 'receiver.db'}")
        with database.reading() as connection:
            job = history.job(connection, number)
        assert job is not None and settle(database, job, Settled(Status.SUCCEEDED))
        database.close()
        for stream in all_streams:
            assert "event: end" in stream.until("event: end")
        with Stream(receiver.port, f"/deployments/{number}/log", cookie) as again:
            assert "event: end" in again.until("event: end")
    assert figures["median ms"] < 5_000 and figures["MB more"] < 100 and figures["idle CPU"] < 0.5, figures
    assert receiver.get("/health").status == 200


def _delivery_seconds(receiver: Receiver, commit: int) -> float:
    began = time.monotonic()
    assert receiver.deliver(push(after=f"{commit:040x}")).status == 202
    return time.monotonic() - began
