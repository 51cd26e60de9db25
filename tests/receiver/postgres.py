"""A real PostgreSQL on a Unix socket of its own, as an ordinary user: the server refuses to run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.conftest import need

__all__ = ["PostgreSQL"]

START_SECONDS = 60


class PostgreSQL:
    """One server; ``url`` is its database. Nothing is synced to the disk: tests do not pull plugs."""

    def __init__(self) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        need("PostgreSQL", "to share the queue between receivers", present=bool(programs))
        self._programs = programs[-1]
        # Beside pytest's own folders, because only their owner may pass through those.
        self._folder = Path(tempfile.mkdtemp(prefix="deployer-pg-", dir="/tmp"))
        self._user: dict[str, int] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            self._user = {"user": account.pw_uid, "group": account.pw_gid}
            os.chown(self._folder, account.pw_uid, account.pw_gid)

    @property
    def url(self) -> str:
        """For receiver.toml."""
        return f"postgresql://deployer@/postgres?host={self._folder}"

    def __enter__(self) -> Self:
        data = self._folder / "data"
        options = ("--auth=trust", "--username=deployer", "--no-sync", "--locale=C.UTF-8", "--encoding=UTF8")
        subprocess.run(
            [self._programs / "initdb", *options, data], check=True, capture_output=True, cwd=self._folder, **self._user
        )  # type: ignore[call-overload]  # user and group are numbers
        settings = ("listen_addresses=", f"unix_socket_directories={self._folder}", "fsync=off", "max_connections=60")
        command = [str(self._programs / "postgres"), "-D", str(data)]
        for setting in settings:
            command += ["-c", setting]
        self._process = subprocess.Popen(
            command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._user
        )  # type: ignore[call-overload]  # as above
        deadline = time.monotonic() + START_SECONDS
        ready = [str(self._programs / "pg_isready"), "--quiet", "--host", str(self._folder)]
        while subprocess.run(ready, check=False).returncode:
            assert self._process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The fast end, which does not wait until all clients have left.
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)
        shutil.rmtree(self._folder)

    def statement(self, text: str) -> None:
        """Carry out one SQL statement."""
        options = ["--quiet", "--host", str(self._folder), "--username", "deployer", "--command", text, "postgres"]
        subprocess.run(
            [str(self._programs / "psql"), *options], check=True, capture_output=True, cwd=self._folder, timeout=60
        )
