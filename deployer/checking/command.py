"""The command itself: what is looked at in which order, what is printed, and the exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import click

from deployer.checking.here import configuration, name_of_url, sources
from deployer.checking.reach import Visit
from deployer.checking.web import web_findings
from deployer.composition import transport_for
from deployer.config import Config, Secrets, find
from deployer.errors import InvalidInput
from deployer.finding import Finding, State, exit_code, failure
from deployer.reporting import choose, print_finding, print_sum
from deployer.running import Invocation
from deployer.web import fetch

__all__ = ["CheckInvocation", "check", "look"]


class CheckInvocation(Invocation, Protocol):
    """An invocation that also says which file was named (empty: the nearest)."""

    @property
    def file(self) -> str:
        """The path of deploy.toml as it was given."""
        ...


def check(invocation: CheckInvocation) -> int:
    """Print each finding as soon as there is one. Returns the exit code that a run would end with."""
    app, findings = look(invocation, _Lines(invocation).show)
    if invocation.json:
        click.echo(json.dumps({"app": app or None, "checks": [finding.as_json() for finding in findings]}))
    elif not invocation.quiet:
        print_sum([finding.as_json() for finding in findings], sys.stderr)
    return exit_code(findings)


def look(invocation: CheckInvocation, show: Callable[[Finding], None]) -> tuple[str, list[Finding]]:
    """Look at everything, and ``show`` each finding at once. The app's name (empty: not known), and all findings."""
    findings: list[Finding] = []

    def found(finding: Finding) -> None:
        findings.append(finding)
        show(finding)

    try:
        config, credentials = invocation.load()
    except InvalidInput as reason:
        found(failure("config", reason, "write a deploy.toml: deployer init"))
        return "", findings
    for finding in _everything(invocation, config, credentials):
        found(finding)
    return config.app, findings


class _Lines:
    """What people see: all findings, or those that are not fine; none where a program reads the answer."""

    def __init__(self, invocation: Invocation) -> None:
        self._silent = invocation.json
        self._quiet = invocation.quiet
        self._host = ""

    def show(self, finding: Finding) -> None:
        if self._silent or (self._quiet and finding.state is State.OK):
            return
        print_finding(finding.as_json(), sys.stdout, headed=finding.host != self._host)
        self._host = finding.host


def _everything(invocation: CheckInvocation, config: Config, credentials: Secrets) -> Iterator[Finding]:
    yield configuration(config, Path(invocation.file) if invocation.file else find(Path.cwd()))
    yield from sources(config)
    yield from name_of_url(config)
    note = choose(sys.stderr, quiet=True).note
    asked: set[str] = set()
    for host in config.hosts:
        transport = transport_for(config, credentials, note, host)
        visit = Visit(config, credentials, host, transport)
        for finding in visit.findings():
            yield replace(finding, host=transport.host)
        # Without an address of its own to ask, a host is the one that the URL's name leads to, whichever that is.
        if host.connect_to not in asked:
            asked.add(host.connect_to)
            for finding in web_findings(config, visit.reply, host.connect_to, fetch):
                yield replace(finding, host=transport.host)
