"""``receiver serve``: the web application under gunicorn."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn, ThreadWorker

from receiver.alarm import knock
from receiver.committing import Committer
from receiver.config import ReceiverConfig, Secrets
from receiver.errors import ReceiverError
from receiver.reporting import hide
from receiver.store import Database
from receiver.web import World, create_app
from receiver.web.streams import close_streams

__all__ = ["serve", "session_key"]

REQUEST_SECONDS = 20
"""Until a request must be read whole and answered: GitHub itself gives up after ten."""
SEND_SECONDS = 30
SPARE_THREADS = 32
"""Threads for everything but live logs."""
_log = logging.getLogger("receiver.serve")
Load = Callable[[], tuple[ReceiverConfig, Secrets]]


class ImpatientWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Threads, of which none waits for ever: neither for a request that comes byte by byte nor for a reader that sleeps."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._reading: dict[int, tuple[float, socket.socket]] = {}
        self._here = threading.local()
        self.wsgi: Callable[..., Any]
        self._application: Any = None

    def load_wsgi(self) -> None:
        """Let the answer's beginning stop the clock."""
        super().load_wsgi()
        application: Callable[..., Any] = self.wsgi
        self._application = self.wsgi

        def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            found: Iterable[bytes] = application(environ, start)
            self._reading.pop(self._here.key, None)
            return found

        self.wsgi = answer

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: what is being answered goes on, but for live logs, which would go on for ever."""
        if self._application is not None:
            close_streams(self._application)
        super().handle_exit(sig, frame)

    def handle(self, conn: TConn) -> Any:
        """One request, in a thread of its own."""
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0))
        self._here.key = id(conn)
        self._reading[id(conn)] = (time.monotonic() + REQUEST_SECONDS, conn.sock)
        try:
            return super().handle(conn)
        finally:
            self._reading.pop(id(conn), None)

    def murder_pending(self) -> None:
        """Called about every second by the main loop: cut those whose time is over."""
        super().murder_pending()
        now = time.monotonic()
        for deadline, late in list(self._reading.values()):
            if deadline < now:
                _cut(late)


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class PropagatingLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's messages go where all others go."""

    def setup(self, cfg: Any) -> None:
        """No handlers of its own."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        # Starting and stopping of processes is told by whoever looks after them.
        self.error_log.setLevel(logging.WARNING)


class Gunicorn(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """One web process; its parent keeps the configuration, so that a reload that fails leaves the old one in use."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.receiver_config, self._secrets = load()
        super().__init__()

    def load_config(self) -> None:
        """What gunicorn is told."""
        config = self.receiver_config
        threads = config.log_streams + SPARE_THREADS
        settings: dict[str, Any] = {
            "bind": config.bind,
            "workers": 1,
            "worker_class": ImpatientWorker,
            "threads": threads,
            "worker_connections": 2 * threads,
            "backlog": 1024,
            "timeout": 60,
            "graceful_timeout": 30,
            "keepalive": 20,
            "logger_class": PropagatingLogger,
            "control_socket_disable": True,
            "on_reload": self._reload,
            "forwarded_allow_ips": "",
            "umask": 0o077,
            "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None,  # noqa: S108  # not /tmp's disk
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def _reload(self, _arbiter: object) -> None:
        try:
            self.receiver_config, self._secrets = self._load()
        except ReceiverError as error:
            _log.error("the configuration was not reloaded: %s", error.message)
        else:
            hide(self._secrets.all())
            _log.info("the configuration was reloaded")

    def load(self) -> Any:
        """The application, made in the process that serves it."""
        config = self.receiver_config
        database = Database.open(config.database_url)
        committer = Committer(database, partial(knock, config.state))
        return create_app(World(config, self._secrets, database, committer, session_key(config.state)))


def session_key(state: Path) -> bytes:
    """What signs cookies: made once, and kept in a file of the state folder that only its owner reads."""
    file = state / "session.key"
    if not file.exists():
        draft = state / f".session.key.{os.getpid()}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as new:
            new.write(os.urandom(32))
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)  # whole, or not at all
        draft.unlink()
    return file.read_bytes()


def serve(load: Load) -> None:
    """Serve until SIGTERM; SIGHUP reloads. Raises ReceiverError when the start fails."""
    application = Gunicorn(load)
    hide(application._secrets.all())  # noqa: SLF001  # its own
    state = application.receiver_config.state
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Before gunicorn's processes start, what is wrong is one message; there it would be a traceback in each.
    Database.open(application.receiver_config.database_url).close()
    session_key(state)
    _log.info("serving on %s", application.receiver_config.bind)
    application.run()
