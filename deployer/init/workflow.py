"""The GitHub workflow that deploys on every push, as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deployer.init.site import Step

__all__ = ["WORKFLOW_FILE", "Workflow", "render"]

WORKFLOW_FILE = ".github/workflows/deploy.yml"

_TEMPLATE = """\
# Deploys {app} on every push to {branch}. Written by `deployer init`; from now on it is yours.
# It needs one secret, the private key that may log in to the server:
#   gh secret set SERVER_KEY < FILE
name: Deploy

on:
  push:
    branches: [{pattern}]
  workflow_dispatch:

permissions:
  contents: read
{permissions}
# One deploy at a time; one that runs is left to its end.
concurrency:
  group: deploy-{app}
  cancel-in-progress: false

jobs:
  deploy:
    name: Build and deploy
    runs-on: ubuntu-24.04
    timeout-minutes: {minutes}
{defaults}    steps:
{steps}"""
_DEFAULTS = """\
    defaults:
      run:
        working-directory: {folder}
"""
# What the runner has built with must not reach the packages of deployer: the action and pipx each see to that.
_INSTALL = 'pipx install "$REQUIREMENT"'
_ACTION = re.compile(r"git\+https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?@([0-9a-f]{40})")
_UNKNOWN_SETUP = Step("What the build needs and GitHub's runner does not have is to be installed here.")


@dataclass(frozen=True, slots=True)
class Workflow:
    """``folder`` is the one of deploy.toml in the repository (empty: its top), ``file`` its name where that is unusual.

    ``requirement`` is what pip installs deployer from: where that is a commit on GitHub, the workflow uses its action
    instead. ``submodules`` and ``history`` say what the checkout needs;
    ``lacks_setup``: there is a build, and nobody knows what it needs. With ``lends_token``, the server may read the
    repository as long as the job runs. ``minutes`` is how long that may take.
    """

    app: str
    branch: str
    requirement: str
    setup: Sequence[Step] = ()
    folder: str = ""
    file: str = ""
    submodules: bool = False
    history: bool = False
    lacks_setup: bool = False
    lends_token: bool = False
    minutes: int = 30


def render(workflow: Workflow) -> str:
    """The file."""
    return _TEMPLATE.format(
        app=workflow.app,
        branch=re.sub(r"\s", " ", workflow.branch),
        pattern=_text(_pattern(workflow.branch)),
        minutes=workflow.minutes,
        permissions="  deployments: write # to show them on the repository's page\n" if workflow.lends_token else "",
        defaults=_DEFAULTS.format(folder=_text(workflow.folder)) if workflow.folder else "",
        steps="\n".join(line for step in _steps(workflow) for line in _step(step)) + "\n",
    )


def _pattern(branch: str) -> str:
    """A branch's name as a pattern that means only it; of the signs with a meaning, Git allows these in names."""
    return re.sub(r"([+!])", r"\\\1", branch)


def _steps(workflow: Workflow) -> Iterator[Step]:
    checkout: dict[str, str | int | bool] = {"persist-credentials": False}
    if workflow.submodules:
        checkout["submodules"] = "recursive"
    if workflow.history:
        checkout["fetch-depth"] = 0
    yield Step(uses="actions/checkout@v6", inputs=checkout)
    yield from workflow.setup
    if workflow.lacks_setup:
        yield _UNKNOWN_SETUP
    action = _ACTION.fullmatch(workflow.requirement)
    if action:
        yield _deploy_by_action(workflow, f"{action[1]}@{action[2]}")
        return
    yield Step("Install deployer", run=_INSTALL, variables={"REQUIREMENT": workflow.requirement})
    file = {"DEPLOYER_CONFIG": workflow.file} if workflow.file else {}
    token = {"DEPLOYER_GITHUB_TOKEN": "${{ github.token }}"} if workflow.lends_token else {}
    yield Step("Deploy", run="deployer run", variables={"DEPLOYER_KEY": "${{ secrets.SERVER_KEY }}", **token, **file})


def _deploy_by_action(workflow: Workflow, action: str) -> Step:
    """Its steps run at the top of the repository, whatever the job's default is."""
    inputs: dict[str, str | int | bool] = {"key": "${{ secrets.SERVER_KEY }}"}
    if workflow.lends_token:
        inputs["github-token"] = "${{ github.token }}"
    if workflow.folder or workflow.file:
        inputs["config"] = "/".join(part for part in (workflow.folder, workflow.file or "deploy.toml") if part)
    return Step("Deploy", uses=action, inputs=inputs)


def _step(step: Step) -> Iterator[str]:
    if not step.uses and not step.run:
        yield f"      # {step.name}"
        return
    fields: list[str] = []
    if step.name:
        fields.append(f"name: {step.name}")
    if step.uses:
        fields.append(f"uses: {step.uses}")
    for title, entries in (("with", step.inputs), ("env", step.variables)):
        if entries:
            fields.append(f"{title}:")
            fields += [f"  {name}: {_value(value)}" for name, value in entries.items()]
    if "\n" in step.run:
        fields.append("run: |")
        fields += [f"  {line}" for line in step.run.splitlines()]
    elif step.run:
        fields.append(f"run: {step.run}")
    for index, field in enumerate(fields):
        yield ("        " if index else "      - ") + field


def _value(value: str | int | bool) -> str:
    if isinstance(value, str):
        return value if value.startswith("${{") else _text(value)
    return json.dumps(value)


def _text(value: str) -> str:
    """JSON's texts are YAML's too."""
    return json.dumps(value, ensure_ascii=False)
