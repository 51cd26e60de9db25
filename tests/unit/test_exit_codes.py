"""Each exit code by its real cause, from outside: the program runs as a process and deploys to this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from demo.ssh_server import generate_key
from deployer.composition import transport_for
from deployer.config import load, load_secrets
from deployer.static import requests
from deployer.static.host import program
from tests.attempts import until

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Site:
    """A project that deploys to this machine."""

    folder: Path

    @property
    def target(self) -> Path:
        return self.folder / "www" / "site"

    def write(self, text: str) -> None:
        (self.folder / "public" / "index.html").write_text(text)

    def live(self) -> str:
        return (self.target / "index.html").read_text()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("DEPLOYER_", "GITHUB_"))}
        return subprocess.Popen(
            [sys.executable, "-m", "deployer", *arguments],
            cwd=self.folder,
            env=environment | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def deployer(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        try:
            output, errors = process.communicate(timeout=90)
        finally:
            process.kill()
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def json(self, *arguments: str) -> dict[str, Any]:
        """The one object on standard output."""
        answer: dict[str, Any] = json.loads(self.deployer(*arguments, "--json").stdout)
        return answer


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "public").mkdir()
    (tmp_path / "www").mkdir()
    made = Site(tmp_path)
    made.write("one")
    (tmp_path / "deploy.toml").write_text(
        f'app = "blog"\nhost = "local"\n[static]\nsource = "public"\ntarget = "{made.target}"\n'
    )
    return made


class Moody(BaseHTTPRequestHandler):
    """Answers what the test says: ``mood`` gets the number of the request and gives its status."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Web)
        self.send_response(server.next_status())
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
        """Say nothing."""


class Web(ThreadingHTTPServer):
    """A web server with moods."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Moody)
        self.statuses: list[int] = [200]
        self.asked = 0
        self._counting = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"

    def next_status(self) -> int:
        with self._counting:
            self.asked += 1
            return self.statuses[self.asked % len(self.statuses)]

    def wait(self) -> None:
        """Until the first request has come."""
        deadline = time.monotonic() + 60
        while not self.asked and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self.asked


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_life_of_a_site(site: Site) -> None:
    """Deploy, nothing to do, change, plan, go back, look: each is exit code 0 with the documented status."""
    assert site.json("run")["status"] == "deployed"
    assert site.json("run")["status"] == "unchanged"
    site.write("two")
    assert site.json("plan")["status"] == "planned"
    assert site.json("run", "--dry-run")["changes"] == [{"action": "change", "path": "index.html", "bytes": 3}]
    assert site.live() == "one"
    second = site.deployer("run", "--quiet")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert site.live() == "two"
    releases = site.json("releases")["releases"]
    assert [each["state"] for each in releases] == ["live", "kept"]
    assert site.json("rollback", "--dry-run")["status"] == "planned"
    assert site.json("rollback")["release"] == releases[1]["release"]
    assert site.live() == "one"
    assert site.json("rollback", releases[0]["release"])["status"] == "rolled_back"
    assert site.json("status")["live_release"] == releases[0]["release"]
    assert site.json("logs")["release"] == releases[0]["release"]
    assert site.json("unlock") == {"app": "blog", "unlocked": False, "owner": None}


def test_people_read_standard_error(site: Site) -> None:
    """Standard output stays empty without --json; the looking commands print their tables there."""
    done = site.deployer("run")
    assert (done.returncode, done.stdout) == (0, "")
    assert "blog is live" in done.stderr
    looked = site.deployer("releases")
    assert "live" in looked.stdout
    assert looked.stderr == ""


def test_exit_code_1_for_a_failure(site: Site) -> None:
    """The previous release still serves; here there is none to go back to."""
    done = site.deployer("rollback")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: nothing is live") or "\nerror: nothing is live" in done.stderr


@pytest.mark.parametrize(
    "arguments", [("run", "--target", "relative"), ("rollback", "nothing"), ("run", "--config", "no")]
)
def test_exit_code_2_for_wrong_input(site: Site, arguments: tuple[str, ...]) -> None:
    """The message names what is wrong; with --json it is also the object's error."""
    done = site.deployer(*arguments, "--json")
    assert done.returncode == 2
    answer = json.loads(done.stdout)
    assert answer["status"] == "failed"
    assert answer["error"].splitlines()[0] in done.stderr


def test_exit_code_3_for_a_held_lock(site: Site) -> None:
    """Another deploy holds it; the error says whose it is. Unlocking then takes it away."""
    config = load(site.folder / "deploy.toml", flags={}, variables={}, directory=site.folder)
    session = transport_for(config, load_secrets({}), print).open(program())
    try:
        session.perform(requests.site("blog", str(site.target), "nonce1", "anna since noon"), requests.lock(0, "anna"))
        done = site.deployer("run", "--lock-wait", "0", "--json")
        assert done.returncode == 3
        assert "anna since noon" in json.loads(done.stdout)["error"]
        assert site.json("unlock") == {"app": "blog", "unlocked": True, "owner": "anna since noon"}
        assert site.deployer("run", "--lock-wait", "0").returncode == 0
    finally:
        session.close(wait=False)


def test_exit_code_4_for_a_host_that_is_not_there(site: Site) -> None:
    """Nobody listens at the port."""
    private, public = generate_key()
    (site.folder / "key").write_text(private)
    ways = ("--host", "anna@127.0.0.1:9", "--host-key", public, "--key", "key", "--connect-timeout", "1")
    done = site.deployer("run", *ways, "--json")
    assert done.returncode == 4
    answer = json.loads(done.stdout)
    assert (answer["status"], answer["hosts"]) == ("failed", ["anna@127.0.0.1:9"])
    assert private not in done.stdout + done.stderr


def test_exit_code_5_for_a_failed_gate(site: Site, web: Web) -> None:
    """The old release is live again, and the object says rolled_back."""
    site.deployer("run")
    site.write("two")
    web.statuses = [500]
    done = site.deployer("run", "--health-url", web.url, "--json")
    assert done.returncode == 5
    assert json.loads(done.stdout)["status"] == "rolled_back"
    assert site.live() == "one"


def test_exit_code_6_for_more_drops_than_the_budget(site: Site, web: Web) -> None:
    """The release is live and stays live; nothing was rolled back."""
    web.statuses = [200, 200, 503]
    done = site.deployer("run", "--health-url", web.url, "--probe-url", web.url, "--probe-rate", "40", "--json")
    assert done.returncode == 6
    answer = json.loads(done.stdout)
    assert answer["status"] == "deployed"
    assert answer["probe"]["dropped"] > 0
    assert site.live() == "one"


def test_exit_code_7_for_an_unknown_state(site: Site, web: Web) -> None:
    """The host's program is killed while the gate looks: nobody confirms or undoes. The next run mends it by itself."""
    site.deployer("run")
    site.write("two")
    web.statuses = [503]
    process = site.start("run", "--health-url", web.url, "--json")
    web.wait()
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    web.statuses = [200]
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 7
    assert "the end of the deploy is not known" in json.loads(output)["error"]
    assert site.json("status")["interrupted"].startswith("the switch to")
    assert site.json("run")["status"] == "unchanged"
    assert site.live() == "two"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_exit_code_130_for_an_interrupt(site: Site, web: Web, number: signal.Signals) -> None:
    """While the gate waits: it does not go on for its minute, the old release is live, and the lock is free."""
    site.deployer("run")
    site.write("two")
    web.statuses = [503]
    process = site.start("run", "--health-url", web.url, "--json")
    web.wait()
    assert site.live() == "two"
    began = time.monotonic()
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - began < 30  # the gate would wait for 60 s
    assert process.returncode == 130
    assert json.loads(output)["status"] == "failed"
    # It waits for the host some seconds only, whose lease would end after 15 s.
    until(lambda: site.live() == "one", 10)
    until(lambda: site.json("status")["lock"]["held"] is False, 10)
