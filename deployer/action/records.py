"""What GitHub's own record of a step's deploy says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from deployer.config import Config, Secrets
from deployer.deploy import Result
from deployer.errors import BudgetExceeded, DeployerError, Interrupted
from deployer.reporting.github import Outcome, Subject

__all__ = ["description_of", "outcome_of", "subject_of"]

_ENVIRONMENT = "production"
"""The API's own default."""


def subject_of(config: Config, secrets: Secrets, environment: Mapping[str, str]) -> Subject | None:
    """What the record is about, by the runner's variables; None without a token, or where nobody says whose it is."""
    repository, commit = environment.get("GITHUB_REPOSITORY", ""), _head(environment)
    if not secrets.github_token or not repository or not commit:
        return None
    server, number = environment.get("GITHUB_SERVER_URL", "https://github.com"), environment.get("GITHUB_RUN_ID", "")
    return Subject(
        api_url=environment.get("GITHUB_API_URL", "https://api.github.com"),
        repository=repository,
        token=secrets.github_token,
        ref=(config.rebuild.ref if config.strategy == "rebuild" else "") or commit,
        environment=config.environment or _ENVIRONMENT,
        task=f"deploy:{config.app}",
        log_url=f"{server}/{repository}/actions/runs/{number}" if number else "",
        description=f"{config.app}, by deployer",
    )


def _head(environment: Mapping[str, str]) -> str:
    """The commit that somebody pushed: of a pull request not the merge that GitHub has tried, which no branch has."""
    try:
        event = json.loads(Path(environment.get("GITHUB_EVENT_PATH", "")).read_bytes())
        return str(event["pull_request"]["head"]["sha"])
    except (OSError, ValueError, KeyError, TypeError):
        return environment.get("GITHUB_SHA", "")


def outcome_of(error: DeployerError | None) -> Outcome:
    """What is live and healthy is a success, whatever it cost."""
    if error is None or isinstance(error, BudgetExceeded):
        return Outcome.SUCCESS
    return Outcome.INTERRUPTED if isinstance(error, Interrupted) else Outcome.FAILURE


def description_of(result: Result) -> str:
    """A short sentence."""
    if result.error is not None:
        return result.error.message
    dropped = f", {result.probe.dropped} of {result.probe.requests} requests dropped" if result.probe else ""
    return f"{result.status} in {result.duration_seconds:.1f} s{dropped}"
