"""What GitHub's records of a deploy say, and where they lead."""

from __future__ import annotations

from deployer.reporting.github import Subject
from deployer.secret import Secret
from receiver.config import ReceiverConfig

__all__ = ["deployment_page", "status_context", "subject"]

_ENVIRONMENT = "production"
"""The API's own default."""


def deployment_page(config: ReceiverConfig, job: int) -> str:
    """The dashboard's page of a job; empty where nobody has said how browsers get here, or there is no dashboard."""
    return f"{config.public_url.rstrip('/')}/deployments/{job}" if config.public_url and config.login else ""


def status_context(app: str) -> str:
    """By which a commit's status is told from those of other apps and programs."""
    return f"deployer/{app}"


def subject(config: ReceiverConfig, app: str, commit: str, job: int, token: Secret) -> Subject:
    """What the Deployment record of a job is about.

    Its task is not GitHub's plain ``deploy``: the ``deployment`` event that the record causes must start no other deploy.
    """
    return Subject(
        api_url=config.github.api_url,
        repository=config.apps[app].repository,
        token=token,
        ref=commit,
        environment=config.apps[app].environment or _ENVIRONMENT,
        task=f"deploy:{app}",
        log_url=deployment_page(config, job),
        description=f"{app}, by deployer",
    )
