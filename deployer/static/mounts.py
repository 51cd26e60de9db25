"""Which containers see the target, and how: a mount of the target itself stays at the old release. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deployer.command import quote
from deployer.finding import Finding, error, fine, warning
from deployer.plan import Reply

__all__ = ["container_findings"]

LOOK = "sudo docker ps -q | xargs sudo docker inspect --format '{{.Name}}: {{range .Mounts}}{{.Source}} {{end}}'"


@dataclass(frozen=True, slots=True)
class _Mount:
    container: str
    source: str
    inside: str
    writable: bool


def container_findings(target: str, reply: Reply) -> Iterator[Finding]:
    """One finding for each container that mounts the target or a directory above it; none where docker is not there."""
    docker = reply.text("docker")
    if not docker:
        return
    if docker == "failed":
        said = " ".join(reply.text("docker_said").split())[:200] or "it did not answer within 5 s"
        found = f"docker does not say what containers mount: {said}"
        yield warning("mounts", found, f"look for {target} among the mounts: {LOOK}")
        return
    name = target.rpartition("/")[2]
    # What a mount names may lead through a symbolic link to the same place.
    own = (target, f"{reply.text('parent_path').rstrip('/')}/{name}")
    findings = [
        finding for mount in _mounts(reply.text("containers")) if (finding := _judge(mount, target, own)) is not None
    ]
    if not findings:
        yield fine("mounts", f"no running container mounts {target} or a directory above it")
    yield from findings


def _judge(mount: _Mount, target: str, own: tuple[str, ...]) -> Finding | None:
    for path in own:
        if mount.source == path or mount.source.startswith(f"{path}/"):
            return _pinned(mount, target)
        above = mount.source.rstrip("/") + "/"
        if path.startswith(above):
            inside = f"{mount.inside.rstrip('/')}/{path.removeprefix(above)}"
            return fine("mounts", f"{mount.container} mounts {mount.source} and has the site at {inside}")
    return None


def _pinned(mount: _Mount, target: str) -> Finding:
    parent = target.rpartition("/")[0] or "/"
    flag = "" if mount.writable else ":ro"
    now, then = f"{mount.source}:{mount.inside}{flag}", f"{parent}:{parent}{flag}"
    found = (
        f"{mount.container} mounts {mount.source} itself, at {mount.inside}: until its restart it keeps the old release"
    )
    mend = (
        f"mount its parent instead: -v {quote(then)} in place of -v {quote(now)} (in a Compose file, under volumes: "
        f"{json.dumps(then)}), and serve {target} there (nginx: root {target};)"
    )
    return error("mounts", found, mend)


def _mounts(lines: str) -> Iterator[_Mount]:
    """From one JSON object a line, as docker's template ``json`` writes them; what is none is docker's own talk."""
    for line in lines.splitlines():
        try:
            container: dict[str, Any] = json.loads(line)
            name = str(container["name"]).removeprefix("/")
            mounts = container["mounts"] or ()
            yield from (
                _Mount(name, str(mount["Source"]), str(mount["Destination"]), bool(mount.get("RW", True)))
                for mount in mounts
                if mount.get("Source")
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
