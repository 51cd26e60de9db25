"""A real ssh-agent, for tests of logging in with keys that deployer never sees."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.conftest import need

__all__ = ["Agent"]

_SECONDS = 60.0


class Agent:
    """One agent with its socket in ``directory``; it ends with the ``with`` block."""

    def __init__(self, directory: Path) -> None:
        program = need("ssh-agent", "to hold keys")
        self._directory = directory
        self.socket = directory / "agent"
        self._process = subprocess.Popen([program, "-D", "-a", str(self.socket)], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + _SECONDS
        while not self.socket.exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    @property
    def variables(self) -> dict[str, str]:
        """What a program's environment needs so that it asks this agent."""
        return {"SSH_AUTH_SOCK": str(self.socket)}

    def take(self, key_file: Path, passphrase: str = "") -> None:
        """Add a key, and delete the private half's file: from now on it is only here."""
        ask = self._directory / "ask"
        ask.write_text(f"#!/bin/sh\nprintf '%s\\n' '{passphrase}'\n")
        ask.chmod(0o700)
        asking = {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
        command = ["ssh-add", "-q", str(key_file)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, env=os.environ | self.variables | asking)
        key_file.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(_SECONDS)
