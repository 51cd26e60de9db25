"""Which parts belong together: the only place that knows every strategy and every transport."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployer.config import Config, Host, Secrets
from deployer.engine import Gate
from deployer.fleet import Destination
from deployer.plan import Plan
from deployer.ports import Clock, Reporter, Session, Strategy, Transport

__all__ = [
    "STRATEGIES",
    "Room",
    "StrategyParts",
    "commit_of",
    "destinations_for",
    "gate_for",
    "label",
    "program_for",
    "transport_for",
]


@dataclass(frozen=True, slots=True)
class StrategyParts:
    """What a strategy is made of, whichever it is."""

    config: Config
    secrets: Secrets
    reporter: Reporter
    label: str
    commit: str
    environment: Mapping[str, str]
    log: Callable[[], str]


def _static(parts: StrategyParts) -> Strategy:
    from deployer.static import StaticStrategy

    return StaticStrategy(
        parts.config,
        parts.reporter,
        label=parts.label,
        commit=parts.commit,
        environment=parts.environment,
        log=parts.log,
    )


def _static_rollback(parts: StrategyParts, release: str) -> Strategy:
    from deployer.static.rollback import StaticRollback

    return StaticRollback(parts.config, release, label=parts.label, log=parts.log)


def _static_program() -> str:
    from deployer.static.host import program

    return program()


def _rebuild(parts: StrategyParts) -> Strategy:
    from deployer.rebuild import RebuildStrategy

    return RebuildStrategy(
        parts.config, parts.secrets, parts.reporter, label=parts.label, environment=parts.environment, log=parts.log
    )


def _rebuild_rollback(parts: StrategyParts, release: str) -> Strategy:
    from deployer.rebuild import RebuildRollback

    return RebuildRollback(parts.config, parts.reporter, release, label=parts.label, log=parts.log)


def _rebuild_program() -> str:
    from deployer.rebuild.host import program

    return program()


@dataclass(frozen=True, slots=True)
class Room:
    """What there is of a strategy: its deploy, its way back (to a release, or to the one before), its host's program."""

    deploy: Callable[[StrategyParts], Strategy]
    rollback: Callable[[StrategyParts, str], Strategy]
    program: Callable[[], str]


STRATEGIES: dict[str, Room] = {
    "static": Room(_static, _static_rollback, _static_program),
    "rebuild": Room(_rebuild, _rebuild_rollback, _rebuild_program),
}


def program_for(config: Config) -> str:
    """The host's side of the configured strategy, as POSIX shell text."""
    return STRATEGIES[config.strategy].program()


@dataclass(frozen=True, slots=True)
class _Transport:
    host: str
    connect: Callable[[str], Session]

    def open(self, program: str) -> Session:
        """Connect and start ``program``."""
        return self.connect(program)


def destinations_for(config: Config, secrets: Secrets, clock: Clock, reporter: Reporter) -> tuple[Destination, ...]:
    """Every host of ``config``: the way there and the gate that asks it."""
    return tuple(
        Destination(
            transport_for(config, secrets, reporter.note, host, name, _output(reporter, name)),
            gate_for(config, clock, reporter, host),
            name,
        )
        for host, name in zip(config.hosts, _names(config.hosts), strict=True)
    )


def _output(reporter: Reporter, name: str) -> Callable[[str], None]:
    """What a command on the host called ``name`` prints: of several hosts, each line says whose it is."""
    return (lambda line: reporter.output(f"{name}: {line}")) if name else reporter.output


def _names(hosts: Sequence[Host]) -> tuple[str, ...]:
    """What people call each of several hosts: as short as tells them apart. One alone needs no name."""
    if len(hosts) == 1:
        return ("",)
    addresses = tuple("local" if host.local else host.address for host in hosts)
    if len(set(addresses)) == len(hosts):
        return addresses
    return tuple(_login(host) for host in hosts)


def _login(host: Host) -> str:
    address = f"[{host.address}]" if ":" in host.address else host.address
    return "local" if host.local else f"{host.user or _own_name()}@{address}:{host.port}"


def transport_for(
    config: Config,
    secrets: Secrets,
    notify: Callable[[str], None],
    host: Host | None = None,
    name: str = "",
    output: Callable[[str], None] = lambda _line: None,
) -> Transport:
    """The way to ``host`` (default: the first), called ``name`` in messages.

    ``notify`` gets what the host says while it makes us wait, ``output`` what commands print there.
    """
    host = host or config.hosts[0]
    return _local(host, name, notify, output) if host.local else _ssh(host, name, secrets, notify, output)


def _local(host: Host, name: str, notify: Callable[[str], None], output: Callable[[str], None]) -> Transport:
    def connect(program: str) -> Session:
        from deployer.transports.conversation import Conversation
        from deployer.transports.local import open_channel

        return Conversation(open_channel(host.command_timeout), program, name or "local", notify, output)

    return _Transport("local", connect)


def _ssh(
    host: Host, name: str, secrets: Secrets, notify: Callable[[str], None], output: Callable[[str], None]
) -> Transport:
    user = host.user or _own_name()

    def connect(program: str) -> Session:
        from deployer.transports.conversation import Conversation
        from deployer.transports.ssh import Jump, SshSettings, open_channel

        settings = SshSettings(
            address=host.address,
            port=host.port,
            user=user,
            key_file=Path(host.key) if host.key else None,
            key=secrets.key,
            passphrase=secrets.key_passphrase,
            host_keys=host.host_key,
            known_hosts=Path(host.known_hosts) if host.known_hosts else None,
            connect_timeout=host.connect_timeout,
            command_timeout=host.command_timeout,
            jumps=tuple(Jump(jump.address, jump.port, jump.user or _own_name()) for jump in host.jump),
        )
        return Conversation(open_channel(settings), program, name or f"{user}@{host.address}", notify, output)

    return _Transport(_login(host), connect)


def label(environment: Mapping[str, str]) -> str:
    """Who deploys, for others who meet the lock: one line."""
    server, repository, run = (environment.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    link = f", {server}/{repository}/actions/runs/{run}" if run else ""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    text = f"{_own_name()}@{socket.gethostname()} (pid {os.getpid()}) since {since}{link}"
    return "".join(character for character in text if character.isprintable())


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container's user without an entry in its passwd file.
        return f"uid-{os.getuid()}"


def commit_of(directory: Path) -> str:
    """The commit that is checked out in ``directory``; empty where that is no git checkout."""
    try:
        found = subprocess.run(
            ("git", "rev-parse", "--verify", "--quiet", "HEAD"),
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""


def gate_for(
    config: Config, clock: Clock, reporter: Reporter, host: Host | None = None
) -> Callable[[Plan], Gate | None]:
    """Makes the health gate of a plan on ``host`` (default: the first); None without a URL to ask."""
    connect_to = (host or config.hosts[0]).connect_to

    def make(plan: Plan) -> Gate | None:
        return (lambda: _unhealthy(config, connect_to, plan, clock, reporter)) if config.health_url else None

    return make


def _unhealthy(config: Config, connect_to: str, plan: Plan, clock: Clock, reporter: Reporter) -> str:
    from deployer.health import ExpectedFile, HealthSettings, check, choose_expected
    from deployer.web import fetch

    settings = HealthSettings(
        url=config.health_url,
        status=frozenset(config.health.status),
        contains=config.health.contains,
        timeout=config.health.timeout,
        connect_to=connect_to,
        site=config.url,
    )
    served = (ExpectedFile(file.path, file.digest, file.size) for file in plan.served)
    expected = choose_expected(served) if config.url else ()
    verdict = check(settings, expected, fetch, clock)
    if verdict.passed and verdict.reason:
        reporter.note(verdict.reason)
    return "" if verdict.passed else verdict.reason
