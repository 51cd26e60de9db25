"""The example of a systemd unit: systemd finds nothing wrong with it, and little that the service could do to its host."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import pytest

from receiver.config import ReceiverConfig
from tests.conftest import need

UNIT = Path(__file__).resolve().parents[2] / "examples" / "receiver" / "deployer-receiver.service"
PROGRAM = "/opt/deployer/bin/receiver"
LARGEST_EXPOSURE = 1.8
"""Of ten. What is left: the network, other users' processes (see the unit), and a umask that lets containers read."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there."""
    program = tmp_path / "receiver"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    file = tmp_path / UNIT.name
    file.write_text(UNIT.read_text("utf-8").replace(PROGRAM, str(program)), "utf-8")
    return file


def test_systemd_finds_nothing_wrong(unit: Path) -> None:
    """`systemd-analyze verify` is silent: every key is known, every value is taken."""
    analyze = need("systemd-analyze", "to verify the unit")
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_service_is_held_tight(unit: Path) -> None:
    """`systemd-analyze security` gives it a small exposure, so that a line that gets lost is noticed."""
    analyze = need("systemd-analyze", "to measure the unit's exposure")
    command = [analyze, "security", "--offline=true", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure
    assert float(exposure[1]) <= LARGEST_EXPOSURE


def test_a_deploy_may_end_before_systemd_kills() -> None:
    """systemd waits longer than the receiver does by default, signals its first process only, and can reload it."""
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser documents it
    parser.read_string(UNIT.read_text("utf-8"))
    service = parser["Service"]
    assert int(service["TimeoutStopSec"]) > ReceiverConfig(apps={}).stop_timeout
    assert service["KillMode"] == "mixed"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
