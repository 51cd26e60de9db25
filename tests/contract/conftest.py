"""Every way to a host, each through the real composition: a test that asks for ``way`` runs once on each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from demo.ssh_server import SSHServer, generate_key
from deployer.composition import transport_for
from deployer.config import Config, load, load_secrets
from deployer.ports import Session, Transport
from tests.contract.program import TALK
from tests.sshd import Sshd, sshd_for_tests

__all__ = ["PATIENCE_SECONDS", "Way"]

PATIENCE_SECONDS = 100.0
"""Of the command time-out, where a test is not about it: longer than anything that a test allows."""


@dataclass
class Way:
    """A host and how it is reached; sessions that a test forgets are closed at its end."""

    name: str
    flags: dict[str, object]
    directory: Path
    opened: list[Session] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    def config(self, **more: object) -> Config:
        flags = {"app": "contract", "static.source": "source", "static.target": str(self.directory / "www" / "site")}
        given = flags | self.flags | {key.replace("__", "."): value for key, value in more.items()}
        return load(None, flags=given, variables={}, directory=self.directory)

    def transport(self, *, command_timeout: float = PATIENCE_SECONDS) -> Transport:
        return transport_for(self.config(host__command_timeout=command_timeout), load_secrets({}), self.heard.append)

    def open(self, program: str = TALK, *, command_timeout: float = PATIENCE_SECONDS) -> Session:
        session = self.transport(command_timeout=command_timeout).open(program)
        self.opened.append(session)
        return session


@pytest.fixture(scope="session")
def real_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd_for_tests(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="session")
def demo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SSHServer, Path]]:
    private, public = generate_key()
    key_file = tmp_path_factory.mktemp("demo-server") / "key"
    key_file.write_text(private, "ascii")
    key_file.chmod(0o600)
    with SSHServer(public) as server:
        yield server, key_file


def _flags(name: str, request: pytest.FixtureRequest) -> dict[str, object]:
    if name == "local":
        return {"host": ("local",)}
    if name == "sshd":
        sshd: Sshd = request.getfixturevalue("real_sshd")
        host, key_file, pin = f"{sshd.user}@127.0.0.1:{sshd.port}", sshd.key_file, sshd.pin()
    else:
        server, key_file = request.getfixturevalue("demo_server")
        host, pin = f"visitor@{server.address}:{server.port}", server.known_hosts_line
    return {"host": (host,), "host.key": str(key_file), "host.host_key": (pin,), "host.connect_timeout": 60.0}


@pytest.fixture(params=["local", "sshd", "demo server"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    (tmp_path / "www").mkdir()
    way = Way(request.param, _flags(request.param, request), tmp_path)
    yield way
    for session in way.opened:
        session.close(wait=False)
