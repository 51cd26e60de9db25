"""Deployer's own file in Traefik's directory, as a template that the host fills with the names of containers. Pure.

The form of a template is described in host/proxy.sh, which fills it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from deployer.config import Config
from deployer.errors import InvalidInput
from deployer.plan import Reply
from deployer.rebuild.watched import (
    ConfigFile,
    Directory,
    Server,
    member,
    own_file,
    read_directory,
    servers_of,
    unusable,
)

__all__ = ["Roll", "at_rest", "check_ready", "has_stamps", "make_template", "own_file", "own_services", "template_for"]

Roll = Sequence[tuple[str, int]]
"""Compose services that are replaced container by container, each with the port that Traefik sends requests to."""

_MARK = "deployer-line-"
_LINE = re.compile(rf"^(?P<indent> *)(?:- )?{_MARK}(?P<number>[0-9]+)(?:: .*)?$")
_HEADER = """\
# Written by deployer for the app "{app}": the Traefik services whose containers it replaces, and nothing else.
# Options of these services may be changed here between two deploys, and stay; comments do not.
"""
_NOBODY = '{loadBalancer: {servers: [{url: "http://127.0.0.1:9"}]}}'
_FIRST = 2_000_000_000
"""A priority above that of any rule, which by default is the rule's length."""


def template_for(config: Config, reply: Reply) -> str:
    """The template that a deploy hands over, out of what deployer's file says now (the host's ``proxy_facts``).

    Raises InvalidInput when a service of ``rebuild.roll`` is not in deployer's file, or another file's definition of it
    comes first.
    """
    directory = read_directory(reply)
    roll = tuple((service.name, service.port) for service in config.rebuild.services)
    if directory is None or directory.state != "ok":
        raise InvalidInput(unusable(config.traefik.directory, directory))
    own = directory.file(own_file(config.app))
    if own and own.problem:
        raise InvalidInput(f"{directory.path}/{own.name} cannot be read: {own.problem}", hint="Correct it by hand.")
    for service, port in roll:
        check_ready(directory, own_file(config.app), service, port)
    services = own_services(directory, config.app)
    return make_template(directory, config.app, roll, services, entry_point=config.traefik.entry_point)


def own_services(directory: Directory, app: str) -> dict[str, Any]:
    """The services in deployer's file, without what only an acknowledgement needed."""
    own = directory.file(own_file(app))
    services = member(member(own.data, "http") if own else None, "services")
    return {str(name): options for name, options in (services or {}).items() if not _passing(app, str(name))}


def has_stamps(own: ConfigFile | None, app: str) -> bool:
    """Whether deployer's file still holds what an acknowledgement needed, so that nobody saw its last writing through."""
    http = member(own.data, "http") if own else None
    return any(_passing(app, str(name)) for kind in ("routers", "services") for name in member(http, kind) or ())


def _passing(app: str, name: str) -> bool:
    return re.fullmatch(rf"deployer-{re.escape(app)}-(?:[0-9a-z]+-[0-9]+|acknowledge(?:-tls)?)", name) is not None


def check_ready(directory: Directory, own: str, service: str, port: int) -> tuple[str, ...]:
    """The Traefik services of a Compose service, if the file ``own`` alone decides about them. Raises InvalidInput."""
    adopt = "deployer proxy adopt"
    found = directory.leading_to(service, port)
    ours = [each for each in found if each.file.name == own]
    names = {each.name for each in ours}
    if foreign := [each for each in found if each.name not in names]:
        place = f"{directory.path}/{foreign[0].file.name}"
        raise InvalidInput(
            f"Traefik's service {foreign[0].name} of {service}:{port} is defined in {place}, which deployer does not write",
            hint=f"Move it into deployer's own file: {adopt}",
        )
    if not ours:
        raise InvalidInput(
            f"no file in {directory.path} has a Traefik service with the server http://{service}:{port}",
            hint=f"{_other_ports(directory, service)}Name Traefik's port in rebuild.roll, or let deployer add it: {adopt}",
        )
    for each in ours:
        first = next(other for other in directory.definitions() if other.name == each.name)
        if first.file.name != own:
            raise InvalidInput(
                f"Traefik's service {each.name} is defined in {directory.path}/{first.file.name} and in {own}, and it takes "
                "the first",
                hint=f"Take it out of {first.file.name}: {adopt}",
            )
    return tuple(each.name for each in ours)


def _other_ports(directory: Directory, service: str) -> str:
    ports = {
        server.address.port: each
        for each in directory.definitions()
        for server in each.servers
        if server.address and server.address.host == service
    }
    return "".join(f"{each.name} leads to {service}:{port}. " for port, each in ports.items())


def make_template(
    directory: Directory, app: str, roll: Roll, services: Mapping[str, Any], *, entry_point: str = ""
) -> str:
    """The template of deployer's file with exactly ``services`` in it; whatever else the file holds stays.

    ``entry_point`` is the URL at which Traefik can be asked where its API cannot (empty: nowhere).
    """
    own = directory.file(own_file(app))
    content = dict(own.data or {}) if own else {}
    http = {str(key): value for key, value in (member(content, "http") or {}).items()}
    lines = _Lines()
    sections: dict[str, Any] = {key: value for key, value in http.items() if key.lower() not in ("routers", "services")}
    routers = {
        str(name): value for name, value in (member(http, "routers") or {}).items() if not _passing(app, str(name))
    }
    acknowledging = _routers(app, entry_point, lines)
    if routers:
        sections["routers"] = {**acknowledging, **routers}
    elif acknowledging:
        # Without others, the key itself is there only for a while.
        sections[lines.add("n", "routers: # ", "")] = acknowledging
    marked = {name: _mark(options, roll, lines) for name, options in services.items()}
    sections["services"] = {lines.add("n", f"deployer-{app}-", f": {_NOBODY}"): "", **marked}
    rest = {key: value for key, value in content.items() if str(key).lower() != "http"}
    seen = hashlib.sha256(own.text.encode()).hexdigest() if own else "absent"
    return f"\th\t{seen}\n" + _HEADER.format(app=app) + lines.fill({**rest, "http": sections}) + _wanted(services, roll)


def _mark(options: Any, roll: Roll, lines: _Lines) -> Any:
    """The options with a mark instead of each server that stands for a Compose service."""
    balancer = member(options, "loadBalancer")
    if not any(_service_of(server, roll) for server in servers_of(options)):
        return options
    marked: list[object] = []
    found: set[str] = set()
    for given, server in zip(member(balancer, "servers"), _each(balancer), strict=True):
        service = _service_of(server, roll) if server else ""
        if not service or server is None or server.address is None:
            marked.append(given)
        elif service not in found:
            found.add(service)
            marked.append(lines.add_server(service, server))
    replaced = {key: marked if str(key).lower() == "servers" else value for key, value in balancer.items()}
    return {key: replaced if str(key).lower() == "loadbalancer" else value for key, value in options.items()}


def _each(balancer: Mapping[str, Any]) -> Iterator[Server | None]:
    for given in member(balancer, "servers"):
        found = servers_of({"loadBalancer": {"servers": [given]}})
        yield found[0] if found else None


def _service_of(server: Server, roll: Roll) -> str:
    return next((service for service, port in roll if server.leads_to(service, port)), "")


def _routers(app: str, entry_point: str, lines: _Lines) -> dict[str, Any]:
    kinds = [("", "")] if entry_point else []
    if entry_point.startswith("https:"):
        kinds.append(("-tls", ", tls: {}"))
    end = f'`)", service: noop@internal, priority: {_FIRST}'
    return {
        lines.add("n", f'deployer-{app}-acknowledge{name}: {{rule: "Path(`/.deployer-', f"{end}{tls}}}"): ""
        for name, tls in kinds
    }


class _Lines:
    """The lines that the host writes, by the marks that stand for them in the dumped document."""

    def __init__(self) -> None:
        self._kinds: list[tuple[str, str, str, str]] = []

    def add(self, kind: str, before: str, after: str, service: str = "") -> str:
        self._kinds.append((kind, service, before, after))
        return f"{_MARK}{len(self._kinds) - 1}"

    def add_server(self, service: str, server: Server) -> str:
        from deployer.rebuild.documents import Quoted, dump_inline

        assert server.address is not None
        url = Quoted(f"{server.address.before}{_MARK}{server.address.after}")
        options = {key: url if str(key).lower() == "url" else value for key, value in server.options.items()}
        written = dump_inline(options)
        if len(options) == 1:
            written = written[1:-1]
        before, _, after = written.partition(_MARK)
        return self.add("s", f"- {before}", after, service)

    def fill(self, data: object) -> str:
        from deployer.rebuild.documents import dump

        return "".join(f"{self._line(line)}\n" for line in dump(data).splitlines())

    def _line(self, line: str) -> str:
        match = _LINE.match(line) or re.match(rf"^(?P<indent> *){_MARK}(?P<number>[0-9]+):$", line)
        if not match:
            return line
        kind, service, before, after = self._kinds[int(match["number"])]
        fields = (kind, *((service,) if kind == "s" else ()), f"{match['indent']}{before}", after)
        return "".join(f"\t{field}" for field in fields)


def _wanted(services: Mapping[str, Any], roll: Roll) -> str:
    """The lines that tell which servers Traefik's API has to name."""
    lines: list[str] = []
    for name, options in services.items():
        servers = servers_of(options)
        if not any(_service_of(server, roll) for server in servers):
            continue
        lines.append(f"\tt\t{quote(name, safe='')}\n")
        seen: set[str] = set()
        for server in servers:
            service = _service_of(server, roll)
            if not service or server.address is None:
                lines.append(f"\tv\t{server.url}\n")
            elif service not in seen:
                seen.add(service)
                lines.append(f"\tu\t{service}\t{server.address.before}\t{server.address.after}\n")
    return "".join(lines)


def at_rest(template: str) -> str:
    """What the host makes of a template when nothing is being replaced."""
    written = []
    for line in template.splitlines():
        if not line.startswith("\t"):
            written.append(line)
        elif line.startswith("\ts\t"):
            service, before, after = line.removeprefix("\ts\t").split("\t")
            written.append(f"{before}{service}{after}")
    return "".join(f"{line}\n" for line in written)
