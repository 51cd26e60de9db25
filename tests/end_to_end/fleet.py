"""Several servers at once: each a real sshd with a root directory of its own, and a web server at an address of its own."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from deployer.journal import Event, parse
from tests.end_to_end.deployment import Deployment
from tests.end_to_end.processes import send
from tests.end_to_end.site import wait_until
from tests.end_to_end.small_root import Server, serve
from tests.sshd import Sshd

__all__ = ["Fleet", "Member", "Web", "servers"]

BAD = b"bad"  # a release whose index says so is answered with 500 where ``Web.breaks``


class Web(ThreadingHTTPServer):
    """Serves a host's ``/www`` at 127.0.0.NUMBER; ``visited`` are the paths that were asked for."""

    daemon_threads = True

    def __init__(self, number: int, root: Path, port: int) -> None:
        self.root, self.visited = root, cast(list[str], [])
        self.address = f"127.0.0.{number}"
        self.breaks = False
        self.hook: Callable[[], None] | None = None
        super().__init__((self.address, port), _Pages)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def when_live(self, target: Path, word: str, act: Callable[[], None]) -> None:
        """Do something once, as soon as anybody asks while the target's index holds ``word``.

        Whoever asks meanwhile, gate and probe, is answered when it is done.
        """
        lock = threading.Lock()

        def hook() -> None:
            with lock:
                if self.hook and word in (target / "index.html").read_text():
                    try:
                        act()
                    finally:
                        self.hook = None

        self.hook = hook

    def stop(self) -> None:
        """End it."""
        self.shutdown()
        self.server_close()


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = cast(Web, self.server)
        path = self.path.partition("?")[0]
        server.visited.append(path)
        if server.hook:
            server.hook()
        file = server.root / "www" / path.strip("/")
        if file.is_dir():
            file /= "index.html"
        body = file.read_bytes() if file.is_file() else b""
        index = file.parent / "index.html"
        broken = server.breaks and index.is_file() and BAD in index.read_bytes()
        self.send_response(500 if broken else 200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Member:
    """One host: what a test sees of it from outside. ``way`` is the port at which deployer reaches it.

    ``more`` are settings that this host alone has.
    """

    root: Path
    sshd: Sshd
    web: Web
    name: str = ""
    way: int = 0
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> Path:
        return self.root / "www" / self.name

    @property
    def state(self) -> Path:
        return self.root / "www" / ".deployer" / self.name / "state"

    @property
    def live(self) -> str:
        """The directory name of the live release."""
        return self.target.readlink().name

    @property
    def label(self) -> str:
        """What the deploy calls it."""
        return f"{self.sshd.user}@127.0.0.1:{self.way}"

    def text(self, name: str = "index.html") -> str:
        return (self.target / name).read_text()

    def files(self) -> dict[str, tuple[bytes, int, int]]:
        """Contents, modification time and inode of each live file."""
        top = self.target.resolve()
        found = {}
        for path in top.rglob("*"):
            if path.is_file() and not path.is_symlink():
                about = path.stat()
                found[str(path.relative_to(top))] = (path.read_bytes(), about.st_mtime_ns, about.st_ino)
        return found

    def times(self) -> dict[str, tuple[bytes, int]]:
        """What web servers make their ETags of, and the contents."""
        return {path: about[:2] for path, about in self.files().items()}

    def journal(self) -> tuple[Event, ...]:
        file = self.state / "journal"
        return parse(file.read_text()) if file.exists() else ()

    def is_unlocked(self) -> bool:
        return not [path for path in self.state.glob("*") if path.name.startswith(("lock", "claim", "pending"))]

    def kill_sessions(self) -> None:
        """End what sshd started for whoever is logged in, and wait until the host's program has seen it."""
        programs = [*self.sshd.processes()]
        for pid in self.sshd.sessions():
            send(pid, signal.SIGKILL)
        assert wait_until(lambda: not set(programs) & set(self.sshd.processes()), 60)


@dataclass
class Fleet:
    """A site on several hosts; ``members`` are those that deploy.toml names."""

    site: Deployment
    members: list[Member]
    more: dict[str, Any] = field(default_factory=dict)

    def configure(self) -> None:
        """Write deploy.toml with a table for each member."""
        site = self.site
        lines = [f"{key} = {json.dumps(value)}" for key, value in site.settings.items() if not isinstance(value, dict)]
        for member in self.members:
            pin = member.sshd.pin(port=member.way)
            host = {"address": "127.0.0.1", "port": member.way, "user": member.sshd.user, "host_key": [pin]}
            host |= {"key": str(member.sshd.key_file), "connect_to": member.web.address, "connect_timeout": 30}
            host |= self.more | member.more
            lines += ["[[host]]", *(f"{key} = {json.dumps(value)}" for key, value in host.items())]
        lines += ["[static]", *(f"{key} = {json.dumps(value)}" for key, value in site.static.items())]
        for name, table in site.settings.items():
            if isinstance(table, dict):
                lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        (site.directory / "deploy.toml").write_text("\n".join(lines) + "\n", "utf-8")

    def deploy(self, **contents: str) -> dict[str, Any]:
        """A deploy of exactly these files that must succeed; its answer."""
        if contents:
            self.site.files(**contents)
        self.configure()
        return self.site.deploy()

    def lives(self) -> set[str]:
        """The live releases' directory names."""
        return {member.live for member in self.members}

    def texts(self) -> list[str]:
        """What each host's index says."""
        return [member.text() for member in self.members]

    def all_unlocked(self) -> bool:
        return all(member.is_unlocked() for member in self.members)

    def stop(self) -> None:
        """Forget the site; the servers stay for the next one."""
        for member in self.members:
            member.web.hook, member.web.breaks = None, False
            shutil.rmtree(member.root / "www", ignore_errors=True)
            (member.root / "www").mkdir()


@contextlib.contextmanager
def servers(directory: Path, count: int) -> Iterator[list[Member]]:
    """So many servers, each in a directory of its own."""
    with contextlib.ExitStack() as stack:
        members: list[Member] = []
        port = 0
        for number in range(1, count + 1):
            place = directory / f"host-{number}"
            place.mkdir()
            root, sshd = stack.enter_context(serve(Server(), place))
            web = Web(number, root, port)
            port = web.server_port
            stack.callback(web.stop)
            members.append(Member(root, sshd, web, way=sshd.port))
        yield members
