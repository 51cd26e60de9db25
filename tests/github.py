"""GitHub's API on loopback: a small memory of Deployments, and Prism before it, which knows GitHub's published description.

Prism (npm's @stoplight/prism-cli) holds every request, and our memory's every answer, to the description that GitHub
publishes (npm's @octokit/openapi): what does not fit is answered with an error, and noted.
"""

from __future__ import annotations

import contextlib
import copy
import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import need

__all__ = ["NODE_MODULES", "Asked", "GitHub", "Rule", "answer", "description", "free_port", "prism"]

NODE_MODULES = Path(sys.prefix) / "node" / "node_modules"
ROOM = "/repos/{owner}/{repo}/deployments"
PATHS = (ROOM, f"{ROOM}/{{deployment_id}}", f"{ROOM}/{{deployment_id}}/statuses")
START_SECONDS = 60.0


@dataclass(frozen=True)
class Asked:
    """One request: ``body`` is its decoded JSON."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any


Rule = Callable[[Asked, http.server.BaseHTTPRequestHandler], bool]


@dataclass
class GitHub:
    """Remembers Deployments with their statuses, newest first, and every request.

    ``rule`` may answer in its place: it returns whether it did. ``examples`` are whole answers of the description, of which
    only what matters is replaced; without them, answers have no more than that.
    """

    rule: Rule = lambda _asked, _handler: False
    examples: dict[str, Any] = field(default_factory=dict)
    root: str = ""
    deployments: list[dict[str, Any]] = field(default_factory=list)
    statuses: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> GitHub:
        memory = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                memory._handle(self)

            def do_POST(self) -> None:
                memory._handle(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.root = self.root or self.url
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it answers itself."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def states(self, number: int) -> list[str]:
        """The states of that Deployment, oldest first."""
        return [status["state"] for status in reversed(self.statuses[number])]

    def add(self, environment: str, *states: str, task: str = "deploy", ref: str = "old") -> int:
        """A Deployment of before, with its states, oldest first."""
        number = self._create({"environment": environment, "task": task, "ref": ref})["id"]
        for state in states:
            self._status(number, {"state": state})
        return int(number)

    def take(self, asked: Asked, handler: http.server.BaseHTTPRequestHandler) -> bool:
        """A rule for another server: answer there what is about Deployments."""
        if "/deployments" not in asked.path:
            return False
        return answer(handler, 201 if asked.method == "POST" else 200, self._answer(asked))

    def _handle(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        path, _, query = handler.path.partition("?")
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, path, query, headers, json.loads(body) if body else None)
        self.asked.append(asked)
        with contextlib.suppress(OSError):
            if not self.rule(asked, handler):
                answer(handler, 201 if asked.method == "POST" else 200, self._answer(asked))

    def _answer(self, asked: Asked) -> Any:
        _, _, _, _, _, *below = asked.path.split("/")
        if not below:
            return self._create(asked.body) if asked.method == "POST" else self._found(asked.query)
        number = int(below[0])
        return self._status(number, asked.body) if asked.method == "POST" else self.statuses[number]

    def _found(self, query: str) -> list[dict[str, Any]]:
        wanted = dict(pair.split("=") for pair in query.split("&"))
        names = ("task", "environment")
        return [each for each in self.deployments if all(each[name] == wanted.get(name, each[name]) for name in names)]

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        number = len(self.deployments) + 101
        made = {**copy.deepcopy(self.examples.get("deployment", {})), **body, "id": number}
        made["url"] = f"{self.root}/repos/octocat/example/deployments/{number}"
        self.deployments.insert(0, made)
        self.statuses[number] = []
        return made

    def _status(self, number: int, body: dict[str, Any]) -> dict[str, Any]:
        made = {
            **copy.deepcopy(self.examples.get("status", {})),
            **body,
            "id": 1000 + sum(map(len, self.statuses.values())),
        }
        self.statuses[number].insert(0, made)
        return made


def answer(handler: http.server.BaseHTTPRequestHandler, status: int, content: Any, **headers: str) -> bool:
    """Answer with this JSON."""
    body = json.dumps(content).encode()
    handler.send_response(status)
    fields = {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(len(body)), **headers}
    for name, value in fields.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)
    return True


def description(paths: Sequence[str] = PATHS) -> dict[str, Any]:
    """GitHub's published description of these paths; a second, for it is large."""
    file = NODE_MODULES / "@octokit/openapi/generated/api.github.com.deref.json"
    need("@octokit/openapi", "GitHub's published description (make installs it where npm is)", present=file.exists())
    whole = json.loads(file.read_text(encoding="utf-8"))
    return {"openapi": whole["openapi"], "info": whole["info"], "paths": {path: whole["paths"][path] for path in paths}}


def examples(described: dict[str, Any]) -> dict[str, Any]:
    """A whole Deployment and a whole status."""
    room, _, statuses = (described["paths"][path] for path in PATHS)
    return {"deployment": _example(room), "status": _example(statuses)}


def _example(path: dict[str, Any]) -> Any:
    named = path["post"]["responses"]["201"]["content"]["application/json"]["examples"]
    return next(iter(named.values()))["value"]


@contextlib.contextmanager
def prism(described: dict[str, Any], folder: Path, upstream: str) -> Iterator[tuple[str, Path]]:
    """Prism before ``upstream``; its URL, and its log, in which violations are."""
    node = need("node", "to run Prism, which holds requests to GitHub's published description")
    program = NODE_MODULES / "@stoplight/prism-cli/dist/index.js"
    need("@stoplight/prism-cli", "to hold requests to GitHub's description", present=program.exists())
    file, log = folder / "github.json", folder / "prism.log"
    file.write_text(json.dumps(described), encoding="utf-8")
    port = free_port()
    command = [node, str(program), "proxy", "--errors", "--host", "127.0.0.1", "--port", str(port), str(file), upstream]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            wait_for(port, process, log)
            yield f"http://127.0.0.1:{port}", log
        finally:
            process.kill()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until it listens; raises AssertionError."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.05)
