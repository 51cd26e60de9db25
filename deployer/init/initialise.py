"""``deployer init``: what it finds, what it writes, and what it tells to do next."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import click

from deployer.config import Config, load
from deployer.errors import InvalidInput
from deployer.init import document, workflow
from deployer.init.answers import Answers
from deployer.init.checkout import Buildable, find_buildable
from deployer.init.files import write_new
from deployer.init.generators import detect
from deployer.init.host_key import check_fingerprint
from deployer.init.interview import Proposals, interview, proposed_name
from deployer.init.next_steps import next_steps
from deployer.init.origin import requirement
from deployer.init.places import DEPLOY_FILE, Places, find_places
from deployer.init.site import Site
from deployer.reporting.text import visible

__all__ = ["Invocation", "Wishes", "initialise"]

_UNKNOWN = Site("", "")


class Invocation(Protocol):
    """What the command line says besides the command's own flags."""

    @property
    def file(self) -> str:
        """Where to write; empty: deploy.toml in the working directory."""
        ...

    @property
    def environment(self) -> str:
        """An environment's name, which means nothing here."""
        ...

    @property
    def json(self) -> bool:
        """Whether standard output gets one JSON object, and nobody is asked."""
        ...

    @property
    def quiet(self) -> bool:
        """Whether only questions, warnings and errors are said."""
        ...

    @property
    def flags(self) -> Mapping[str, object]:
        """The flags of the configuration, by their options' keys."""
        ...


@dataclass(frozen=True, slots=True)
class Wishes:
    """The command's own flags. ``workflow``: yes, no, or (None) if the repository is on GitHub.

    ``requirement`` is what pip installs deployer from there; empty: what this deployer was installed from.
    """

    fingerprints: tuple[str, ...] = ()
    workflow: bool | None = None
    requirement: str = ""


def initialise(invocation: Invocation, wishes: Wishes, variables: Mapping[str, str] = os.environ) -> int:
    """Write deploy.toml and a workflow file, never over others. Returns the exit code.

    Raises InvalidInput, also when everything is there already, and ConnectionRefused.
    """
    if invocation.environment:
        hint = "Write the file first, then add a table [environments.NAME] to it."
        raise InvalidInput("init knows no environments", hint=hint)
    fingerprints = tuple(check_fingerprint(text) for text in wishes.fingerprints)
    strategy = invocation.flags.get("strategy") or variables.get("DEPLOYER_STRATEGY", "").strip()
    work = _Work(find_places(invocation.file), invocation, wishes, rebuilds=strategy == "rebuild")
    work.see_what_is_there()
    if work.takes_file:
        work.describe(variables, fingerprints)
    else:
        work.take_over(variables)
    work.choose_requirement()
    work.write()
    work.tell()
    return 0


class _Work:
    """One run: the places, what was found there, what is to be written, and what came of it."""

    def __init__(self, places: Places, invocation: Invocation, wishes: Wishes, *, rebuilds: bool) -> None:
        self.places = places
        self._rebuilds = rebuilds
        self._buildable = Buildable()
        self.config: Config | None = None
        self._invocation = invocation
        self._wishes = wishes
        self._interactive = sys.stdin.isatty() and not invocation.json
        remote = places.repository.remote
        self._on_github = remote is not None and remote.is_github
        self._wants_workflow = self._on_github if wishes.workflow is None else wishes.workflow
        self.takes_file = not os.path.lexists(places.file)
        self._takes_workflow = self._wants_workflow and not os.path.lexists(places.workflow)
        self._requirement = wishes.requirement
        self._site = _UNKNOWN
        self._texts: dict[Path, str] = {}
        self._notes: list[str] = []
        self._written: list[Path] = []
        self._left: list[Path] = []

    # --- looking ---------------------------------------------------------------------------------------------------------

    def see_what_is_there(self) -> None:
        """Refuse when there is nothing to do, before anybody answers questions; else find out how the site is made."""
        names = [self.places.shown(file) for file in self._taken()]
        if not self.takes_file and not self._takes_workflow:
            hint = "Remove or rename a file to have it made anew."
            hint += "" if self._wants_workflow else " With --workflow, init adds a workflow for it."
            verb = "is" if len(names) == 1 else "are"
            raise InvalidInput(f"{' and '.join(names)} {verb} there already; nothing was written", hint=hint)
        for name in names:
            self._say(f"{name} is there already and stays as it is")
        self._buildable = find_buildable(self.places.folder)
        if not self._rebuilds:
            self._find_site()
        elif self._buildable.evidence:
            self._say(f"Found: {', '.join(self._buildable.evidence)}")
        elif self.takes_file:
            self._say("Found no Makefile and no Compose file")

    def _find_site(self) -> None:
        prefix = f"{self.places.within}/" if self.places.within else ""
        sites = detect(self.places.folder, prefix)
        if sites:
            self._site = sites[0]
            others = ", ".join(f"{site.generator} ({site.evidence})" for site in sites[1:])
            also = f"; also there: {others}" if others else ""
            self._say(f"Found: {self._site.generator} ({self._site.evidence}){also}")
        elif self.takes_file:
            self._say("Found no generator that init knows, and no index.html")
        if self.takes_file and self._buildable.up:
            self._say("For a server that builds and starts it by itself: deployer init --strategy rebuild")

    def _taken(self) -> list[Path]:
        taken = [] if self.takes_file else [self.places.file]
        return taken + [self.places.workflow] * (self._wants_workflow and not self._takes_workflow)

    # --- asking ----------------------------------------------------------------------------------------------------------

    def describe(self, variables: Mapping[str, str], fingerprints: tuple[str, ...]) -> None:
        """Ask for what deploy.toml needs."""
        answers = Answers(self._invocation.flags, variables, self.places.here, interactive=self._interactive)
        name = proposed_name(self.places.name)
        proposals = Proposals(name, self._site, self._buildable, self.places.repository.remote)
        described = interview(answers, proposals, self.places.folder, fingerprints)
        self.config = described.config
        self._texts[self.places.file] = document.render(described.values, described.hosts)
        if self._rebuilds and not self.config.rebuild.roll:
            services = [service.name for service in self._buildable.rollable]
            self._notes += [f"Without downtime: {name}, once rebuild.roll names it with its port" for name in services]

    def take_over(self, variables: Mapping[str, str]) -> None:
        """Read the deploy.toml that is there. Raises InvalidInput when it is not right."""
        flags = self._invocation.flags
        self.config = load(self.places.file, flags=flags, variables=variables, directory=self.places.here)
        if any(value not in (None, ()) for value in flags.values()):
            self._say(f"Settings given as flags are not added to {self.places.shown(self.places.file)}")

    def choose_requirement(self) -> None:
        """Find out what the workflow installs; leave the workflow out where it could not work. Raises InvalidInput."""
        assert self.config
        if self._takes_workflow and all(host.local for host in self.config.hosts):
            self._leave_out(
                "a workflow runs on GitHub's machines, and this site is deployed to the one that it is built on"
            )
        if not self._takes_workflow:
            return
        self._requirement = self._requirement or requirement()
        if not self._requirement and self._interactive:
            question = "Where pip gets deployer in the workflow, such as git+https://… (empty for no workflow)"
            self._requirement = click.prompt(question, default="", show_default=False, err=True).strip()
        if not self._requirement:
            self._leave_out("nobody knows where this deployer was installed from; --deployer says it")

    def _leave_out(self, reason: str) -> None:
        if self._wishes.workflow or not self.takes_file:
            raise InvalidInput(f"no workflow can be written: {reason}", hint="Nothing was written.")
        self._takes_workflow = self._wants_workflow = False
        self._notes.append(f"No workflow was written: {reason}")

    # --- writing ---------------------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Write what is not there. Raises InvalidInput when that fails, or nothing was left to do."""
        if self._takes_workflow:
            self._texts[self.places.workflow] = workflow.render(self._workflow())
        self._left = self._taken()
        for file, text in self._texts.items():
            try:
                # It may have come into being while the questions were answered.
                (self._written if write_new(file, text) else self._left).append(file)
            except OSError as error:
                done = ", ".join(self.places.shown(written) for written in self._written)
                message = f"cannot write {self.places.shown(file)}: {error.strerror or error}"
                raise InvalidInput(message, hint=f"{done} was written." if done else "Nothing was written.") from error
        if not self._written:
            names = ", ".join(self.places.shown(file) for file in self._left)
            raise InvalidInput(f"{names} came into being meanwhile; nothing was written")

    def _workflow(self) -> workflow.Workflow:
        config, places = self.config, self.places
        assert config
        rebuilds = config.strategy == "rebuild"
        # In an image, the build has what it needs; so has the server.
        builds_here = bool(config.static.build) and not config.static.build_image and not rebuilds
        return workflow.Workflow(
            app=config.app,
            branch=places.repository.branch,
            requirement=self._requirement,
            setup=self._site.setup if builds_here else (),
            folder=places.within,
            file="" if places.file.name == DEPLOY_FILE else places.file.name,
            submodules=not rebuilds and (places.top / ".gitmodules").is_file(),
            history=not rebuilds and self._site.history,
            lacks_setup=builds_here and not self._site.setup,
            lends_token=rebuilds and config.rebuild.repository.startswith("https://github.com/"),
            minutes=60 if rebuilds else 30,
        )

    # --- telling ---------------------------------------------------------------------------------------------------------

    def tell(self) -> None:
        """Say what was done, and what is to do."""
        assert self.config
        for file in self._written:
            self._say(f"Wrote {self.places.shown(file)}")
        if self._wishes.workflow is None and not self._wants_workflow and not self._notes:
            self._notes.append(
                "No workflow was written: GitHub has not this repository, as far as Git knows (--workflow)"
            )
        for note in self._notes:
            self._say(note)
        self._say("")
        for line in next_steps(self.config, self.places, workflow=self._wants_workflow):
            self._say(line)
        if self._invocation.json:
            click.echo(json.dumps(self._answer()))

    def _answer(self) -> dict[str, object]:
        assert self.config
        return {
            "app": self.config.app,
            "generator": self._site.generator or None,
            "written": [self.places.shown(file) for file in self._written],
            "left_alone": [self.places.shown(file) for file in self._left],
        }

    def _say(self, text: str) -> None:
        if not self._invocation.quiet:
            click.echo(visible(text), err=True)
