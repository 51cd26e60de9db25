"""Telling GitHub of a job, in a process of its own that takes its time: GitHub neither delays nor fails a deploy."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator
from typing import Any

import msgspec

from deployer.leaving import leave
from deployer.reporting.github import DeploymentRecord, Outcome
from receiver.config import ReceiverConfig
from receiver.errors import ReceiverError
from receiver.github import GitHubApi, State, deployment_page, status_context, subject
from receiver.rules import retry_after
from receiver.store import Job, Status
from receiver.worker.display import JobLog
from receiver.worker.verdict import Verdict

__all__ = ["Announcer"]

LAST_SECONDS = 180.0
"""How long GitHub may take when the job is over."""
_INTERRUPTED = 130


class Announcer:
    """A commit status and a Deployment record for one job. ``log`` gets what GitHub did not take.

    To be used in a process of one thread, which is forked; nothing here waits or raises.
    """

    def __init__(self, config: ReceiverConfig, job: Job, api: GitHubApi | None, log: JobLog) -> None:
        self._config = config
        self._job = job
        self._api = api if config.github.records else None
        self._log = log
        self._pipe = -1

    def begin(self, commit: str) -> None:
        """The deploy of ``commit`` begins."""
        if self._api is None:
            return
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            process = os.fork()
        except OSError as error:
            self._log.warning(f"GitHub is not told: {error.strerror}")
            return
        if process == 0:
            self._be_messenger(self._api, commit, reading)
        os.close(reading)
        self._pipe = writing

    def end(self, verdict: Verdict) -> None:
        """It has ended."""
        if self._pipe >= 0:
            # The messenger says no more than a pipe holds, so that this never waits.
            line = msgspec.json.encode(
                msgspec.structs.replace(verdict, result=_facts(verdict), error=verdict.error[:500])
            )
            with contextlib.suppress(OSError):
                os.write(self._pipe, line)
            os.close(self._pipe)

    def _be_messenger(self, api: GitHubApi, commit: str, reading: int) -> None:
        """Never returns."""
        with contextlib.suppress(BaseException):
            os.setsid()
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            nothing = os.open(os.devnull, os.O_RDWR)
            for standard in (1, 2):
                os.dup2(nothing, standard)
            # Neither the worker's lock nor the pipe of the verdict: nobody is to wait for us.
            os.closerange(3, reading)
            os.closerange(reading + 1, os.sysconf("SC_OPEN_MAX"))
            self._log.reopen()
            self._wait_for_turn()
            self._deliver(api, commit, reading)
        leave(0)

    def _wait_for_turn(self) -> None:
        """Let the messenger of the app's job before end: that one was interrupted must not be the last that GitHub hears."""
        with contextlib.suppress(OSError):
            folder = self._config.state / "announcing"
            folder.mkdir(mode=0o700, exist_ok=True)
            fcntl.flock(os.open(folder / self._job.app, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), fcntl.LOCK_EX)

    def _deliver(self, api: GitHubApi, commit: str, reading: int) -> None:
        config, job = self._config, self._job
        repository = config.apps[job.app].repository
        page = deployment_page(config, job.id)

        def tell(state: State, description: str) -> None:
            with self._forgiving():
                context = status_context(job.app)
                api.status(repository, commit, state, context=context, description=description, url=page)

        tell("pending", "deploying")
        record = self._begun(api, commit)
        line = b""
        while piece := os.read(reading, 1 << 16):
            line += piece
        signal.setitimer(signal.ITIMER_REAL, LAST_SECONDS)
        verdict = msgspec.json.decode(line, type=Verdict) if line else None
        tell(*_state(verdict, job))
        if record is not None and (trouble := record.end(*_outcome(verdict))):
            self._log.warning(trouble)

    def _begun(self, api: GitHubApi, commit: str) -> DeploymentRecord | None:
        config, job = self._config, self._job
        try:
            token = api.token(config.apps[job.app].repository)
        except ReceiverError as error:
            self._log.warning(f"GitHub: {error.message}")
            return None
        record = DeploymentRecord(subject(config, job.app, commit, job.id, token))
        record.begin()
        return record

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except ReceiverError as error:
            self._log.warning(f"GitHub: {error.message}")


def _facts(verdict: Verdict) -> str:
    """What of the result is said on GitHub."""
    with contextlib.suppress(msgspec.DecodeError):
        found = msgspec.json.decode(verdict.result or "{}", type=dict[str, Any])
        kept = {name: found.get(name) for name in ("url", "status", "duration_seconds", "probe")}
        return msgspec.json.encode(kept).decode()
    return "{}"


def _said(verdict: Verdict) -> tuple[str, str]:
    """Where it is live, and one sentence."""
    facts = msgspec.json.decode(verdict.result or "{}", type=dict[str, Any])
    url = str(facts.get("url") or "")
    if verdict.error:
        return url, verdict.error.splitlines()[0]
    probe = facts.get("probe") or {}
    dropped = f", {probe['dropped']} of {probe['requests']} requests dropped" if probe else ""
    return url, f"{facts.get('status')} in {float(facts.get('duration_seconds') or 0):.1f} s{dropped}"


def _state(verdict: Verdict | None, job: Job) -> tuple[State, str]:
    if verdict is None or verdict.exit_code == _INTERRUPTED:
        return "error", "interrupted"
    if verdict.status is not Status.FAILED:
        return "success", _said(verdict)[1]
    again = retry_after(verdict.exit_code, job.attempt) is not None
    return ("pending", f"to be tried again: {_said(verdict)[1]}") if again else ("failure", _said(verdict)[1])


def _outcome(verdict: Verdict | None) -> tuple[Outcome, str, str]:
    if verdict is None or verdict.exit_code == _INTERRUPTED:
        return Outcome.INTERRUPTED, "", "interrupted"
    outcome = Outcome.FAILURE if verdict.status is Status.FAILED else Outcome.SUCCESS
    return outcome, *_said(verdict)
