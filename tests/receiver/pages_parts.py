"""A receiver with a history, for the tests of its pages: jobs that lived their lives in its tables, logs, a password."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.security import generate_password_hash
from werkzeug.test import TestResponse

from receiver.committing import Committer
from receiver.config import ReceiverConfig, Secrets, load, read_secrets
from receiver.hooks import Event, Ignored, Wanted
from receiver.logs import LogWriter
from receiver.secrets import hash_token
from receiver.store import Database, Job, Source, Status, history
from receiver.store.intake import Arrival, record
from receiver.store.jobs import Settled, claim, request, settle
from receiver.store.queueing import Request
from receiver.store.schema import apps, deliveries, fates, jobs
from receiver.store.upkeep import see_worker
from receiver.web import World, create_app

__all__ = [
    "PASSWORD",
    "PASSWORD_HASH",
    "TOKEN",
    "Place",
    "Visitor",
    "chart_points",
    "configuration",
    "result",
    "secrets_of",
]

PASSWORD = "correct horse battery staple"
TOKEN = "a-token-of-the-tests"
# The weakest that werkzeug checks: a test of pages must not wait for a tenth of a second at each login.
PASSWORD_HASH = generate_password_hash(PASSWORD, "scrypt:1024:8:1")


def configuration(folder: Path, *, top: str = "", login: str = "", apps: str = "") -> Path:
    """Write a receiver.toml with two apps, a password and a token."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "secret").write_text("It's a Secret to Everybody\n", "utf-8")
    (folder / "password").write_text(PASSWORD_HASH + "\n", "utf-8")
    (folder / "deploy.toml").write_text('app = "blog"\nhost = "local"\n', "utf-8")
    file = folder / "receiver.toml"
    file.write_text(
        f'state_dir = "state"\n{top}\n'
        f'[login]\npassword_hash = {{ file = "password" }}\n'
        f'tokens = [{{ name = "laptop", hash = "{hash_token(TOKEN)}" }}]\n{login}\n'
        '[apps.blog]\nrepository = "octo/blog"\nconfig = "deploy.toml"\nsecrets = [{ file = "secret" }]\n'
        'refs = ["refs/heads/main", "refs/tags/v*"]\n'
        '[apps.site]\nrepository = "octo/site"\nconfig = "deploy.toml"\nsecrets = [{ file = "secret" }]\n'
        f"{apps}\n",
        "utf-8",
    )
    return file


def secrets_of(file: Path) -> tuple[ReceiverConfig, Secrets]:
    """The configuration in ``file`` with its secrets."""
    config = load(file)
    return config, read_secrets(config, {})


def chart_points(dropped: tuple[int, ...] = (), count: int = 240, switch: float = 5.0) -> list[list[float]]:
    """What a probe may have seen: slower around the switch."""
    points = []
    for number in range(count):
        at = number * 0.05
        latency = (
            3.2
            + 0.8 * math.sin(number / 3)
            + 0.5 * math.sin(number * 1.7)
            + 9 * math.exp(-(((at - switch) / 0.5) ** 2))
        )
        points.append([round(at, 3), round(latency, 2), int(number in dropped)])
    return points


def result(**more: object) -> str:
    """A deploy's answer as JSON."""
    steps = {"connect": 0.41, "lock": 0.02, "build": 6.3, "upload": 0.84, "switch": 0.03, "gate": 1.2, "finish": 0.05}
    found: dict[str, object] = {
        "status": "deployed",
        "previous_release": "20261121T080112Z-0c1d2e3",
        "url": "https://example.org/blog/",
        "files_total": 1532,
        "files_uploaded": 12,
        "files_deleted": 1,
        "bytes_uploaded": 48_211,
        "duration_seconds": 8.9,
        "steps": [{"name": name, "seconds": seconds} for name, seconds in steps.items()],
        "probe": {"requests": 240, "dropped": 0, "p50_ms": 3.3, "p99_ms": 12.1, "longest_gap_ms": 61.0},
        "probe_chart": chart_points(),
        "switch_at": 5.0,
        "notes": [],
        "changes": [
            {"action": "change", "path": "index.html", "bytes": 5_210},
            {"action": "add", "path": "posts/on-calm-pages.html", "bytes": 9_120},
            {"action": "remove", "path": "posts/draft.html"},
            {"action": "move", "path": "images/b.png", "from": "images/a.png", "bytes": 20_480},
        ],
    }
    return json.dumps(found | more)


@dataclass
class Place:
    """A folder with a receiver's configuration, tables and logs."""

    folder: Path
    top: str = ""
    login: str = ""
    apps: str = ""
    config: ReceiverConfig = field(init=False)
    secrets: Secrets = field(init=False)
    database: Database = field(init=False)
    committer: Committer = field(init=False)

    def __post_init__(self) -> None:
        """Make all of it."""
        self.file = configuration(self.folder, top=self.top, login=self.login, apps=self.apps)
        self.config, self.secrets = secrets_of(self.file)
        self.config.state.mkdir(mode=0o700, exist_ok=True)
        self.database = Database.open(self.config.database_url)
        self.committer = Committer(self.database)
        self._delivered = 0

    def app(self, **changes: Any) -> Flask:
        """The application over it."""
        config = msgspec.structs.replace(self.config, **changes)
        return create_app(World(config, self.secrets, self.database, self.committer, b"k" * 32))

    def see_worker(self) -> None:
        """Pretend that a worker is there."""
        see_worker(self.database, "here-1", time.time())

    def deliver(
        self,
        app: str = "blog",
        ref: str = "refs/heads/main",
        commit: str = "b" * 40,
        *,
        ignored: str = "",
        event: str = "push",
        at: float = 0.0,
        guid: str = "",
    ) -> tuple[str, int]:
        """Store a delivery. Returns its id and the job that it led to."""
        self._delivered += 1
        guid = guid or f"72d3162e-cc78-11e3-81ab-4c9367dc{self._delivered:04x}"
        said = Event(event, f"octo/{app}", ref=ref, commit=commit)
        verdict = Ignored(ignored) if ignored else Wanted(ref, commit)
        arrival = Arrival(guid, f"{self._delivered:064x}", said, at or time.time(), ((app, verdict),))
        with self.database.writing() as connection:
            (stored,) = record(connection, [arrival])
        return guid, stored.fates[0].job

    def run(self, app: str = "blog") -> Job:
        """Take the app's waiting job, as a worker does."""
        job = claim(self.database, "here-1", [app])
        assert job is not None
        return job

    def end(self, job: Job, status: Status = Status.SUCCEEDED, **facts: Any) -> Job:
        """Let it end."""
        assert settle(self.database, job, Settled(status, **facts))
        return self.job(job.id)

    def job(self, number: int) -> Job:
        """The job as it is now."""
        with self.database.reading() as connection:
            found = history.job(connection, number)
        assert found is not None
        return found

    def deployed(
        self, app: str, commit: str, release: str, *, ago: float = 0.0, took: float = 9.0, **facts: Any
    ) -> Job:
        """A delivery that was deployed ``ago`` seconds ago."""
        self.deliver(app, commit=commit, at=time.time() - ago - took)
        job = self.end(self.run(app), commit=commit, release=release, **({"result": result()} | facts))
        self.move(job, ago, took)
        return job

    def rolled_back(self, app: str, release: str) -> Job:
        """A rollback that is over."""
        request(self.database, Request(app, "", Source.MANUAL, kind="rollback", target=release, requested_by="mona"))
        return self.end(self.run(app), release=release, result=result(status="rolled_back"))

    def move(self, job: Job, ago: float, took: float) -> None:
        """Let the job have ended ``ago`` seconds ago."""
        now = time.time() - ago
        times = {
            "created_at": now - took - 0.2,
            "started_at": now - took,
            "finished_at": now if job.status.over else 0.0,
        }
        with self.database.writing() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job.id).values(times))
            connection.execute(update(apps).where(apps.c.job == job.id).values(since=now))
            led = select(fates.c.delivery).where(fates.c.job == job.id).scalar_subquery()
            connection.execute(update(deliveries).where(deliveries.c.id.in_(led)).values(received_at=now - took - 0.2))

    def log(self, job: int) -> LogWriter:
        """Its log, to write into."""
        return LogWriter(self.config.log_folder, job)


class Visitor:
    """A browser without JavaScript: it keeps cookies and sends forms with what they hold."""

    def __init__(self, app: Flask, **environment: str) -> None:
        self.client: FlaskClient = app.test_client()
        self.environment = environment

    def get(self, path: str, **headers: str) -> TestResponse:
        """GET."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers=named, environ_overrides=self.environment)

    def csrf(self, path: str) -> str:
        """The token in the first form of a page."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get(path).text)
        assert found, self.get(path).text
        return found[1]

    def post(self, path: str, page: str = "/", *, csrf: str | None = None, **fields: str) -> TestResponse:
        """Send the form of ``page``."""
        token = self.csrf(page) if csrf is None else csrf
        return self.client.post(path, data=fields | {"csrf": token}, environ_overrides=self.environment)

    def log_in(self, password: str = PASSWORD) -> TestResponse:
        """Log in."""
        return self.post("/login", "/login", password=password)
