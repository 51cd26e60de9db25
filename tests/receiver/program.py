"""The receiver as a real process, with receiver.toml in a folder of its own, and GitHub's part: signed deliveries."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deployer.secret import Secret
from receiver.hooks import sign

__all__ = ["SECRET", "Answer", "Receiver", "free_port", "push"]

SECRET = "It's a Secret to Everybody"
START_SECONDS = STOP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as a value."""
        return json.loads(self.body)


def push(
    repository: str = "octo/blog", ref: str = "refs/heads/main", after: str = "b" * 40, **more: object
) -> dict[str, object]:
    """What counts of a push event."""
    return {
        "ref": ref,
        "before": "a" * 40,
        "after": after,
        "deleted": False,
        "repository": {"full_name": repository},
    } | more


def free_port() -> int:
    """A port of loopback that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Receiver:
    """``receiver serve`` (or another command) in ``folder``; use it as a context, which starts and ends it.

    ``top`` and ``app`` are lines of TOML for the whole and for the one app, whose name is ``blog``.
    """

    folder: Path
    command: str = "serve"
    top: str = ""
    app: str = ""
    rest: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        """Write the files, unless they are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.file.exists():
            self.configure()

    @property
    def file(self) -> Path:
        """receiver.toml."""
        return self.folder / "receiver.toml"

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / "state"

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text("utf-8", "replace")

    def configure(self) -> None:
        """Write receiver.toml, the secret and a deploy.toml for the app."""
        (self.folder / "secret").write_text(SECRET + "\n", "utf-8")
        (self.folder / "secret").chmod(0o600)
        site = f'app = "blog"\nhost = "local"\n[static]\nsource = "public"\ntarget = "{self.folder}/www/blog"\n'
        (self.folder / "deploy.toml").write_text(site, "utf-8")
        self.file.write_text(
            f'state_dir = "state"\nbind = "127.0.0.1:{self.port}"\n{self.top}\n'
            f'[apps.blog]\nrepository = "octo/blog"\nconfig = "deploy.toml"\nsecrets = [{{ file = "secret" }}]\n'
            f"{self.app}\n{self.rest}\n",
            "utf-8",
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [sys.executable, "-m", "receiver", self.command, "--config", str(self.file)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self.environment},
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def answers(self) -> bool:
        """Whether it can be asked at all."""
        try:
            return self.get("/health").status in {200, 503}
        except OSError:
            return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it. Returns its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        try:
            return self.process.wait(STOP_SECONDS)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to it and all that it has started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_SECONDS)
            self.process = None

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask it something."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read())
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET."""
        return self.request("GET", path, headers=headers)

    def deliver(
        self, payload: object, event: str = "push", *, guid: str = "", secret: str = SECRET, **headers: str
    ) -> Answer:
        """Deliver as GitHub does. ``payload`` is a value or bytes; ``headers`` replace others (underscores are hyphens)."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        given = {
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/abc",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": guid or str(uuid.uuid4()),
            "X-Hub-Signature-256": sign(Secret(secret), body),
        }
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", "/hooks/github", body, given)
