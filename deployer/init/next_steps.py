"""What a person does after ``init``, as lines to read and to copy."""

from __future__ import annotations

from collections.abc import Iterator

from deployer.command import quote
from deployer.config import Config, Host
from deployer.init.places import DEPLOY_FILE, Places

__all__ = ["next_steps"]

_WIDTH = 34


def next_steps(config: Config, places: Places, *, workflow: bool) -> Iterator[str]:
    """The lines; with ``workflow`` also those that a workflow needs."""
    option = "" if places.file == places.here / DEPLOY_FILE else f" --config {quote(places.shown(places.file))}"
    yield "Next:"
    commands = [("check", "is the server ready?"), ("plan", "what would happen"), ("run", "deploy")]
    if config.strategy == "rebuild" and config.traefik.directory:
        commands.insert(1, ("proxy adopt", "move its service out of Traefik's hand-written file"))
    for command, meaning in commands:
        if command == "plan" and _builds_here(config) and not option:
            yield f"  {config.static.build:{_WIDTH}} once by hand: a plan builds nothing"
        yield f"  {f'deployer {command}{option}':{_WIDTH}} {meaning}"
    if workflow:
        yield "For the workflow, a key that the server lets in and GitHub keeps as a secret:"
        yield from (f"  {line}" for line in _key_steps(config))
        files = " ".join(quote(places.shown(file)) for file in (places.file, places.workflow))
        yield f"  git add {files}"
        yield "After `git commit` and `git push`, every push deploys."


def _builds_here(config: Config) -> bool:
    static = config.static
    return config.strategy == "static" and bool(static.build) and not static.build_image


def _key_steps(config: Config) -> Iterator[str]:
    file = f"~/.ssh/deploy-{config.app}"
    yield f"ssh-keygen -t ed25519 -N '' -C deploy-{config.app} -f {file}"
    for host in config.hosts:
        if not host.local:
            yield " ".join(["ssh-copy-id", "-i", f"{file}.pub", *_port(host), quote(f"{host.user}@{host.address}")])
    yield f"gh secret set SERVER_KEY < {file}"


def _port(host: Host) -> tuple[str, ...]:
    return () if host.port == 22 else ("-p", str(host.port))
