"""What every test may use, and the one rule about parts that a machine may lack."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import parts
from tests.engine import Engine, engine_for_tests
from tests.nginx import Nginx

__all__ = ["need"]

UNIT = Path(__file__).with_name("unit")

# A shell that starts the tests in the background has them ignore Ctrl-C, and whatever they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def need(part: str, reason: str, *, present: bool | None = None) -> str:
    """The absolute path of the program ``part``; without it the test is skipped here, and fails where ``CI=true``.

    ``reason`` says what the test needs it for. For a part that is no program (a running dockerd, root, a loop device),
    ``present`` says whether it is there, and ``part`` comes back as it is.
    """
    found = parts.find(part) if present is None else part if present else None
    if found:
        return found
    missing = f"needs {part}: {reason}"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{missing} (CI has every part: add it to .ci/run)", pytrace=False)
    pytest.skip(missing)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where ``CI=true``, what uses real servers and processes gets a second try.

    CI's machine is shared and may stand still for longer than any test can wait. On a developer's machine, as among the
    unit tests, there is no second try.
    """
    if os.environ.get("CI") == "true":
        for item in items:
            if UNIT not in item.path.parents:
                item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What failed at first is told in full, like a failure: it is a fault of the test, or a race of the product."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"failed, then tried again: {report.nodeid}", sep="_")
        report.toterminal(terminalreporter._tw)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    """A real nginx on loopback that serves the new directory ``nginx.directory`` at ``/``."""
    need("nginx", "to serve the target as visitors get it")
    served = tmp_path / "www"
    served.mkdir()
    with Nginx(served, tmp_path / "nginx") as server:
        yield server


@pytest.fixture(scope="session")
def started_engine() -> Iterator[Engine]:
    """The session's Docker engine; tests ask for ``engine``."""
    with engine_for_tests() as engine:
        yield engine


@pytest.fixture
def engine(started_engine: Engine) -> Iterator[Engine]:
    """A real Docker engine of the tests' own (see tests/engine.py), without containers, networks, volumes and builds."""
    yield started_engine
    started_engine.clean()
