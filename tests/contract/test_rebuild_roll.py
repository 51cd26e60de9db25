"""Rolls by the host's program, with a real engine, Compose and Traefik, while visitors ask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.rolling import Project, Rolled, projects
from tests.engine import Engine
from tests.load import Load


@pytest.fixture
def project(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    yield from projects(engine, tmp_path)


def test_nobody_notices(project: Project) -> None:
    """A roll from the steady state back to it: no request fails, and there is one container of the new version."""
    project.prepare()
    with Load(project.url) as load:
        took = project.roll("app:2", Rolled())
    assert load.stop().failed == 0, load.stop()
    assert (project.versions(), project.names()) == (["2"], ["site-blog-2"])
    assert project.steady()
    assert project.planned() == ""
    print(took, load.stop())
