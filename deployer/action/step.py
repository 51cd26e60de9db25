"""One step of a workflow, from its inputs to its exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn, TextIO

from deployer.action.audience import Workflow
from deployer.action.commands import masks
from deployer.action.inputs import SECRETS, Inputs, read_inputs, variable_of
from deployer.action.log import HarmlessStream, WorkflowReporter
from deployer.action.records import subject_of
from deployer.child import without_secrets
from deployer.config import Config, Secrets, find, load, load_secrets
from deployer.deploy import Result
from deployer.errors import DeployerError, Interrupted
from deployer.finding import Finding, exit_code
from deployer.leaving import leave
from deployer.reporting import print_finding, print_sum
from deployer.running import Ending, rollback, run

__all__ = ["main", "perform"]


@dataclass(frozen=True, slots=True)
class _Invocation:
    """The step as the commands see it."""

    inputs: Inputs
    verbose: bool
    loaded: Callable[[Config, Secrets], None]
    json: bool = False
    quiet: bool = False

    @property
    def file(self) -> str:
        return self.inputs.file

    def load(self) -> tuple[Config, Secrets]:
        here, variables = Path.cwd(), self.inputs.variables
        file = Path(self.file) if self.file else find(here)
        config = load(file, environment="", flags={}, variables=variables, directory=here)
        secrets = load_secrets(variables)
        self.loaded(config, secrets)
        return config, secrets


def main() -> NoReturn:
    """The step's program: what it was given is in its variables, and the runner reads its standard output."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]  # both are files
    leave(perform(os.environ, sys.stdout))


def perform(environment: MutableMapping[str, str], stream: TextIO) -> int:
    """Do what the inputs in ``environment`` say, and take them out of it: no child of this process is to get a secret."""
    for line in masks(environment.get(variable_of(name), "") for name in SECRETS):
        stream.write(f"{line}\n")
    verbose = environment.get("RUNNER_DEBUG") == "1"
    audience = Workflow(stream, dict(environment), WorkflowReporter(stream, verbose=verbose))
    try:
        inputs = read_inputs(environment)
        _replace(environment, without_secrets(inputs.variables))
        return _carry_out(_Invocation(inputs, verbose, partial(_record, inputs, audience)), audience)
    except DeployerError as error:
        return _failed(audience, error)
    except KeyboardInterrupt:
        return _failed(audience, Interrupted("interrupted"))
    except Exception as error:
        if verbose:
            traceback.print_exc(file=stream)
        message = f"unexpected {type(error).__name__}: {error}"
        hint = "This is a bug; a run with debug logging shows where. Please report it."
        return _failed(audience, DeployerError(message, hint=hint))


def _replace(environment: MutableMapping[str, str], variables: Mapping[str, str]) -> None:
    for name in set(environment) - set(variables):
        del environment[name]
    environment.update(variables)


def _record(inputs: Inputs, audience: Workflow, config: Config, secrets: Secrets) -> None:
    """Which commit a rollback leads to is known only when it has ended: its record is made then."""
    if inputs.command in {"run", "rollback"} and not inputs.dry:
        audience.record(subject_of(config, secrets, audience.environment), begin=inputs.command == "run")


def _carry_out(invocation: _Invocation, audience: Workflow) -> int:
    inputs = invocation.inputs
    match inputs.command:
        case "check":
            return _check(invocation, audience)
        case "rollback":
            return rollback(invocation, inputs.release, audience, dry=inputs.dry)
        case command:
            return run(invocation, audience, dry=inputs.dry or command == "plan")


def _check(invocation: _Invocation, audience: Workflow) -> int:
    from deployer.checking import look

    harmless = HarmlessStream(audience.stream)
    host = [""]

    def show(finding: Finding) -> None:
        print_finding(finding.as_json(), harmless, headed=finding.host != host[0])  # type: ignore[arg-type]
        host[0] = finding.host

    app, findings = look(invocation, show)
    answers = [finding.as_json() for finding in findings]
    print_sum(answers, harmless)  # type: ignore[arg-type]
    audience.tell_findings(app, answers)
    return exit_code(findings)


def _failed(audience: Workflow, error: DeployerError) -> int:
    # Before the configuration was read, nothing else is known; other steps find the documented outputs all the same.
    unknown = Result(app="", strategy="", environment="", hosts=(), url="", error=error)
    audience.tell(Ending(unknown, None, ""))
    return error.exit_code
