"""Rolls by the host's program, with a real engine, Compose and Traefik, while visitors ask."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from deployer.errors import DeployerError, DeployFailed
from deployer.rebuild import requests
from tests.attempts import least, until
from tests.contract.rolling import Project, Rolled
from tests.contract.visitors import Visitors
from tests.engine import Engine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared(started_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One project with its proxy for all tests: each begins with ``prepare``."""
    yield Project(started_engine, tmp_path_factory.mktemp("roll"))
    started_engine.clean()


@pytest.fixture
def project(shared: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("DOCKER_HOST", shared.engine.host)
    shared.proxied = True
    yield shared
    shared.close()


@pytest.fixture
def kills() -> int:
    """How often to kill: the full number is asked for by DEPLOYER_KILLS=100."""
    return int(os.environ.get("DEPLOYER_KILLS", "3"))


def consistent(project: Project, versions: list[str]) -> None:
    """Exactly these containers, the proxy at rest, and nothing that `up` would change."""
    assert project.versions() == versions
    assert len(project.names()) == len(versions)
    assert project.steady()
    assert project.planned() == ""


def test_nobody_notices(project: Project) -> None:
    """A roll of an app that dies at once on SIGTERM, from the steady state back to it: no request fails."""
    project.prepare()
    with Visitors(project.url) as visitors:
        project.roll("app:2", Rolled())
        project.roll("app:1", Rolled())
    assert visitors.failures == []
    assert set(visitors.answers) == {"1", "2"}
    consistent(project, ["1"])


@pytest.mark.parametrize("batch", [0, 1, 2])
def test_replicas_in_batches(project: Project, batch: int) -> None:
    """Three replicas are replaced all at once, one by one, or two at a time; there are never fewer than three."""
    project.prepare(replicas=3)
    with Visitors(project.url) as visitors:
        project.roll("app:2", Rolled(replicas=3, batch=batch, settle=0, drain=1))
    assert visitors.failures == []
    consistent(project, ["2"] * 3)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1)])
def test_another_number_of_replicas(project: Project, before: int, after: int) -> None:
    """The new version may have more or fewer replicas than the old one had."""
    project.prepare(replicas=before)
    project.write(replicas=after)
    with Visitors(project.url) as visitors:
        project.roll("app:2", Rolled(replicas=after, batch=1, settle=0, drain=1))
    assert visitors.failures == []
    consistent(project, ["2"] * after)


def test_nothing_to_replace(project: Project) -> None:
    """Containers that Compose would leave alone stay, and so does the proxy's file."""
    project.prepare()
    before = [project.engine.docker("inspect", "--format={{.Id}}", name) for name in (*project.names(), "beside")]
    session = project.begin("app:1")
    assert project.start(session, Rolled()).every("unchanged") == ("blog",)
    session.perform(requests.cut(), requests.accept(), requests.retire(0), requests.finish(3))
    assert before == [
        project.engine.docker("inspect", "--format={{.Id}}", name) for name in (*project.names(), "beside")
    ]
    consistent(project, ["1"])


def test_the_service_beside(project: Project) -> None:
    """Another service is left alone when nothing about it changed, and brought up when its configuration did."""
    project.prepare()
    beside = project.engine.docker("inspect", "--format={{.Id}}", "beside")
    project.roll("app:2", Rolled(settle=0, drain=0))
    assert project.engine.docker("inspect", "--format={{.Id}}", "beside") == beside
    file = project.checkout / "docker-compose.yml"
    file.write_text(file.read_text().replace("sleep 100000", "sleep 200000"))
    project.roll("app:1", Rolled(settle=0, drain=0))
    assert "200000" in project.engine.docker("inspect", "--format={{.Config.Cmd}}", "beside")
    consistent(project, ["1"])


def test_a_health_check_decides(project: Project) -> None:
    """A container with a health check is ready when Docker says so, although it answers before."""
    project.prepare()
    project.write(behaviour="warming")
    with Visitors(project.url) as visitors:
        project.roll("checked:2", Rolled(settle=0))
    assert visitors.failures == []
    consistent(project, ["2"])


def test_answers_decide_without_a_health_check(project: Project) -> None:
    """An app that answers 503 for its first three seconds gets no visitor before it answers well."""
    project.prepare()
    project.write(behaviour="warming")
    with Visitors(project.url) as visitors:
        project.roll("app:2", Rolled(settle=0))
    assert visitors.failures == []
    consistent(project, ["2"])


@pytest.mark.parametrize(
    ("behaviour", "image", "said"),
    [
        ("crashing", "app:2", "does not stay up"),
        ("fading", "app:2", "does not stay up"),
        ("unwell", "app:2", "was not ready within 2 s: http://"),
        ("hanging", "app:2", "was not ready within 2 s: http://"),
        ("unwell", "checked:2", "its health check"),
    ],
)
def test_a_version_that_is_no_good(project: Project, behaviour: str, image: str, said: str) -> None:
    """One that crashes, dies within the settle time, answers 500 or never, gets no visitor; the message says why."""
    project.prepare()
    project.write(behaviour=behaviour)
    with Visitors(project.url) as visitors:
        session = project.begin(image)
        with pytest.raises(DeployFailed, match=said) as caught:
            project.start(
                session,
                Rolled(
                    patience=2 if behaviour in ("unwell", "hanging") else 60, settle=3 if behaviour == "fading" else 0
                ),
            )
        session.close()
    assert visitors.failures == []
    assert set(visitors.answers) == {"1"}
    assert "the new container site-blog-" in str(caught.value)
    # The old configuration belongs to the checkout, which these tests leave out.
    project.write()
    consistent(project, ["1"])


def test_back_after_the_cut(project: Project) -> None:
    """A release that fails its gate goes again: the old containers, which were there all the time, serve."""
    project.prepare(replicas=2)
    before = project.names()
    with Visitors(project.url) as visitors:
        session = project.begin("app:2")
        project.start(session, Rolled(replicas=2))
        session.perform(requests.cut())
        until(lambda: "2" in visitors.answers)
        session.perform(requests.revert())
    assert visitors.failures == []
    assert set(visitors.answers) == {"1", "2"}
    assert project.names() == before
    consistent(project, ["1"] * 2)


def test_back_after_batches(project: Project) -> None:
    """Old containers that a batch has removed already come back from the old image."""
    project.prepare(replicas=3)
    with Visitors(project.url) as visitors:
        session = project.begin("app:2")
        project.start(session, Rolled(replicas=3, batch=1, settle=0, drain=1))
        session.perform(requests.cut())
        assert project.versions() == ["1", "2", "2", "2"]
        session.perform(requests.revert())
    assert visitors.failures == []
    consistent(project, ["1"] * 3)


def test_a_client_that_is_gone(project: Project) -> None:
    """When the client vanishes after the cut, the host goes back by itself."""
    project.prepare()
    with Visitors(project.url) as visitors:
        session = project.begin("app:2")
        project.start(session, Rolled())
        session.perform(requests.cut())
        session.close(wait=False)
        project.heal()
    assert visitors.failures == []
    consistent(project, ["1"])


def test_traefik_that_cannot_be_asked(project: Project) -> None:
    """Without an acknowledgement nothing is started: whoever cannot be told must not be surprised."""
    project.prepare()
    session = project.begin("app:2", patience=3)
    project.engine.docker("pause", "traefik")
    with pytest.raises(DeployFailed, match="Traefik"):
        project.start(session, Rolled())
    project.engine.docker("unpause", "traefik")
    session.close()
    project.heal()
    consistent(project, ["1"])


def test_requests_under_way_end_well(project: Project) -> None:
    """A slow answer that has begun before the cut-over is given to its end, by an app that dies at once on SIGTERM."""
    project.prepare()
    with Visitors(f"{project.url}slow/2", visitors=6) as visitors:
        time.sleep(1)
        project.roll("app:2", Rolled(settle=0, drain=5))
    assert visitors.failures == []
    consistent(project, ["2"])


def test_own_signal_and_time_to_stop(project: Project) -> None:
    """A container gets the signal that it asks for, and its own 3 s to end, not Docker's 10 s, before it is killed."""
    project.prepare(behaviour="deaf", stop_signal="SIGUSR1")
    rolled = ["1"]

    def time_to_stop() -> float:
        begun = time.time()
        rolled.append("2" if rolled[-1] == "1" else "1")
        project.roll(f"app:{rolled[-1]}", Rolled(settle=0, drain=0))
        (first, asked), (second, killed) = signals(project, begun)
        assert (first, second) == (signal.SIGUSR1, signal.SIGKILL)
        return killed - asked

    assert 2.5 < least(time_to_stop, enough=8.0) <= 8
    consistent(project, rolled[-1:])


def signals(project: Project, since: float) -> list[tuple[int, float]]:
    """The signals that Docker has sent to containers of the service since then, each with its time in seconds."""
    form = '{{.Actor.Attributes.signal}} {{.TimeNano}} {{index .Actor.Attributes "com.docker.compose.service"}}'
    span = (f"--since={since:.0f}", f"--until={time.time() + 1:.0f}")
    said = project.engine.docker("events", *span, "--filter=event=kill", f"--format={form}")
    found = [line.split() for line in said.splitlines()]
    return [(int(words[0]), int(words[1]) / 1e9) for words in found if words[2:] == ["blog"]]


@pytest.mark.parametrize(
    ("restart", "cut"),
    [
        ("always", True),
        ("no", False),
        ("always", False),
        ("no", True),
    ],
)
def test_the_engine_restarts_in_between(project: Project, restart: str, cut: bool) -> None:
    """After a kill and a reboot, the file leads to containers that exist, and the next run brings one version back."""
    project.prepare(restart=restart, replicas=2)
    session = project.begin("app:2")
    project.start(session, Rolled(settle=0, drain=0, replicas=2, batch=1))
    if cut:
        session.perform(requests.cut())
    project.kill()
    project.engine.restart()
    if restart == "always":
        project.wait()
    project.heal()
    project.wait()
    consistent(project, ["1"] * 2)


@pytest.mark.timeout(7200)
def test_killed_at_random(project: Project, kills: int) -> None:
    """SIGKILL to the host's shell at any moment: no request fails, and the next run finishes or undoes the roll."""
    project.prepare(replicas=2)
    how = Rolled(settle=0.2, replicas=2, batch=1)
    begun = time.monotonic()
    project.roll("app:2", how)
    span = time.monotonic() - begun
    moments = random.Random(kills)
    with Visitors(project.url) as visitors:
        for number in range(kills):
            target = "2" if project.versions()[0] == "1" else "1"
            killed_roll(project, f"app:{target}", how, moments.uniform(0.1, 1) * span, number)
            project.heal()
            assert visitors.failures == []
            assert len(set(project.versions())) == 1
            consistent(project, project.versions()[:1] * 2)


@pytest.mark.parametrize("behaviour", ["graceful", "graceful warming"])
def test_by_the_name_of_the_service(project: Project, behaviour: str) -> None:
    """Without a proxy of ours, a new container has the service's name only when it is ready; nobody notices either."""
    project.prepare(behaviour="graceful")
    project.write(behaviour=behaviour)
    project.proxied = False
    with Visitors(project.url) as visitors:
        project.roll("app:2", Rolled(settle=0))
        until(lambda: "2" in visitors.answers)
    assert visitors.failures == []
    assert set(visitors.answers) == {"1", "2"}
    consistent(project, ["2"])


def test_by_the_name_of_the_service_and_killed(project: Project) -> None:
    """A container that a kill has left without its name is removed, or gets it."""
    project.prepare(behaviour="graceful", replicas=2)
    project.proxied = False
    with Visitors(project.url) as visitors:
        for number in range(8):
            killed_roll(
                project, f"app:{2 - number % 2}", Rolled(settle=0, replicas=2, batch=1), 0.5 + number / 2, number
            )
            project.heal()
            consistent(project, project.versions()[:1] * 2)
    assert visitors.failures == []


def killed_roll(project: Project, image: str, how: Rolled, moment: float, number: int) -> None:
    """Begin a roll, and kill the shell that does it at that moment, if it runs still."""
    release = f"202611230000{number % 60:02}Z-{number:07x}"

    def roll() -> None:
        with contextlib.suppress(DeployerError):
            project.roll(image, how, release=release)

    thread = threading.Thread(target=roll)
    thread.start()
    time.sleep(moment)
    with contextlib.suppress(ValueError, ProcessLookupError):
        project.kill()
    thread.join()
