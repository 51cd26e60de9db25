"""The tests' own Docker engine, its images, its application and its load: what the rebuild strategy is tested with."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.attempts import ATTEMPTS, until
from tests.conftest import need
from tests.engine import Engine
from tests.load import Load

COMPOSE = """\
services:
  blog:
    image: main:latest
    restart: always
    deploy: {replicas: 2}
    networks: [proxy]
  client:
    image: alpine
    command: [sleep, "600"]
    networks: [proxy]
networks:
  proxy: {name: proxy, external: true}
"""


def _started(engine: Engine, **chosen: str | bool) -> str:
    """A container of the application with these habits; the result is its URL."""
    engine.application("main:latest", **chosen)  # type: ignore[arg-type]
    engine.docker("run", "--detach", "--name=blog", "main:latest")
    return f"http://{engine.address('blog')}/"


def _get(url: str, body: bytes | None = None) -> str:
    """The body of the answer, once something listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, body, timeout=10) as answer:
                said: bytes = answer.read()
                return said.decode()
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_compose_project_runs_in_an_external_network(engine: Engine, tmp_path: Path) -> None:
    """Compose brings up replicas in an external network, whose DNS knows the service and each container."""
    engine.provide("alpine")
    engine.application("main:latest", version="1")
    engine.docker("network", "create", "proxy")
    (tmp_path / "docker-compose.yml").write_text(COMPOSE, "utf-8")
    engine.compose(tmp_path, "--project-name=site", "up", "--detach")
    assert engine.containers("label=com.docker.compose.service=blog") == ["site-blog-1", "site-blog-2"]
    for name in ("blog", "site-blog-2"):
        asking = ("exec", "site-client-1", "wget", "-q", "-O-", f"http://{name}/")
        deadline = time.monotonic() + 60
        while not (answer := engine.docker(*asking, check=False)) and time.monotonic() < deadline:
            time.sleep(0.1)  # it has started, and listens soon
        assert answer == "1"


def test_restart_is_a_reboot(engine: Engine) -> None:
    """After a restart of the engine, a container with a restart policy is back, and the others are not."""
    engine.provide("alpine")
    engine.docker("run", "--detach", "--name=stays", "--restart=always", "--stop-timeout=0", "alpine", "sleep", "600")
    engine.docker("run", "--detach", "--name=goes", "--stop-timeout=0", "alpine", "sleep", "600")
    engine.restart()
    assert engine.docker("ps", "--format={{.Names}}") == "stays"


@pytest.mark.parametrize(("behaviour", "status"), [("unwell", 500), ("warming", 503)])
def test_application_has_the_habit_that_was_asked_for(engine: Engine, behaviour: str, status: int) -> None:
    """The application answers with the errors of its behaviour."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        _get(_started(engine, behaviour=behaviour))
    assert caught.value.code == status


def test_application_answers_its_version_and_echoes(engine: Engine) -> None:
    """GET answers the version that was built in, and POST what was sent."""
    url = _started(engine, version="1.5")
    assert _get(url) == "1.5\n"
    assert _get(url, b"a comment") == "a comment"


def test_application_gets_healthy_and_crashes_as_told(engine: Engine) -> None:
    """With a health check the container becomes healthy; a fading one was healthy and ends; a crashing one ends at once."""
    begun = time.time() - 1
    engine.application("fading", behaviour="fading", checked=True)
    engine.application("crashing", behaviour="crashing")
    engine.docker("run", "--detach", "--name=fading", "fading")
    engine.docker("run", "--detach", "--name=crashing", "crashing")
    until(lambda: not engine.containers("status=running"))
    span = (f"--since={begun:.0f}", f"--until={time.time() + 1:.0f}")
    events = engine.docker("events", *span, "--filter=container=fading", "--format={{.Action}}").splitlines()
    assert "health_status: healthy" in events
    assert engine.docker("inspect", "--format={{.State.ExitCode}}", "fading", "crashing").split() == ["1", "1"]


def test_load_counts_every_failure(engine: Engine) -> None:
    """A container that dies under load shows in the outcome, and one that lives does not."""
    need("wrk", "to be many visitors")
    url = _started(engine, behaviour="graceful")
    assert _get(url)
    for _ in range(ATTEMPTS):  # a machine that stops for so long has no visitors
        with Load(url, connections=5, post="a comment") as load:
            time.sleep(0.5)
        assert load.stop().failed == 0, load.stop()
        if load.stop().requests > 100:
            break
    assert load.stop().requests > 100
    with Load(url, connections=5, close=True) as load:
        engine.docker("kill", "blog")
        time.sleep(0.5)
    assert load.stop().failed > 0
