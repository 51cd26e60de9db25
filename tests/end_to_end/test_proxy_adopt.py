"""`deployer proxy adopt` from outside, with a real Traefik that serves while its files are rewritten."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import need
from tests.end_to_end.terminal import Terminal
from tests.engine import Engine
from tests.roots import traefik_program
from tests.traefik import Load, Traefik, backend

# Stands for the Compose service's name: Traefik runs on this machine, not in a network of Docker's.
SERVICE = "localhost"


@dataclass
class Server:
    """A server whose Traefik has one hand-written file, and the app's configuration."""

    folder: Path
    directory: Path
    traefik: Traefik
    port: int

    @property
    def original(self) -> Path:
        return self.directory / "routers.yml"

    @property
    def own(self) -> Path:
        return self.directory / "deployer-blog.yml"

    def configure(self, *, api: str | None = None, entry_point: str = "", timeout: int = 30) -> None:
        (self.folder / "deploy.toml").write_text(
            f'app = "blog"\nstrategy = "rebuild"\nhost = "local"\n'
            f'[rebuild]\npath = "{self.folder / "checkout"}"\nroll = ["{SERVICE}:{self.port}"]\n'
            f'[traefik]\ndirectory = "{self.directory}"\napi = "{self.traefik.api if api is None else api}"\n'
            f'entry_point = "{entry_point}"\ntimeout = {timeout}\n'
        )

    def adopt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "deployer", "proxy", "adopt", *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def files(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.directory.iterdir()}


def routers(port: int) -> str:
    return f"""\
http:
  routers:
    # everybody
    all:
      rule: "PathPrefix(`/`)"
      service: blog
  services:
    blog:   # by hand
      loadBalancer:
        passHostHeader: false
        servers:
          - url: "http://{SERVICE}:{port}"
    other:
      loadBalancer: {{servers: [{{url: "http://127.0.0.1:9"}}]}}
"""


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    need("traefik", "to serve while its files are rewritten", present=traefik_program() is not None)
    directory = tmp_path / "conf"
    directory.mkdir()
    with backend("blog") as port:
        (directory / "routers.yml").write_text(routers(port))
        with Traefik(directory, tmp_path, throttle=getattr(request, "param", "200ms")) as traefik:
            traefik.wait_for("blog", f"http://{SERVICE}:{port}")
            found = Server(tmp_path, directory, traefik, port)
            found.configure()
            yield found


# As it is by default, two seconds and all.
@pytest.mark.slow
@pytest.mark.parametrize("server", ["2s"], indirect=True)
def test_no_visitor_notices_that_a_service_moves(server: Server) -> None:
    """Under load, the service goes from one file into the other, and every request is answered well."""
    with Load(server.traefik.port) as load:
        load.wait_for(lambda: load.answers > 50)
        begun = time.monotonic()
        done = server.adopt("--yes")
        seconds = time.monotonic() - begun
        assert done.returncode == 0, done.stderr
        load.wait_for(lambda: False, seconds=2.5)  # what Traefik has put off for two seconds comes to light, too
    assert (load.failures, load.answers > 100) == ([], True), seconds
    assert server.traefik.servers("blog") == [f"http://{SERVICE}:{server.port}"]
    assert f"--- {server.original}\n" in done.stdout
    assert "-    blog:   # by hand\n" in done.stdout
    whole = routers(server.port).splitlines()
    assert server.original.read_text().splitlines() == whole[:7] + whole[12:]
    assert "passHostHeader: false" in server.own.read_text()
    assert set(server.files()) == {"routers.yml", "deployer-blog.yml"}


def test_adopting_again_changes_nothing(server: Server) -> None:
    """The second time says that it is done already."""
    assert server.adopt("--yes", "--json").returncode == 0
    files = server.files()
    again = server.adopt("--yes")
    assert (again.returncode, again.stdout) == (0, "")
    assert "there is nothing to adopt" in again.stderr
    answer = json.loads(server.adopt("--json").stdout)
    assert (answer["changed"], answer["adopted"]) == (False, [])
    assert server.files() == files


def test_nothing_is_written_without_an_answer(server: Server) -> None:
    """Where nobody can be asked, the difference is shown and the exit code says that --yes is missing."""
    files = server.files()
    done = server.adopt()
    assert done.returncode == 2
    assert "+++ " in done.stdout
    assert "add --yes" in done.stderr
    assert server.files() == files


def test_a_person_may_say_no(server: Server) -> None:
    """At a terminal the question comes after the difference; no is not an error."""
    files = server.files()
    command = [sys.executable, "-m", "deployer", "proxy", "adopt"]
    with Terminal(command, directory=server.folder, environment=os.environ) as terminal:
        terminal.answer("Write this?", "n")
        assert terminal.ended() == 0
    assert server.files() == files


def test_a_file_that_is_mounted_by_itself_is_not_replaced(
    server: Server, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its container would keep the old text for ever; with the directory mounted, the file is adopted."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    engine.provide("busybox")
    run = ["run", "--detach", "--rm", "--name=proxy"]
    engine.docker(*run, f"--volume={server.original}:/conf/routers.yml:ro", "busybox", "sleep", "300")
    files = server.files()
    done = server.adopt("--yes")
    assert done.returncode == 1
    assert "is mounted by itself into the container proxy" in done.stderr
    assert server.files() == files
    engine.docker("rm", "--force", "proxy")
    engine.docker(*run, f"--volume={server.directory}:/conf:ro", "busybox", "sleep", "300")
    assert server.adopt("--yes").returncode == 0


@pytest.mark.parametrize("fault", ["malformed", "api down"])
def test_a_failure_leaves_all_files_as_they_were(fault: str, server: Server) -> None:
    """When Traefik does not follow, deployer's file goes again, and the original was not touched or is back."""
    server.configure(timeout=3)
    if fault == "malformed":
        (server.directory / "broken.yml").write_text("http: {")
    else:
        server.configure(api="http://127.0.0.1:9", timeout=3)
    files = server.files()
    done = server.adopt("--yes")
    assert done.returncode == 1
    assert "all files are as they were" in done.stderr
    assert server.files() == files


def test_the_entry_point_is_enough(server: Server) -> None:
    """Without an API the acknowledgement comes through the entry point."""
    server.configure(api="", entry_point=server.traefik.entry_point)
    done = server.adopt("--yes")
    assert done.returncode == 0, done.stderr
    assert server.traefik.servers("blog") == [f"http://{SERVICE}:{server.port}"]
    assert "routers" not in server.own.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("server", ["2s"], indirect=True)
@pytest.mark.parametrize("delay", [0.6, 2.2])
def test_an_adoption_that_is_killed_is_finished_by_the_next(delay: float, server: Server) -> None:
    """Client and host die together at some moment after the lock: no request fails, and running it again converges."""
    lock = server.folder / ".deployer" / "checkout" / "state" / "lock"
    command = [sys.executable, "-m", "deployer", "proxy", "adopt", "--yes"]
    with Load(server.traefik.port) as load:
        with subprocess.Popen(
            command, cwd=server.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        ) as process:
            load.wait_for(lambda: any(lock.glob("*/owner")))
            time.sleep(delay)
            for pid in (process.pid, *owners(lock)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        done = server.adopt("--yes")
        assert done.returncode == 0, done.stderr
        load.wait_for(lambda: False, seconds=2.5)
    assert load.failures == []
    assert server.traefik.servers("blog") == [f"http://{SERVICE}:{server.port}"]
    assert "blog:   # by hand" not in server.original.read_text()
    assert "deployer-blog-" not in server.own.read_text()
    assert set(server.files()) == {"routers.yml", "deployer-blog.yml"}


def owners(lock: Path) -> list[int]:
    """The host's programs that hold the lock; none once the adoption has ended."""
    found = []
    for owner in lock.glob("*/owner"):
        with contextlib.suppress(FileNotFoundError, IndexError):
            found.append(int(owner.read_text().split()[0]))
    return found


def test_other_commands_do_not_load_yaml() -> None:
    """What only Traefik needs costs nobody else time."""
    program = "import sys; from deployer import cli, composition, adopting; sys.exit('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
