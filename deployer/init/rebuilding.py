"""The questions of ``init`` about a checkout that the server builds."""

from __future__ import annotations

from collections.abc import Callable

import click

from deployer.config.checks import Refused
from deployer.config.rebuild_checks import check_base_url, check_roll, check_server_path
from deployer.init.answers import Answers
from deployer.init.checkout import Buildable, Rollable
from deployer.init.repository import Remote

__all__ = ["ask_for_checkout"]

BUILD = "static.build"
"""What the option --build is known by, whatever the strategy."""
_API = "http://127.0.0.1:8080"


def ask_for_checkout(answers: Answers, found: Buildable, remote: Remote | None) -> None:
    """Ask for what the table [rebuild] needs, and [traefik] where something is replaced without downtime."""
    path = "Checkout on the server, from the login's home or absolute"
    answers.settle("rebuild.path", path, answers.text("app"), unattended=False)
    address = f"{remote.url}.git" if remote else ""
    cloned = "Repository to clone there, where there is no checkout yet"
    answers.settle("rebuild.repository", cloned, address, unattended=False, optional=True)
    answers.settle(BUILD, "Command that builds, on the server", found.build, optional=True)
    answers.settle("rebuild.up", "Command that brings it up, on the server", found.up, optional=True)
    for key in (BUILD, "rebuild.up"):
        # None is not what these two are when nobody says anything.
        answers.values.setdefault(key, "")
    if found.compose_file:
        answers.settle("rebuild.compose_file", "Compose file", found.compose_file, optional=True)
    if answers.interactive and "rebuild.roll" not in answers.values:
        _ask_for_services(answers, found.rollable)
    if answers.interactive and answers.values.get("rebuild.roll") and "traefik.directory" not in answers.values:
        _ask_for_traefik(answers)


def _ask_for_services(answers: Answers, rollable: tuple[Rollable, ...]) -> None:
    rolled = []
    for service in rollable:
        question = f"Port of {service.name} in its container, to replace it without downtime (empty: with a gap)"
        name = service.name
        port = _ask(question, service.port, lambda text, name=name: check_roll(f"{name}:{text}"))  # type: ignore[misc]
        if port:
            rolled.append(port)
    if rolled:
        answers.values["rebuild.roll"] = tuple(rolled)


def _ask_for_traefik(answers: Answers) -> None:
    directory = _ask(
        "Directory on the server that Traefik's file provider watches (empty: none)", "", check_server_path
    )
    if directory:
        answers.values["traefik.directory"] = directory
        answers.values["traefik.api"] = _ask("URL of Traefik's API, as the server reaches it", _API, check_base_url)


def _ask(question: str, proposal: str, check: Callable[[str], object]) -> str:
    def checked(text: str) -> str:
        text = text.strip()
        try:
            return str(check(text)) if text else ""
        except Refused as reason:
            raise click.UsageError(f"it must be {reason.expected}") from None

    answer: str = click.prompt(question, default=proposal, value_proc=checked, show_default=bool(proposal), err=True)
    return answer
