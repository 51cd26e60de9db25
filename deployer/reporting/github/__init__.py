"""GitHub's own record of a deploy: a Deployment with its statuses.

PyGithub is imported only in the process that keeps the record, and only when there is a token.
"""

from __future__ import annotations

from deployer.reporting.github.record import DeploymentRecord, Outcome
from deployer.reporting.github.subject import Subject

__all__ = ["DeploymentRecord", "Outcome", "Subject"]
