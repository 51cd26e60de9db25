"""GitHub's API: statuses, Deployment records, artifacts, branch heads, and deliveries that were lost.

PyGithub is imported in one module of this room, and only when something is asked.
"""

from __future__ import annotations

from receiver.github.api import GitHubApi, State, connect, hook_networks
from receiver.github.deliveries import Attempt, Mailbox
from receiver.github.paths import is_at
from receiver.github.records import deployment_page, status_context, subject
from receiver.github.trouble import GitHubTrouble, GitHubUnavailable, NoSuchRun

__all__ = [
    "Attempt",
    "GitHubApi",
    "GitHubTrouble",
    "GitHubUnavailable",
    "Mailbox",
    "NoSuchRun",
    "State",
    "connect",
    "deployment_page",
    "hook_networks",
    "is_at",
    "status_context",
    "subject",
]
