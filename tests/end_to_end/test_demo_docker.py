"""The example's whole site, static and rebuild, deployed behind Traefik while wrk asks: the demo as a newcomer runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo.docker.engines import borrowed_engine
from demo.docker.stage import NETWORK, PROJECT
from tests.conftest import need
from tests.engine import Engine

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_demo_deploys_both_ways_under_load(engine: Engine, tmp_path: Path) -> None:
    """Static deploy, adoption, roll, a version that does not start, rollback: no visitor misses a page, nothing stays."""
    for program in ("sshd", "git", "make", "nginx", "wrk"):
        need(program, "to play the demo with Docker")
    before = _everything(engine)
    done = subprocess.run(
        [sys.executable, "-m", "demo.docker"],
        cwd=REPOSITORY,
        env=engine.environment | {"TMPDIR": str(tmp_path), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "This machine's Docker engine runs" in done.stdout
    assert done.stdout.count(" 0 failed.") == 2
    assert _everything(engine) == before
    assert os.listdir(tmp_path) == []  # noqa: PTH208  # what is there, hidden or not


@pytest.mark.slow
def test_demo_leaves_an_engine_alone_that_has_its_names(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine's engine has the example's network already, the demo uses another engine."""
    engine.docker("network", "create", NETWORK)
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    with borrowed_engine((), NETWORK, PROJECT) as (docker, name):
        assert docker.host != engine.host
        assert f"has a network {NETWORK} already" in name
    assert engine.docker("network", "ls", "--quiet", f"--filter=name={NETWORK}")


def _everything(engine: Engine) -> dict[str, list[str]]:
    """What the engine has, of each kind; images of one moment come in any order."""
    return {kind: sorted(engine.docker(*listed).splitlines()) for kind, listed in _LISTED.items()}


_LISTED = {
    "containers": ("ps", "--all", "--quiet"),
    "networks": ("network", "ls", "--format={{.Name}}"),
    "images": ("images", "--format={{.Repository}}:{{.Tag}}"),
    "volumes": ("volume", "ls", "--quiet"),
}
