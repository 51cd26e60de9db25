"""Servers of repositories that let nobody in without a password: git's own HTTP backend, and Git LFS beside it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["GitServer", "processes_that_show"]


def processes_that_show(text: str) -> list[str]:
    """The command lines of this machine that hold the text."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


class GitServer:
    """Serves the repositories in ``folder`` over HTTP on loopback to whoever gives ``password``; empty: to everybody.

    While it answers, it looks for the password in every command line of this machine: ``shown`` is what it found.
    ``objects`` are the contents that Git LFS asks for, by their hash. ``given`` is what each request had as its
    authorization; ``elsewhere`` is the server that requests are sent on to, if any.
    """

    def __init__(self, folder: Path, password: str) -> None:
        self.folder = folder
        self.password = password
        self.shown: list[str] = []
        self.asked: list[str] = []
        self.given: list[str] = []
        self.elsewhere = ""
        self.users: set[str] = set()
        self.objects: dict[str, bytes] = {}
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: GitServer

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def _answer(self, body: bytes) -> None:
        self.owner.given.append(self.headers.get("Authorization", ""))
        given = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        user, _, password = given.partition(":")
        if self.owner.password and password != self.owner.password:
            self._send(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"no")
            return
        self.owner.users.add(user)
        self.owner.asked.append(self.path)
        self.owner.shown += processes_that_show(self.owner.password) if self.owner.password else []
        if self.owner.elsewhere:
            self._send(301, {"Location": f"http://{self.owner.elsewhere}{self.path}"}, b"")
        elif self.path.endswith("/info/lfs/objects/batch"):
            self._lfs(json.loads(body))
        elif self.path.startswith("/objects/"):
            self._send(200, {}, self.owner.objects[self.path.rpartition("/")[2]])
        else:
            self._git(body)

    def _lfs(self, asked: dict[str, list[dict[str, object]]]) -> None:
        link = f"http://{self.owner.host}/objects/"
        objects = [{**each, "actions": {"download": {"href": f"{link}{each['oid']}"}}} for each in asked["objects"]]
        answer = json.dumps({"transfer": "basic", "objects": objects}).encode()
        self._send(200, {"Content-Type": "application/vnd.git-lfs+json"}, answer)

    def _git(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        variables = {
            "GIT_PROJECT_ROOT": str(self.owner.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "x",
        }
        ended = subprocess.run(
            ["git", "http-backend"], input=body, env=os.environ | variables, capture_output=True, check=False
        )
        head, _, rest = ended.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        status = int(fields.pop("Status", "200").split()[0])
        self._send(status, fields, rest)

    def _send(self, status: int, fields: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for key, value in fields.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
