"""A static site whose source is here, and whose target is wherever a way leads."""

from __future__ import annotations

import contextlib

from deployer.clock import SystemClock
from deployer.deploy import Collaborators, Result, deploy
from deployer.engine import Gate
from deployer.fleet import Destination
from deployer.plan import Reply, Request
from deployer.ports import Session, Strategy, Transport
from deployer.static import StaticStrategy, requests
from deployer.static.host import program
from tests.attempts import until
from tests.contract.conftest import Way
from tests.fakes import FakeWatch, RecordedReports

__all__ = ["Site"]


class Site:
    """A source on this machine and its target behind the way."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.source = way.directory / "source"
        self.target = way.directory / "www" / "site"
        self.watch = FakeWatch()
        self.source.mkdir(exist_ok=True)
        self.write("index.html", b"one")

    def write(self, name: str, data: bytes) -> None:
        (self.source / name).parent.mkdir(parents=True, exist_ok=True)
        (self.source / name).write_bytes(data)

    def live(self) -> dict[str, bytes]:
        """What is served, by path."""
        return {
            str(path.relative_to(self.target)): path.read_bytes() for path in self.target.rglob("*") if path.is_file()
        }

    def snapshot(self) -> list[tuple[str, int]]:
        """Every name under the target's parent with its time of change, when what was put away is gone."""
        until(lambda: not any((self.way.directory / "www").glob(".deployer/*/state/gone.*")))
        return sorted((str(path), path.lstat().st_mtime_ns) for path in (self.way.directory / "www").rglob("*"))

    def strategy(self) -> Strategy:
        config = self.way.config(lock_wait=30)
        return StaticStrategy(
            config, RecordedReports(), label="anna", commit="", environment={}, log=lambda: "the log\n"
        )

    def run(
        self,
        strategy: Strategy | None = None,
        *,
        gate: Gate | None = None,
        transport: Transport | None = None,
        dry: bool = False,
    ) -> Result:
        world = Collaborators(
            destinations=(Destination(transport or self.way.transport(), lambda _plan: gate),),
            reporter=RecordedReports(),
            clock=SystemClock(),
            watch=self.watch,
            uninterrupted=contextlib.nullcontext,
            dry=dry,
        )
        result = Result("contract", "static", "", ("host",), "")
        return deploy(result, strategy or self.strategy(), world)

    def deployed(self) -> Result:
        result = self.run()
        assert result.error is None, result.error
        return result

    def session(self) -> Session:
        return self.way.open(program())

    def ask(self, nonce: str = "n1", app: str = "contract", target: str = "") -> Request:
        return requests.site(app, target or str(self.target), nonce, "anna since noon")

    def inspected(self) -> Reply:
        session = self.session()
        reply = session.perform(self.ask("looker"), requests.inspect())[1]
        session.close(wait=False)
        return reply
