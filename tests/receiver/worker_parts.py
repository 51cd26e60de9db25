"""A real ``receiver worker`` with real repositories: what its tests start, ask and look at."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from receiver.alarm import knock
from receiver.logs import read_log
from receiver.store import Database, Head, Job, LiveApp, Source, Status, history, jobs
from receiver.store.queueing import Request
from tests.attempts import wait_until
from tests.end_to_end.repository import git

__all__ = ["MAIN", "Origin", "WorkerProcess", "World", "wait_for"]

MAIN = "refs/heads/main"
WAIT_SECONDS = 60.0
SECRET = "It's a Secret to Everybody"


def wait_for(condition: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Return when ``condition`` holds."""
    assert wait_until(condition, seconds), f"not within {seconds} s: {what}"


class Origin:
    """A repository on its server, and where somebody writes it."""

    def __init__(self, folder: Path) -> None:
        self.bare, self.work = folder / "origin.git", folder / "work"
        folder.mkdir(parents=True, exist_ok=True)
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
        git(folder, "init", "--quiet", "--initial-branch=main", "work")
        git(self.work, "remote", "add", "origin", str(self.bare))

    @property
    def url(self) -> str:
        """For ``clone_url``."""
        return f"file://{self.bare}"

    def commit(self, files: Mapping[str, str], ref: str = MAIN) -> str:
        """Commit these files and push them to ``ref``. Returns the commit."""
        for name, text in files.items():
            place = self.work / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--allow-empty", "--message", "change")
        self.push("HEAD", ref)
        return git(self.work, "rev-parse", "HEAD")

    def push(self, what: str, ref: str = MAIN) -> None:
        """Let ``ref`` point there, whatever it was."""
        git(self.work, "push", "--quiet", "--force", "origin", f"{what}:{ref}")


@dataclass
class World:
    """A receiver's folder with one app, ``blog``, whose site is the folder ``public`` of its repository.

    ``top``, ``app`` and ``rest`` are lines for receiver.toml, ``site`` for the table ``static``; ``clone_url`` is where the
    repository is, its path if empty.
    """

    folder: Path
    build: str = "mkdir -p public && cp version public/index.html"
    top: str = ""
    app: str = ""
    rest: str = ""
    site: str = ""
    database_url: str = ""
    clone_url: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.origin = Origin(self.folder / "repository")
        (self.folder / "www").mkdir()
        self.configure()
        self.state.mkdir(mode=0o700)
        self.database = Database.open(self.database_url or f"sqlite:///{self.state / 'receiver.db'}")

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / "state"

    @property
    def file(self) -> Path:
        """receiver.toml."""
        return self.folder / "receiver.toml"

    def configure(self) -> None:
        """Write the files."""
        (self.folder / "secret").write_text(SECRET)
        (self.folder / "blog.toml").write_text(
            f'app = "blog"\nhost = "local"\n[static]\nsource = "public"\ntarget = "{self.folder}/www/blog"\n'
            f"build = '''{self.build}'''\n{self.site}\n"
        )
        database = f'database = "{self.database_url}"\n' if self.database_url else ""
        self.file.write_text(
            f'state_dir = "state"\n{database}{self.top}\n[apps.blog]\nrepository = "octo/blog"\nconfig = "blog.toml"\n'
            f'refs = ["refs/heads/**", "refs/tags/**"]\nsecrets = [{{ file = "secret" }}]\n'
            f'clone_url = "{self.clone_url or self.origin.url}"\n{self.app}\n{self.rest}\n'
        )

    def ask(self, ref: str = MAIN, app: str = "blog", **more: object) -> int:
        """Have a job queued, as a delivery does."""
        number = jobs.request(self.database, Request(app, ref, Source.PUSH, **more))  # type: ignore[arg-type]
        knock(self.state)
        return number

    def job(self, number: int) -> Job:
        """As it is now."""
        with self.database.reading() as connection:
            found = history.job(connection, number)
        assert found is not None
        return found

    def all_jobs(self) -> tuple[Job, ...]:
        """Newest first."""
        with self.database.reading() as connection:
            return history.jobs_before(connection, None, 1_000)

    def head(self, ref: str = MAIN, app: str = "blog") -> Head | None:
        """What became of the ref."""
        with self.database.reading() as connection:
            return history.head_of(connection, app, ref)

    def live(self, app: str = "blog") -> LiveApp | None:
        """What is live by the database."""
        with self.database.reading() as connection:
            return history.live_app(connection, app)

    def over(self, number: int, seconds: float = WAIT_SECONDS) -> Job:
        """The job, once it is over."""
        wait_for(lambda: self.job(number).status.over, f"the end of {self.job(number)}\n{self.log(number)}", seconds)
        return self.job(number)

    def quiet(self, seconds: float = WAIT_SECONDS) -> None:
        """Return when nothing waits and nothing runs."""
        wait_for(lambda: all(job.status.over for job in self.all_jobs()), "an empty queue", seconds)

    def lines(self, number: int) -> list[dict[str, object]]:
        """The job's log."""
        return [line for _, line in read_log(self.state / "logs", number).lines]

    def log(self, number: int) -> str:
        """The job's log, for people."""
        return "\n".join(f"{line['kind']} {line.get('name', '')} {line['text']}" for line in self.lines(number))

    @property
    def served(self) -> str:
        """What visitors get; empty before the first deploy."""
        page = self.folder / "www" / "blog" / "index.html"
        return page.read_text().strip() if page.exists() else ""

    def succeeded(self, number: int) -> Job:
        """The job, which must have put something live."""
        job = self.over(number)
        assert job.status is Status.SUCCEEDED, f"{job}\n{self.log(number)}"
        return job


class WorkerProcess:
    """``receiver worker``; use it as a context, which starts and ends it. ``program`` is a module that is one."""

    def __init__(self, world: World, name: str = "worker", *, program: str = "receiver") -> None:
        self.world = world
        self._program = program
        self.variables: dict[str, str] = {}
        self.log_file = world.folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its number."""
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        """What it has logged."""
        return self.log_file.read_text("utf-8", "replace")

    def __enter__(self) -> Self:
        before = len(self.log) if self.log_file.exists() else 0
        command = [sys.executable, "-m", self._program, "worker", "--config", str(self.world.file)]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.world.environment, **self.variables},
                start_new_session=True,
            )
        wait_for(lambda: "waits for jobs" in self.log[before:] or self.process.poll() is not None, "its start")  # type: ignore[union-attr]
        assert self.process.poll() is None, self.log
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self, seconds: float = WAIT_SECONDS) -> int:
        """SIGTERM. Returns the exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait(WAIT_SECONDS)
            self.process = None

    def children(self) -> list[int]:
        """The processes that it has forked."""
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
            return [int(each) for each in text.split()]
        return []
