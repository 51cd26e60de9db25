"""The worker: one process of one thread that waits for knocks, signals and times, and forks what is to be done."""

from __future__ import annotations

import contextlib
import logging
import selectors
import sys
import time
from collections.abc import Callable
from functools import partial

from receiver.alarm import Alarm
from receiver.config import ReceiverConfig, Secrets
from receiver.errors import ReceiverError
from receiver.reaping import reap_strangers
from receiver.reporting import hide
from receiver.store import Status
from receiver.worker.children import Child, fork
from receiver.worker.errands import ERRANDS, Errand
from receiver.worker.isolation import adopt_orphans, be_unreadable
from receiver.worker.jobs import RunningJobs, Sweep, by_owner, mark_of
from receiver.worker.owner import Owner, dead_owners, ending, remove_traces
from receiver.worker.queue import WorkQueue
from receiver.worker.wakeup import Signals

__all__ = ["Reload", "Worker"]

LOOK_SECONDS = 5.0
"""How often leases are renewed, dead workers looked for, and the queue looked at, whoever knocks."""
SOON_SECONDS = 0.25
SEE_SECONDS = 15.0
SWEEP_SECONDS = 0.1
LEAVE_SECONDS = 10.0
"""How long a worker that stops waits for a database that does not answer; the next worker finds those jobs."""
NEVER = float("inf")
Reload = Callable[[], tuple[ReceiverConfig, Secrets]]
_log = logging.getLogger("receiver.worker")


class Worker:
    """Works until it is told to stop."""

    def __init__(self, config: ReceiverConfig, secrets: Secrets, reload: Reload | None) -> None:
        self._config = config
        self._secrets = secrets
        self._reload = reload
        be_unreadable()
        adopt_orphans()
        self._signals = Signals()
        self._owner = Owner.new(config.state)
        self._alarm = Alarm(config.state, self._owner.name)
        self._queue = WorkQueue(config, self._owner.name)
        self._selector = selectors.DefaultSelector()
        self._jobs = RunningJobs(self._owner, self._queue, self._selector)
        self._errands: dict[str, Child] = {}
        self._errand_due = {errand.name: 0.0 for errand in ERRANDS}
        self._sweeps: dict[str, list[Sweep]] = {}
        self._look_at = self._see_at = 0.0
        self._more = True
        self._interrupt_at = self._leave_at = NEVER

    def run(self) -> int:
        """Returns the exit code."""
        self._selector.register(self._signals, selectors.EVENT_READ, self._signals.take)
        self._selector.register(self._alarm, selectors.EVENT_READ, self._knocked)
        _log.info("worker %s waits for jobs of %d apps", self._owner.name, len(self._config.apps))
        try:
            while not self._is_done():
                again = self._turn()
                for key, _ in self._selector.select(max(0.0, again - time.monotonic())):
                    key.data()
        finally:
            self._alarm.close()
            self._owner.leave()
        _log.info("worker %s has ended", self._owner.name)
        return 0

    def _knocked(self) -> None:
        self._alarm.hear()
        self._more = True

    def _is_done(self) -> bool:
        """Whether it was told to stop, and nothing is left to be done or stored."""
        if not self._signals.stopping or self._jobs.jobs:
            return False
        self._leave_at = min(self._leave_at, time.monotonic() + LEAVE_SECONDS)
        if self._queue.held and time.monotonic() < self._leave_at:
            return False
        for child in self._errands.values():
            child.kill()
        return True

    def _turn(self) -> float:
        """Do everything that is due. Returns when something is due again (monotonic)."""
        if self._signals.reload:
            self._take_new_configuration()
        again = [self._jobs.watch(), self._watch_errands(), self._look(), self._sweep()]
        if self._queue.settle():
            self._more = True
        if self._signals.stopping:
            again += [self._stop(), self._leave_at]
        else:
            self._claim()
            again.append(self._send_out())
        if self._queue.retry_at and (self._more or self._queue.held):
            again.append(self._queue.retry_at)
        reap_strangers({child.process for child in self._errands.values()} | self._jobs.processes)
        return min(again)

    def _take_new_configuration(self) -> None:
        self._signals.reload = False
        if self._reload is None:
            return
        try:
            config, secrets = self._reload()
        except ReceiverError as error:
            _log.error("the configuration was not reloaded: %s", error.message)
            return
        if config.state != self._config.state:
            _log.error("the configuration was not reloaded: another state_dir needs a restart")
            return
        hide(secrets.all())
        self._config, self._secrets = config, secrets
        self._queue.reconfigure(config)
        self._more = True
        _log.info("the configuration was reloaded")

    def _stop(self) -> float:
        """Let what runs end by itself for a while, and interrupt it then."""
        now = time.monotonic()
        if self._interrupt_at == NEVER:
            self._interrupt_at = now + self._config.stop_timeout
            _log.info("stopping; %d jobs may run on for %d s", len(self._jobs.jobs), self._config.stop_timeout)
        if now < self._interrupt_at:
            return self._interrupt_at
        self._jobs.stop()
        return NEVER

    def _look(self) -> float:
        """Keep what is ours, and find what nobody keeps any more."""
        now = time.monotonic()
        if now < self._look_at:
            return self._look_at
        self._look_at = now + LOOK_SECONDS
        ours = [*self._jobs.jobs, *self._queue.held]
        self._jobs.lose(self._queue.renew(ours))
        active = self._queue.active()
        if active is None:
            self._more = True
            return self._look_at
        # Whoever queued these has knocked in vain, or they had to wait for their time.
        self._more = self._more or any(job.status is Status.WAITING for job in active)
        running = by_owner(job for job in active if job.status is Status.RUNNING)
        self._queue.give_back(running.pop(self._owner.name, []), kept=ours)
        dead = dead_owners(self._config.state, running, alone=self._queue.alone)
        for name in dead:
            self._sweeps.setdefault(name, [Sweep(mark_of(job)) for job in running[name]])
        if ending(running.keys() - dead):
            self._look_at = now + SOON_SECONDS
        self._queue.recover_late()
        if now >= self._see_at:
            self._see_at = now + SEE_SECONDS
            self._queue.see()
            self._queue.forget_workers(remove_traces(self._config.state, {self._owner.name, *running}))
        return self._look_at

    def _sweep(self) -> float:
        """Let the jobs of dead workers wait again, once nothing of them is left."""
        for name, sweeps in list(self._sweeps.items()):
            if all(each.done() for each in sweeps):
                self._queue.recover({name})
                del self._sweeps[name]
                self._more = True
        return time.monotonic() + SWEEP_SECONDS if self._sweeps else NEVER

    def _claim(self) -> None:
        while self._more and len(self._jobs.jobs) < self._config.concurrency:
            taken = self._queue.claim()
            if taken is None:
                self._more = bool(self._queue.retry_at)
                return
            self._jobs.start(taken, self._config, self._secrets)

    def _send_out(self) -> float:
        """Begin the errands that are due."""
        now = time.monotonic()
        for errand in ERRANDS:
            if errand.name in self._errands or now < self._errand_due[errand.name]:
                continue
            every = errand.every(self._config)
            self._errand_due[errand.name] = now + every if every else NEVER
            self._begin(errand)
        return (
            min(due for name, due in self._errand_due.items() if name not in self._errands)
            if (set(self._errand_due) - set(self._errands))
            else NEVER
        )

    def _begin(self, errand: Errand) -> None:
        self._queue.rest()
        try:
            child = fork(partial(errand.carry_out, self._config, self._secrets), errand.seconds)
        except OSError as error:
            _log.error("%s cannot be started: %s", errand.name, error.strerror)
            return
        self._errands[errand.name] = child
        self._selector.register(child.output, selectors.EVENT_READ, partial(self._heard, child))

    def _heard(self, child: Child) -> None:
        if not child.read(child.output, _say):
            self._selector.unregister(child.output)

    def _watch_errands(self) -> float:
        again = NEVER
        for name, child in list(self._errands.items()):
            if child.is_over():
                child.read(child.output, _say)
                with contextlib.suppress(KeyError):
                    self._selector.unregister(child.output)
                child.close()
                del self._errands[name]
                self._more = True
            else:
                again = min(again, child.watch())
        return again


def _say(line: str) -> None:
    """A child's log is in the form of ours already."""
    sys.stderr.write(f"{line}\n")
