"""A real Docker engine of the tests' own, with networks, Compose, buildx and images, beside whatever the machine runs.

In a test, one engine for the whole session, empty but for its images at the start of each test::

    def test_something(engine: Engine, tmp_path: Path) -> None:
        engine.provide("traefik:v3", "nginx:stable-alpine")          # made from this machine's programs: no registry
        engine.application("main:latest", version="1", behaviour="graceful", checked=True)   # tests/application
        engine.compose(tmp_path, "up", "--detach")                   # docker compose, in that directory
        engine.docker("ps", "--quiet")
        engine.address("project-blog-1")                             # reachable from the host
        engine.restart()                                             # as a reboot: `restart: always` comes back

Whatever else talks to it needs ``engine.environment`` (DOCKER_HOST). A server of the tests hands it to its sessions by
``Sshd(directory, config=engine.sshd_config)``. By hand: ``python -m tests.engine`` starts one and says its DOCKER_HOST.

It needs root, touches no packet filter and has a bridge and a block of addresses of its own, so that several of them, and
the machine's engine, run side by side: published ports are carried by docker-proxy, and containers reach no other network.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests import parts
from tests.bridge import Bridge
from tests.docker import Docker

__all__ = ["Engine", "engine_for_tests"]

_PREFIX = "engine-"
_NAMESPACE = "deployer-tests"
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0


class Engine(Docker):
    """One engine, as root, from ``start`` (or ``with``) to ``stop``."""

    def __init__(self, data: Path | None = None) -> None:
        """``data``: where it keeps images and containers, if not beside the rest."""
        for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            _remove_when_left(left)
        self._directory = Path(tempfile.mkdtemp(prefix=_PREFIX))  # a socket's path may have 107 bytes only
        (self._directory / "owner").write_text(str(os.getpid()), "ascii")
        self._bridge: Bridge | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._data = data or self._directory / "data-root"
        super().__init__(f"unix://{self._directory}/socket")

    def start(self) -> None:
        """Start, and wait until it answers. Raises RuntimeError with its own words when it does not."""
        self._bridge = self._bridge or Bridge.take()
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(self._bridge), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _START_SECONDS
        while not (self._directory / "socket").exists() or not self.answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                said = (self._directory / "log").read_text("utf-8", "replace")[-2000:]
                self.stop()
                raise RuntimeError(f"dockerd does not start:\n{said}")
            time.sleep(0.1)

    def restart(self) -> None:
        """Stop it with all its containers, as a reboot does, and start it again: restart policies hold."""
        self._end()
        self.start()

    def stop(self) -> None:
        """End it, with its containers, and remove all that it had. May be called twice."""
        if self._process is not None and self._process.poll() is None:
            if running := self.docker("ps", "--quiet", check=False).split():
                self.docker("kill", *running, check=False)
            self._end()
        _remove(self._directory)
        if self._bridge is not None:
            self._bridge.give_back()
            self._bridge = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _command(self, bridge: Bridge) -> Sequence[str]:
        program, guard = parts.find("dockerd"), parts.find("setpriv")
        assert program
        return (
            *((guard, "--pdeathsig", "TERM") if guard else ()),  # it must not outlive tests that were killed
            program,
            f"--host={self.host}",
            *(f"--{name}={self._directory / name}" for name in ("exec-root", "pidfile")),
            f"--data-root={self._data}",
            f"--bridge={bridge.name}",
            f"--default-address-pool=base={bridge.pool},size=26",
            *(f"--{name}=false" for name in ("iptables", "ip6tables", "ip-forward")),
            f"--containerd-namespace={_NAMESPACE}-{bridge.name}",
            f"--containerd-plugins-namespace={_NAMESPACE}-{bridge.name}-plugins",
        )

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def _remove_when_left(directory: Path) -> None:
    """Remove what tests that were killed have left, once their engine has ended, too."""
    try:
        owners = [
            (directory / name).read_text("ascii").strip()
            for name in ("owner", "pidfile")
            if (directory / name).exists()
        ]
    except OSError:
        return
    if owners and not any(Path("/proc", owner).exists() for owner in owners):
        _remove(directory)


def _remove(directory: Path) -> None:
    for line in reversed(Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines()):
        if line.split()[1].startswith(f"{directory}/"):
            subprocess.run(["umount", "--lazy", line.split()[1]], check=False, capture_output=True)
    shutil.rmtree(directory, ignore_errors=True)


def engine_for_tests(data: Path | None = None) -> Engine:
    """An engine for tests, which are skipped where none can be started (and fail in CI); ``data`` as for ``Engine``."""
    from tests.conftest import need

    for program in ("dockerd", "docker", "containerd", "busybox", "iptables", "ldd"):
        need(program, "to run containers in networks")
    need("root", "to run a Docker engine", present=os.geteuid() == 0)
    for plugin, reason in (("compose", "to run Compose projects"), ("buildx", "to build images as the blogger does")):
        found = subprocess.run(["docker", plugin, "version"], capture_output=True, check=False).returncode == 0
        need(f"docker {plugin}", reason, present=found)
    return Engine(data)


def _main() -> None:
    """Run one until Ctrl-C, with the base images when asked for: ``python -m tests.engine [IMAGE...]``."""
    with Engine() as engine:
        engine.provide(*sys.argv[1:])
        print(f"export DOCKER_HOST={engine.host}", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    _main()
