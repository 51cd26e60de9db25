"""The rebuild strategy's first requests: what is asked together with the facts, and what only after them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deployer.config import load, load_secrets
from deployer.rebuild import RebuildStrategy
from tests.fakes import RecordedReports

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----"


def verbs(
    secrets: Mapping[str, str],
    rebuild: Mapping[str, str] | None = None,
    *,
    alone: bool = True,
    variables: Mapping[str, str] | None = None,
) -> list[str]:
    flags: dict[str, Any] = {"app": "blog", "strategy": "rebuild", "host": ("local",), "rebuild.path": "blog"}
    flags |= {f"rebuild.{name}": value for name, value in (rebuild or {}).items()}
    config = load(None, flags=flags, variables={}, directory=Path.cwd())
    about: dict[str, Any] = {"label": "test", "environment": variables or {}, "log": lambda: ""}
    strategy = RebuildStrategy(config, load_secrets(secrets), RecordedReports(), **about)
    return [request.verb for request in strategy.opening(alone=alone)]


@pytest.mark.parametrize(
    ("secrets", "rebuild", "early"),
    [
        ({}, {}, True),
        ({}, {"ref": "v1"}, True),
        ({"DEPLOYER_GITHUB_TOKEN": "t0ken"}, {}, False),
        ({"DEPLOYER_GITHUB_TOKEN": "t0ken"}, {"repository": "https://github.com/anna/blog"}, True),
        ({"DEPLOYER_REPOSITORY_KEY": KEY}, {}, False),
        ({"DEPLOYER_REPOSITORY_KEY": KEY}, {"repository": "git@github.com:anna/blog"}, True),
    ],
)
def test_the_commit_is_asked_for_with_the_facts(secrets: dict[str, str], rebuild: dict[str, str], early: bool) -> None:
    """Unless a secret is for a server that only the checkout names: that is not sent to a guess."""
    usual = ["site", "lock", "facts"]
    assert verbs(secrets, rebuild) == [*usual, *(["resolve"] if early else [])]


def test_nobody_asks_for_what_is_known_or_asked_elsewhere() -> None:
    """Of several hosts the first one asks, once all are locked; a workflow's commit needs no asking."""
    known = {"GITHUB_SHA": "1" * 40, "GITHUB_REPOSITORY": "anna/blog"}
    assert "resolve" not in verbs({}, alone=False)
    assert "resolve" not in verbs({}, variables=known)
    assert "resolve" in verbs({}, {"ref": "main"}, variables=known)
