"""What the directory that Traefik's file provider watches defines, out of what the host told of it. Pure.

Facts of Traefik 2 and 3 that this relies on (its documentation, and tests/contract/test_rebuild_proxy.py on the real one):
the ending of a file's name decides whether it is read; where two files define one service, the first in the order of names
wins; a single file that cannot be read keeps all changes out, and an empty mapping is one reason for that.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from deployer.plan import Reply

__all__ = [
    "Address",
    "ConfigFile",
    "Definition",
    "Directory",
    "Server",
    "member",
    "order",
    "own_file",
    "read_directory",
    "servers_of",
    "unusable",
]

_ADDRESS = re.compile(
    r"(?P<scheme>[a-z0-9]+)://(?P<host>[^/:@\[\]]+)(?::(?P<port>[0-9]+))?(?P<rest>/.*)?", re.IGNORECASE
)
_DEFAULT_PORTS = {"http": 80, "h2c": 80, "https": 443}
_STANDALONE = ("http", "tcp", "udp", "tls")


@dataclass(frozen=True, slots=True)
class Address:
    """A server's URL in its parts: ``before`` + ``host`` + ``after`` is its text, and ``port`` is never left out."""

    before: str
    host: str
    port: int
    after: str

    @classmethod
    def of(cls, url: object) -> Address | None:
        """The parts of ``url``; None where it is no such URL."""
        match = _ADDRESS.fullmatch(url) if isinstance(url, str) else None
        if not match:
            return None
        port = int(match["port"] or _DEFAULT_PORTS.get(match["scheme"].lower(), 0))
        return cls(f"{match['scheme']}://", match["host"], port, match.string[match.end("host") :])


@dataclass(frozen=True, slots=True)
class Server:
    """One server of a Traefik service: its options as they are written, its URL, and the parts of that if it has such."""

    options: Mapping[str, object]
    url: str
    address: Address | None

    def leads_to(self, service: str, port: int) -> bool:
        """Whether it is the Compose service, at that port."""
        return self.address is not None and (self.address.host, self.address.port) == (service, port)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file of the directory: ``data`` is what it says, unless ``problem`` tells why Traefik cannot read it."""

    name: str
    text: str = ""
    data: Mapping[str, Any] | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Definition:
    """A Traefik service in a file."""

    name: str
    file: ConfigFile
    options: object

    @property
    def servers(self) -> tuple[Server, ...]:
        """Its servers; none where it has no load balancer of its own, but refers to other services."""
        return servers_of(self.options)


@dataclass(frozen=True, slots=True)
class Directory:
    """The watched directory.

    ``state`` is ok, absent, unreadable or unwritable; ``files`` stand in Traefik's order; ``api`` is ok, down, tool (the
    host has nothing to ask with), an HTTP status, or empty when no API is configured; ``mounts`` are (container, path) of
    files in it that are mounted alone.
    """

    path: str
    state: str
    files: tuple[ConfigFile, ...] = ()
    api: str = ""
    version: str = ""
    mounts: tuple[tuple[str, str], ...] = ()

    def file(self, name: str) -> ConfigFile | None:
        """The file of that name."""
        return next((file for file in self.files if file.name == name), None)

    def definitions(self) -> Iterator[Definition]:
        """Every HTTP service of every file, in the order in which Traefik reads them."""
        for file in self.files:
            services = member(member(file.data, "http"), "services")
            if isinstance(services, Mapping):
                yield from (Definition(str(name), file, options) for name, options in services.items())

    def leading_to(self, service: str, port: int) -> tuple[Definition, ...]:
        """The definitions that have the Compose service among their servers."""
        return tuple(
            each for each in self.definitions() if any(server.leads_to(service, port) for server in each.servers)
        )


def order(name: str) -> tuple[str, ...]:
    """What Traefik sorts a file by: each directory on the way to it, and its own name."""
    return PurePosixPath(name).parts


def own_file(app: str) -> str:
    """The name of deployer's own file in the directory."""
    return f"deployer-{app}.yml"


def read_directory(reply: Reply) -> Directory | None:
    """What the host's ``proxy_facts`` said; None where no directory is configured."""
    path = reply.text("proxy_directory")
    if not path:
        return None
    found: dict[str, ConfigFile] = {}
    name = ""
    for key, value in reply.facts:
        if key == "proxy_file":
            name = value.decode("utf-8", "surrogateescape")
        elif key == "proxy_text":
            found[name] = _read(name, value)
        elif key == "proxy_unread":
            found[name] = ConfigFile(
                name, problem="it cannot be read, is no file, or the directory holds more than 1 MiB"
            )
    files = tuple(found[name] for name in sorted(found, key=order))
    mounts = tuple(
        (container, file) for container, _, file in (each.partition(" ") for each in reply.every("proxy_mount"))
    )
    return Directory(
        path, reply.text("proxy_state"), files, reply.text("proxy_api"), reply.text("proxy_version"), mounts
    )


def _read(name: str, data: bytes) -> ConfigFile:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return ConfigFile(name, problem=f"it is not UTF-8 (byte {error.start})")
    try:
        content = _content(name, text)
    except ValueError as error:
        template = " (it holds a {{ template }}, which only Traefik can read)" if "{{" in text else ""
        return ConfigFile(name, text, problem=f"{error}{template}")
    if content is None:
        content = {}
    if not isinstance(content, dict):
        return ConfigFile(name, text, problem="it is no mapping")
    return ConfigFile(name, text, content, _standalone(content))


def _content(name: str, text: str) -> object:
    if name.endswith(".toml"):
        return tomllib.loads(text)
    from deployer.rebuild.documents import parse

    return parse(text)


def _standalone(content: Mapping[str, Any]) -> str:
    """Why Traefik refuses the file as a whole: it takes no empty mapping where it wants members."""
    for table in _STANDALONE:
        found = member(content, table)
        if found == {}:
            return f"Traefik refuses an empty {table}: {{}}"
        for kind in ("routers", "services", "middlewares", "serversTransports"):
            if member(found, kind) == {}:
                return f"Traefik refuses an empty {table}.{kind}: {{}}"
    return ""


def member(mapping: object, name: str) -> Any:
    """A member of a mapping, whose name Traefik reads in any case of its letters; None without it."""
    if not isinstance(mapping, Mapping):
        return None
    return next((value for key, value in mapping.items() if str(key).lower() == name.lower()), None)


def servers_of(options: object) -> tuple[Server, ...]:
    """The servers of a service's own load balancer."""
    servers = member(member(options, "loadBalancer"), "servers")
    if not isinstance(servers, list):
        return ()
    found = ((server, member(server, "url")) for server in servers if isinstance(server, Mapping))
    return tuple(Server(server, str(url), Address.of(url)) for server, url in found if url)


def unusable(configured: str, directory: Directory | None) -> str:
    """Why deployer can write no file into the directory that the configuration names."""
    if directory is not None and directory.state == "unwritable":
        return f"{directory.path} on the host, which Traefik watches, is not ours to write: make the login's user its owner"
    place = directory.path if directory else configured
    return f"{place} on the host, which traefik.directory names, is no directory that can be read"
