"""``receiver serve``: the web application under gunicorn."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gevent
import gevent.local
import gevent.monkey
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.base_async import AsyncWorker
from gunicorn.workers.ggevent import GeventWorker

from receiver.alarm import knock
from receiver.committing import Committer
from receiver.config import ReceiverConfig, Secrets
from receiver.errors import ReceiverError, StoreUnavailable
from receiver.reporting import hide
from receiver.store import Database
from receiver.web import World, create_app
from receiver.web.streams import close_streams

__all__ = ["serve", "session_key"]

REQUEST_SECONDS = 20
"""Until a request must be read whole and answered: GitHub itself gives up after ten."""
SEND_SECONDS = 30
LINGER_SECONDS = 1
"""How long a connection without a request stays open at the end: one may be on its way."""
SPARE_CONNECTIONS = 1_000
"""Connections for everything but live logs; whoever comes then waits."""
_log = logging.getLogger("receiver.serve")
Load = Callable[[], tuple[ReceiverConfig, Secrets]]


class ImpatientWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """Greenlets, of which none waits for ever: neither for a request that comes byte by byte nor for a reader that sleeps.

    All requests share one thread. What would hold it up (a password's hash) is computed aside, in gevent's own threads.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._here = gevent.local.local()
        self._idle: set[socket.socket] = set()
        self.wsgi: Callable[..., Any]
        self._application: Any = None

    def patch(self) -> None:
        """Make waiting cooperative, in this process only."""
        with warnings.catch_warnings():
            # That ssl is loaded already matters to code that has taken its classes by name: nothing here does.
            warnings.simplefilter("ignore", gevent.monkey.MonkeyPatchWarning)
            super().patch()

    def load_wsgi(self) -> None:
        """Let the answer's beginning stop the clock."""
        super().load_wsgi()
        application: Callable[..., Any] = self.wsgi
        self._application = self.wsgi

        def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            with _limited(environ["gunicorn.socket"]):
                found: Iterable[bytes] = application(environ, start)
            return found

        self.wsgi = answer

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        """One connection, in a greenlet of its own."""
        self._here.client = client
        client.settimeout(SEND_SECONDS)
        AsyncWorker.handle(self, listener, client, addr)

    @contextlib.contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Until a request's headers are there."""
        client = self._here.client
        self._idle.add(client)
        try:
            with gevent.Timeout(self.cfg.keepalive if self.alive else LINGER_SECONDS, exception=False):
                yield
        finally:
            self._idle.discard(client)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: what is being answered goes on, but for live logs, which would go on for ever."""
        if self._application is not None:
            close_streams(self._application)
        gevent.spawn_later(LINGER_SECONDS, self._close_idle)
        super().handle_exit(sig, frame)

    def _close_idle(self) -> None:
        for client in list(self._idle):
            _cut(client)


@contextlib.contextmanager
def _limited(client: socket.socket) -> Iterator[None]:
    """Cut the connection unless the block ends in time."""
    timer = gevent.get_hub().loop.timer(REQUEST_SECONDS)
    timer.start(_cut, client)
    try:
        yield
    finally:
        timer.stop()
        timer.close()


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _aside(act: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    return gevent.get_hub().threadpool.apply(act, arguments, more)


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
        settings: dict[str, Any] = {
            "bind": config.bind,
            "workers": 1,
            "worker_class": ImpatientWorker,
            "worker_connections": config.log_streams + SPARE_CONNECTIONS,
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
        return create_app(World(config, self._secrets, database, committer, session_key(config.state), _aside))


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
    _check_database(application.receiver_config.database_url)
    session_key(state)
    _log.info("serving on %s", application.receiver_config.bind)
    # What is loaded by now is shared with the web process, unless its garbage collector writes to it.
    gc.freeze()
    application.run()


def _check_database(url: str) -> None:
    """Raise what opening it raises.

    In a process of its own: psycopg looks only once, when it is loaded, whether waiting is to be cooperative. In the web
    process it is, and here it is not.
    """
    context = get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_tell_problem, args=(theirs, url))
    process.start()
    theirs.close()
    try:
        problem: tuple[type[ReceiverError], str, str] | None = ours.recv()
    except EOFError:
        raise StoreUnavailable("the database could not be opened") from None
    finally:
        process.join()
    if problem:
        kind, message, hint = problem
        raise kind(message, hint=hint)


def _tell_problem(theirs: Connection, url: str) -> None:
    try:
        Database.open(url).close()
    except ReceiverError as error:
        theirs.send((type(error), error.message, error.hint))
    else:
        theirs.send(None)
