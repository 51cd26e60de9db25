"""The probe around a switch: one for each address at which the hosts answer, and their figures together."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import TYPE_CHECKING

from deployer.config import Config
from deployer.deploy import ProbeFigures
from deployer.parallel import together
from deployer.ports import Clock, Reporter

if TYPE_CHECKING:
    from deployer.latency import ProbeReport
    from deployer.probe import Probe, ProbeSettings

__all__ = ["ProbeWatch"]


class ProbeWatch:
    """The probes as the engine's watch; without a URL it does nothing.

    Hosts without ``connect_to`` are all behind the URL's own address, and share one probe.
    """

    READY_SECONDS = 1.0

    def __init__(self, config: Config, clock: Clock, reporter: Reporter) -> None:
        self._config = config
        self._clock = clock
        self._reporter = reporter
        self._probes: tuple[Probe, ...] = ()
        self._report: ProbeReport | None = None

    def prepare(self) -> None:
        """Load what ``start`` needs while something else is waited for."""
        if self._config.probe_url:
            loading = threading.Thread(
                target=import_module, args=("deployer.probe",), name="probe-loading", daemon=True
            )
            loading.start()

    def start(self) -> None:
        """Begin, and wait up to a second for the first answers; a second start changes nothing."""
        if not self._config.probe_url or self._probes:
            return
        from deployer.probe import Probe

        addresses = dict.fromkeys(host.connect_to for host in self._config.hosts)
        self._probes = tuple(Probe(self._settings(address), self._clock) for address in addresses)
        for probe in self._probes:
            probe.start()
        began = self._clock.monotonic()
        for probe in self._probes:
            probe.ready(max(0.0, began + self.READY_SECONDS - self._clock.monotonic()))

    def _settings(self, connect_to: str) -> ProbeSettings:
        from deployer.probe import ProbeSettings

        config = self._config
        return ProbeSettings(
            url=config.probe_url,
            rate=config.probe.rate,
            status=frozenset(config.health.status),
            connect_to=connect_to,
        )

    def mark_switch(self) -> None:
        """A switch has happened."""
        self._mark("switch")

    def mark_return(self) -> None:
        """What was switched is switched back."""
        self._mark("return")

    def _mark(self, name: str) -> None:
        for probe in self._probes:
            probe.mark(name)

    def stop(self) -> None:
        """End after a settling time, and warn of what was dropped."""
        if not self._probes or self._report is not None:
            return
        from deployer.latency import merge

        self._report = merge(together([probe.stop for probe in self._probes]))
        if not self._report.requests:
            self._reporter.warning(
                f"the probe got no good answer from {self._config.probe_url}, so it measured nothing"
            )
        for reason, count in self._report.reasons:
            self._reporter.warning(f"probe: {count} times: {reason}")

    def abandon(self) -> None:
        """End at once."""
        for probe in self._probes:
            probe.abandon()

    def figures(self) -> ProbeFigures | None:
        """The sums; None when nothing was measured."""
        seen = self._report
        if seen is None:
            return None
        return ProbeFigures(
            requests=seen.requests,
            dropped=seen.dropped,
            p50_ms=round(seen.p50_ms, 2),
            p99_ms=round(seen.p99_ms, 2),
            longest_gap_ms=round(seen.longest_gap_ms, 2),
        )

    @property
    def report(self) -> ProbeReport | None:
        """Everything that was seen, after ``stop``; None when nothing was measured."""
        return self._report
