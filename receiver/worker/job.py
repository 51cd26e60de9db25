"""One job, in a process of its own, from the ref that it names to how its deploy ended."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from deployer.config import Config
from deployer.errors import DeployerError, Interrupted
from deployer.running import Ending
from deployer.secret import Secret
from receiver.config import App, ReceiverConfig, Secrets
from receiver.errors import ReceiverError
from receiver.github import GitHubUnavailable, NoSuchRun, connect
from receiver.remote import RemoteTrouble
from receiver.rules import what_is_due
from receiver.store import Head, Job, LiveApp, Status
from receiver.worker.announcing import Announcer
from receiver.worker.display import JobLog
from receiver.worker.engine import Engine, read_settings, with_token
from receiver.worker.isolation import MARK, allowed
from receiver.worker.remote import Remote, github_site
from receiver.worker.repository import Repository
from receiver.worker.verdict import Verdict, failure, verdict_of

__all__ = ["Work", "carry_out"]

LARGEST_ARTIFACT = 4 << 30
UNREACHABLE = 4
"""The exit code of what may pass by itself."""
_ENDINGS = {
    Status.UNCHANGED: "this commit is live already",
    Status.SUPERSEDED: "what is live is newer: it has this commit in its history",
}
_NO_RUN_YET = "the workflow run for this commit has not succeeded; its own delivery deploys it"


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed job with all that its process needs: nothing of the database is left to ask for.

    ``head`` is what became of the ref's newest commit, ``live`` what was put live last; ``mark`` finds what it starts.
    """

    job: Job
    config: ReceiverConfig
    secrets: Secrets
    head: Head | None
    live: LiveApp | None
    mark: str

    @property
    def app(self) -> App:
        """The app's table."""
        return self.config.apps[self.job.app]

    @property
    def scratch(self) -> Path:
        """For temporary files: a killed job leaves them, and the app's next one takes them away."""
        return self.config.state / "scratch" / self.job.app

    def hidden(self) -> list[Secret]:
        """What no log may show: every secret, and those of the app's variables that came as one."""
        given = self.secrets.variables[self.job.app]
        return [
            *self.secrets.all(),
            *(given[name] for name, value in self.app.variables.items() if not isinstance(value, str)),
        ]


def carry_out(work: Work, log: JobLog) -> Verdict:
    """Do the job. Never raises: an exit code says what is to be tried again."""
    attempt = _Attempt(work, log)
    try:
        verdict = attempt.perform()
    except KeyboardInterrupt:
        verdict = failure("interrupted", Interrupted.exit_code)
    except NoSuchRun:
        verdict = Verdict(Status.SUPERSEDED, error=_NO_RUN_YET)
    except (RemoteTrouble, GitHubUnavailable) as error:
        verdict = failure(str(error), UNREACHABLE)
    except (DeployerError, ReceiverError) as error:
        verdict = failure(str(error), error.exit_code)
    except OSError as error:
        verdict = failure(f"this machine: {error.strerror}: {error.filename or ''}".rstrip(": "))
    except Exception as error:
        for line in traceback.format_exc().splitlines():
            log.output(line)
        verdict = failure(f"unexpected {type(error).__name__}: {error}; this is a bug: please report it")
    # A failure before anything was known is one of what was asked for: so it can be asked for again.
    commit = verdict.commit or attempt.commit or (work.job.hint if verdict.status is Status.FAILED else "")
    verdict = msgspec.structs.replace(verdict, commit=commit, error=log.hide(verdict.error))
    if not verdict.result and verdict.error:
        log.error(verdict.error) if verdict.status is Status.FAILED else log.note(verdict.error)
    attempt.announcer.end(verdict)
    return verdict


class _Attempt:
    """``commit`` is known as soon as the ref has been resolved."""

    def __init__(self, work: Work, log: JobLog) -> None:
        self._work = work
        self._log = log
        self.commit = ""
        self._api = connect(work.config, work.secrets)
        self.announcer = Announcer(work.config, work.job, self._api, log)

    def perform(self) -> Verdict:
        self._prepare_process()
        job, app = self._work.job, self._work.app
        if job.kind == "rollback":
            engine = self._engine(self._workspace)
            return self._concluded(partial(engine.roll_back, job.target))
        with self._log.step("resolve", f"which commit is {job.ref} of {app.repository}?"):
            self.commit = self._remote.resolve(job.ref)
        if not self.commit:
            return Verdict(Status.SUPERSEDED, error=f"{job.ref} is not in {app.repository} any more")
        os.environ |= {"GITHUB_SHA": self.commit}
        engine = self._engine(self._workspace)
        repository = self._repository(engine.config)
        if ending := self._without_deploy(repository):
            return Verdict(ending, error=_ENDINGS[ending])
        self.announcer.begin(self.commit)
        engine.config = self._prepared(engine, repository)
        return self._concluded(engine.deploy)

    def _prepare_process(self) -> None:
        work = self._work
        given = {name: secret.reveal() for name, secret in work.secrets.variables[work.job.app].items()}
        about = {"GITHUB_REPOSITORY": work.app.repository, "GITHUB_REF": work.job.ref, MARK: work.mark}
        about["GITHUB_REF_NAME"] = work.job.ref.split("/", 2)[-1]
        kept = allowed(os.environ) | {name: value for name, value in about.items() if value} | given
        os.environ.clear()
        os.environ.update(kept)
        shutil.rmtree(work.scratch, ignore_errors=True)
        work.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.tempdir = str(work.scratch)

    @property
    def _workspace(self) -> Path:
        return self._work.config.workspace_folder / self._work.job.app

    @property
    def _remote(self) -> Remote:
        work = self._work
        key = work.secrets.deploy_keys.get(work.job.app, Secret(""))
        return Remote(work.app.remote, key, github_site(work.config.github.api_url), self._token)

    def _token(self) -> Secret:
        return self._api.token(self._work.app.repository) if self._api else Secret("")

    def _engine(self, workspace: Path) -> Engine:
        config, secrets = read_settings(self._work.app, dict(os.environ), workspace)
        return Engine(config, secrets, self._log)

    def _repository(self, config: Config) -> Repository:
        if config.strategy == "static":
            return Repository(self._workspace, self._remote, self._log.output, whole=True)
        mirror = self._work.config.state / "mirrors" / self._work.job.app
        return Repository(mirror, self._remote, self._log.output, whole=False)

    def _without_deploy(self, repository: Repository) -> Status | None:
        job = self._work.job

        def is_ancestor(old: str, new: str) -> bool:
            repository.fetch(self.commit, job.ref)
            return repository.is_ancestor(old, new)

        return what_is_due(job, self.commit, self._work.head, self._work.live, is_ancestor)

    def _prepared(self, engine: Engine, repository: Repository) -> Config:
        """The configuration for exactly this commit, with everything of it on this machine that the engine needs."""
        config, job = engine.config, self._work.job
        if config.strategy == "rebuild":
            # By the full name the host knows which branch it brings there; it asks which commit that is by itself.
            if config.rebuild.repository.lower().startswith(f"{github_site(self._work.config.github.api_url)}/"):
                engine.secrets = with_token(engine.secrets, self._token())
            return msgspec.structs.replace(config, rebuild=msgspec.structs.replace(config.rebuild, ref=job.ref))
        with self._log.step("checkout", f"bring the workspace to {self.commit[:7]}"):
            repository.fetch(self.commit, job.ref)
            repository.check_out(self.commit, Path(config.static.source), anew=job.forced)
        if self._work.app.artifact is None:
            return config
        static = msgspec.structs.replace(config.static, source=str(self._artifact()), build="", build_image="")
        return msgspec.structs.replace(config, static=static)

    def _artifact(self) -> Path:
        work, app = self._work, self._work.app
        assert app.artifact is not None
        if self._api is None:
            raise ReceiverError("an artifact needs access to GitHub", hint="add [github] with an app or a token")
        archive = work.scratch / "artifact.zip"
        with self._log.step("artifact", f"fetch {app.artifact.name} of {app.artifact.workflow} for {self.commit[:7]}"):
            self._api.fetch_artifact(
                app.repository, self.commit, app.artifact, work.job.run_id, archive, LARGEST_ARTIFACT
            )
        return archive

    def _concluded(self, command: Callable[[], Ending]) -> Verdict:
        ending = command()
        shutil.rmtree(self._work.scratch, ignore_errors=True)
        return verdict_of(ending, self.commit, self._log.hide, steps=self._log.steps, notes=self._log.notes)
