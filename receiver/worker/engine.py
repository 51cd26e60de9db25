"""The engine's third door: deployer's run and rollback for a job, told in its log."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deployer.child import without_secrets
from deployer.config import Config, Secrets, load, load_secrets
from deployer.errors import DeployerError
from deployer.running import Ending, rollback, run
from deployer.secret import Secret
from receiver.config import App
from receiver.worker.display import JobLog

__all__ = ["Engine", "read_settings", "with_token"]


def read_settings(app: App, variables: Mapping[str, str], workspace: Path) -> tuple[Config, Secrets]:
    """The app's deploy.toml for a checkout in ``workspace``: there ``build`` runs, and there a relative ``source`` is.

    Other relative paths start from the file's folder, as ever. Raises InvalidInput.
    """
    file = Path(app.config)
    config = load(file, environment=app.environment, flags={}, variables=variables, directory=workspace)
    source, folder = Path(config.static.source), config.directory
    if config.strategy == "static" and source.is_relative_to(folder) and not source.is_relative_to(workspace):
        moved = workspace / source.relative_to(folder)
        config = msgspec.structs.replace(config, static=msgspec.structs.replace(config.static, source=str(moved)))
    return msgspec.structs.replace(config, directory=workspace), load_secrets(variables)


@dataclass(slots=True)
class Engine:
    """One run of deployer in this process, which it then leaves to nobody else: signals are taken over."""

    config: Config
    secrets: Secrets
    log: JobLog
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    ending: Ending | None = None

    @property
    def display(self) -> JobLog:
        """Where it tells what it does."""
        return self.log

    def tell(self, ending: Ending) -> None:
        """Keep the end."""
        self.ending = ending

    def load(self) -> tuple[Config, Secrets]:
        """As they were given."""
        return self.config, self.secrets

    def deploy(self) -> Ending:
        """Deploy. Raises DeployerError when it cannot even begin."""
        return self._perform(lambda: run(self, self, dry=False))

    def roll_back(self, release: str) -> Ending:
        """Switch to a kept release, or to the one before. Raises DeployerError when it cannot even begin."""
        return self._perform(lambda: rollback(self, release, self, dry=False))

    def _perform(self, command: Callable[[], int]) -> Ending:
        # Builds inherit these; deployer has its secrets already.
        kept = without_secrets(os.environ)
        for name in set(os.environ) - set(kept):
            del os.environ[name]
        command()
        if self.ending is None:
            raise DeployerError("the deploy ended without a word")
        if error := self.ending.result.error:
            self.log.error(str(error))
        return self.ending


def with_token(secrets: Secrets, token: Secret) -> Secrets:
    """For the server's git, where the app brings no credential of its own."""
    if secrets.github_token or secrets.repository_key or not token:
        return secrets
    return msgspec.structs.replace(secrets, github_token=token)
