"""A real Docker engine of its own, apart from the machine's: no network, an image that is BusyBox and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests import parts

__all__ = ["IMAGE", "Dockerd", "dockerd_for_tests"]

IMAGE = "box:latest"
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0


class Dockerd:
    """One engine, as root; ``host`` is what DOCKER_HOST has to be. Its containers end with it."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="dockerd-"))  # a socket's path may have 107 bytes only
        self.host = f"unix://{self._directory}/socket"
        self._process: subprocess.Popen[bytes] | None = None

    def docker(self, *arguments: str, archive: bytes | None = None) -> str:
        """What the client says to these arguments, which must succeed."""
        program = parts.find("docker")
        assert program
        environment = os.environ | {"DOCKER_HOST": self.host}
        done = subprocess.run([program, *arguments], input=archive, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
        return done.stdout.decode("utf-8", "replace").strip()

    def run(self, name: str, *options: str) -> None:
        """Start a container that does nothing, with these options of ``docker run``."""
        command = ("/busybox", "sleep", "600")
        self.docker("run", "--detach", "--rm", "--network=none", f"--name={name}", *options, IMAGE, *command)

    def __enter__(self) -> Self:
        """Start, and wait until it answers. Raises RuntimeError with its own words when it does not."""
        program = parts.find("dockerd")
        assert program
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--host={self.host}",
                    *(f"--{name}={self._directory / name}" for name in ("data-root", "exec-root", "pidfile")),
                    "--bridge=none",
                    *(f"--{name}=false" for name in ("iptables", "ip6tables", "ip-forward")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not (self._directory / "socket").exists() or not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                said = (self._directory / "log").read_text("utf-8", "replace")[-2000:]
                self._stop()
                raise RuntimeError(f"dockerd does not start:\n{said}")
            time.sleep(0.1)
        self._import()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if running := self.docker("ps", "--quiet").split():
            self.docker("kill", *running)
        self._stop()

    def _answers(self) -> bool:
        try:
            return bool(self.docker("version", "--format={{.Server.Version}}"))
        except AssertionError:
            return False

    def _import(self) -> None:
        busybox = parts.find("busybox")
        assert busybox
        folder = Path(os.path.realpath(busybox)).parent
        packed = subprocess.run(["tar", "-C", folder, "-c", "busybox"], check=True, capture_output=True).stdout
        self.docker("import", "-", IMAGE, archive=packed)

    def _stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        shutil.rmtree(self._directory, ignore_errors=True)


def dockerd_for_tests() -> Dockerd:
    """An engine for a test, which is skipped where none can be started (and fails in CI)."""
    from tests.conftest import need

    for program in ("dockerd", "docker", "containerd", "busybox"):
        need(program, "to run containers")
    need("root", "to run a Docker engine", present=os.geteuid() == 0)
    return Dockerd()
