"""What the tests of the action share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.action.workspace import Workspace
from tests.nginx import Nginx
from tests.sshd import Sshd, sshd_for_tests


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with sshd_for_tests(tmp_path) as server:
        yield server


@pytest.fixture
def target(nginx: Nginx) -> Path:
    return nginx.directory / "site"
