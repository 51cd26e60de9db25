"""What `deployer check` says of a host that rebuilds, out of the facts that its program told. Pure but for the asking."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deployer.config import Config, Secrets
from deployer.errors import DeployerError
from deployer.finding import Finding, error, fine, warning
from deployer.plan import Reply, Request
from deployer.ports import Session
from deployer.premises import (
    Seen,
    clock_finding,
    disk_finding,
    history_findings,
    inodes_finding,
    lock_finding,
    parent_finding,
    state_finding,
)
from deployer.rebuild import requests
from deployer.rebuild.checkout_checks import Remote, checkout_findings, remote_finding
from deployer.rebuild.command_checks import command_findings, words
from deployer.rebuild.container_checks import container_findings
from deployer.rebuild.credential import Credential
from deployer.rebuild.facts import read_facts
from deployer.rebuild.traefik_checks import traefik_findings

__all__ = ["ask_remote", "host_findings", "request"]

OLDEST_GIT = (2, 17)
"""The first that knows what checkout.sh asks: ``status --no-ahead-behind``."""


def request(config: Config) -> Request:
    """Everything that is judged here, but for the repository's remote."""
    rebuild, traefik = config.rebuild, config.traefik
    return requests.check(config.app, rebuild.path, rebuild.compose_file, traefik.directory, traefik.api, words(config))


def ask_remote(config: Config, credentials: Secrets, seen: Seen, session: Session) -> Remote:
    """Which commit the remote has, or why it does not say; None where there is no checkout that could ask it."""
    reply, repository = seen.reply, config.rebuild.repository
    can_ask = reply.text("checkout") == "yes" or (reply.text("checkout") == "absent" and repository)
    if not can_ask or reply.every("missing") or not reply.text("parent") or reply.text("app", config.app) != config.app:
        return None
    try:
        _, found = session.perform(
            requests.site(config.app, config.rebuild.path, "check", "check"),
            requests.resolve(config.rebuild.ref, repository, Credential(credentials, repository)),
        )
    except DeployerError as reason:
        return reason
    return found


def host_findings(config: Config, seen: Seen, remote: Remote) -> Iterator[Finding]:
    """Everything about the host, in the order in which it matters."""
    facts = read_facts(seen.reply)
    yield clock_finding(seen)
    yield _tools(config, seen.reply)
    yield parent_finding(seen)
    yield state_finding(seen)
    if seen.reply.raw("parent") is not None:
        yield disk_finding(seen)
        yield inodes_finding(seen)
    yield lock_finding(seen)
    yield from history_findings(seen)
    yield from checkout_findings(config, seen, facts)
    if remote is not None:
        yield remote_finding(config, facts, remote)
    yield from command_findings(config, facts, remote)
    yield from container_findings(config, seen, facts)
    yield from traefik_findings(config, seen.reply)
    for trouble in seen.reply.every("trouble"):
        yield error("host", trouble, "see that by hand on the host, then check again")


def _tools(config: Config, reply: Reply) -> Finding:
    if missing := reply.every("missing"):
        mend = "sudo apt-get install git coreutils findutils sed gawk (Alpine: apk add git)"
        return error("tools", f"the host has no {', '.join(missing)}", mend)
    if not reply.text("proc"):
        return error(
            "tools", "the host has no /proc file system, which the lock needs", "sudo mount -t proc proc /proc"
        )
    shell = reply.text("shell").rpartition("/")[2] or "a shell"
    version = re.search(r"([0-9]+)\.([0-9]+)[0-9.]*", reply.text("git"))
    if version is None:
        return error(
            "tools", f"git on the host does not work: {reply.text('git') or 'it says nothing'}", "git --version"
        )
    if (int(version[1]), int(version[2])) < OLDEST_GIT:
        oldest = ".".join(map(str, OLDEST_GIT))
        return error("tools", f"git {version[0]} is older than {oldest}", "sudo apt-get install git")
    web = reply.text("http_tool")
    found = f"{shell}, git {version[0]}{f', {web}' if web else ''}"
    if config.rebuild.roll and reply.raw("http_tool") is not None and not web:
        found += ", nothing that asks by HTTP (curl, wget, python3, perl)"
        mend = "sudo apt-get install curl"
        if config.traefik.directory:
            return error("tools", f"{found}: Traefik could not be asked whether it has followed", mend)
        return warning("tools", f"{found}: containers without a health check only have to stay up", mend)
    return fine("tools", found)
