"""What a repository tells about how a server builds it and brings it up: its Makefile and its Compose file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployer.init.makefile import find_makefile, has_target, read_text

__all__ = ["Buildable", "Rollable", "find_buildable"]

# As the host looks for them: see find_compose_file in compose.sh.
_FOLDERS = ("", "docker/", "compose/", "deploy/", "deployment/")
_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_PORT_LABEL = re.compile(r"traefik\.http\.services\.[^.=]+\.loadbalancer\.server\.port=?")


@dataclass(frozen=True, slots=True)
class Rollable:
    """A service of which a second container could run beside the first; ``port`` is empty where nothing tells it."""

    name: str
    port: str = ""


@dataclass(frozen=True, slots=True)
class Buildable:
    """How a checkout is built and brought up; empty texts where that is not known.

    ``evidence`` are the files that told; ``compose_file`` is to be named in deploy.toml, because there are several.
    """

    evidence: tuple[str, ...] = ()
    build: str = ""
    up: str = ""
    compose_file: str = ""
    rollable: tuple[Rollable, ...] = ()


def find_buildable(folder: Path) -> Buildable:
    """Look into ``folder``; never raises."""
    makefile, text = find_makefile(folder)
    files = _compose_files(folder)
    services = _services(folder / files[0]) if files else {}
    named = f"-f {files[0]} " if files and "/" in files[0] else ""
    builds = any(isinstance(options, Mapping) and options.get("build") for options in services.values())
    by_compose = f"docker compose {named}"
    return Buildable(
        evidence=tuple(name for name in (makefile, *files[:1]) if name),
        build="make build" if has_target(text, "build") else f"{by_compose}build" if builds else "",
        up="make up" if has_target(text, "up") else f"{by_compose}up -d" if files else "",
        compose_file=files[0] if len(files) > 1 else "",
        rollable=tuple(_rollable(services)),
    )


def _compose_files(folder: Path) -> tuple[str, ...]:
    """The one at the top, which wins; else one of each folder that has one."""
    found = []
    for place in _FOLDERS:
        name = next((place + name for name in _NAMES if (folder / place / name).is_file()), "")
        if name and not place:
            return (name,)
        if name:
            found.append(name)
    return tuple(found)


def _services(file: Path) -> Mapping[str, Any]:
    from deployer.rebuild.documents import MalformedError, parse

    try:
        content = parse(read_text(file) or "")
    except MalformedError:
        return {}
    services = content.get("services") if isinstance(content, Mapping) else None
    return services if isinstance(services, Mapping) else {}


def _rollable(services: Mapping[str, Any]) -> Iterator[Rollable]:
    """Those that nothing in the file speaks against; the server, which knows the whole, has the last word."""
    from deployer.rebuild.services import DATABASES

    for name, options in services.items():
        if not isinstance(options, Mapping):
            continue
        image = re.sub("[:@].*", "", str(options.get("image") or "").rpartition("/")[2])
        if image not in DATABASES and not any(options.get(key) for key in ("container_name", "ports", "network_mode")):
            yield Rollable(str(name), _port(options))


def _port(options: Mapping[str, Any]) -> str:
    labels = options.get("labels") or ()
    texts = [f"{key}={value}" for key, value in labels.items()] if isinstance(labels, Mapping) else map(str, labels)
    for text in texts:
        if match := _PORT_LABEL.match(text):
            return text[match.end() :].strip()
    exposed = options.get("expose")
    return str(exposed[0]) if isinstance(exposed, list) and len(exposed) == 1 else ""
