"""The services of a Compose project, and why one cannot be replaced without downtime.

Pure: the host renders the Compose file and sends an outline of it, without environment, commands and build arguments.
The shapes are those of ``docker compose config --format json`` (https://docs.docker.com/reference/compose-file/services/).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from deployer.errors import DeployFailed

__all__ = ["DATABASES", "Port", "Service", "Volume", "cautions", "obstacles", "read_services", "remarks"]

# They lock, or ruin, a data directory that two of them use.
DATABASES = frozenset(
    "arangodb cassandra clickhouse clickhouse-server cockroach couchbase couchdb elasticsearch etcd influxdb keydb kafka "
    "mariadb meilisearch minio mongo mongodb mysql mysql-server neo4j opensearch percona postgis postgres postgresql "
    "rabbitmq redis redis-stack-server rethinkdb scylla surrealdb timescaledb valkey zookeeper".split()
)


@dataclass(frozen=True, slots=True)
class Port:
    """A port that the host listens on: ``published`` is a number, a range ("8000-8010"), or empty (any free one)."""

    published: str
    target: str
    protocol: str = "tcp"


@dataclass(frozen=True, slots=True)
class Volume:
    """``kind`` is volume, bind, tmpfs and so on; ``source`` a volume's name or a path (empty: a volume without a name)."""

    kind: str
    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """One service as Compose would run it.

    ``image`` is its reference (empty: Compose names the one that it builds), ``built`` whether it has a build section,
    ``checked`` whether the Compose file gives it a health check (an image may have one, too), ``addresses`` its fixed
    addresses, ``stop_grace_period`` as Compose writes it ("1m30s"; empty: 10 s), ``attached`` the services that live in
    its network.
    """

    name: str
    image: str = ""
    built: bool = False
    replicas: int = 1
    mode: str = ""
    container_name: str = ""
    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()
    devices: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    network_mode: str = ""
    addresses: tuple[str, ...] = ()
    checked: bool = False
    stop_grace_period: str = ""
    attached: tuple[str, ...] = ()


def read_services(outline: str) -> tuple[Service, ...]:
    """The services in the outline that the host sends, by name; none for an empty text. Raises DeployFailed."""
    if not outline.strip():
        return ()
    try:
        given = json.loads(outline)["services"]
        services = {name: _service(name, given[name]) for name in sorted(given)}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        message = "the host's Docker Compose renders the project in a form that deployer does not know"
        raise DeployFailed(
            message, hint="Look at `docker compose config --format json`, and update Compose."
        ) from error
    users: dict[str, list[str]] = {}
    for service in services.values():
        kind, _, host = service.network_mode.partition(":")
        if kind == "service":
            users.setdefault(host, []).append(service.name)
    return tuple(_with_attached(service, tuple(users.get(name, ()))) for name, service in services.items())


def obstacles(service: Service) -> tuple[str, ...]:
    """Why a second container of ``service`` cannot run beside the first; each with what to do. None: it can roll."""
    found = [*_naming(service), *_networking(service), *_running(service)]
    return tuple(f"{reason}; {mend}" for reason, mend in found)


def remarks(service: Service) -> tuple[str, ...]:
    """What only the application's author can judge about two containers at the same time."""
    shared = [volume.source for volume in service.volumes if _shared(volume)]
    unnamed = [volume.target for volume in service.volumes if volume.kind == "volume" and not volume.source]
    said = []
    if shared:
        said.append(
            f"{service.name}: during a roll, old and new containers both write to {_list(shared)}: good for uploads, "
            "not for a database file such as SQLite's. Add :ro where it only reads"
        )
    if unnamed:
        said.append(
            f"{service.name}: its volume at {_list(unnamed)} has no name, so a roll's new containers start with an "
            "empty one: name it if its contents matter"
        )
    if service.devices:
        said.append(
            f"{service.name}: during a roll, two containers open {_list(service.devices)}: not every device allows it"
        )
    return tuple(said)


def cautions(services: Iterable[Service], rolled: Collection[str], unset: Collection[str]) -> tuple[str, ...]:
    """What to tell before the services named in ``rolled`` are replaced beside the old ones; none of it is an error.

    ``unset`` are the variables that the Compose file uses and that are not set where deployer runs Compose.
    """
    said = [remark for service in services if service.name in rolled for remark in remarks(service)]
    if unset and rolled:
        said.append(
            f"the Compose file uses {_list(sorted(unset))}, not set where deployer runs docker compose: what it starts "
            "gets an empty value. Write it into .env beside the Compose file if `up` has it from elsewhere"
        )
    return tuple(said)


def _naming(service: Service) -> list[tuple[str, str]]:
    found = []
    if service.container_name:
        found.append(
            (
                f"it has `container_name: {service.container_name}`, and no two containers can have one name",
                f"remove that line (other containers reach the service as {service.name})",
            )
        )
    if service.image.endswith(":") or (not service.image and not service.built):
        found.append(
            (
                f'its image is "{service.image}", because a variable in the Compose file is not set for `docker compose`',
                "use a fixed tag that the build gives too, such as :latest, or write the variable into .env on the host",
            )
        )
    return found


def _networking(service: Service) -> list[tuple[str, str]]:
    found = []
    if ports := [port for port in service.ports if not _room(port, service.replicas)]:
        listed = _list([f"{port.published}:{port.target}" for port in ports])
        found.append(
            (
                f"it publishes the host's port {listed}, and no two containers can listen there",
                "remove `ports` and let the proxy reach it over a network that both are in",
            )
        )
    kind, _, whose = service.network_mode.partition(":")
    if kind == "host":
        found.append(
            (
                "it has `network_mode: host`, so the old and the new one would listen on the same ports",
                "give it a network",
            )
        )
    elif kind in {"none", "service", "container"}:
        reason = f"in {whose}'s network" if whose else "without a network"
        found.append(
            (f"it runs {reason} (`network_mode`), where no proxy reaches it by a name of its own", "give it a network")
        )
    if service.addresses:
        reason = f"it has the fixed address {_list(service.addresses)}, and no two containers can have one address"
        found.append((reason, "remove it and use the service's name"))
    if service.attached:
        reason = (
            f"{_list(service.attached)} runs in its network (`network_mode: service:{service.name}`) and would lose it"
        )
        found.append((reason, "give that one a network of its own"))
    return found


def _running(service: Service) -> list[tuple[str, str]]:
    found = []
    if service.mode not in {"", "replicated"}:
        reason = f"it has `deploy.mode: {service.mode}`, which has no number of replicas"
        found.append((reason, "remove that line, or use replicated"))
    if service.replicas == 0:
        found.append(("it has no replicas (`replicas: 0`)", "give it one"))
    if _base(service.image) in DATABASES:
        found.append(
            (
                f"it is a database ({service.image}): two of them at the same time ruin or refuse the same data",
                "take it out of `roll`: a deploy leaves a service alone whose image and configuration stay the same",
            )
        )
    return found


def _shared(volume: Volume) -> bool:
    return volume.kind in {"bind", "volume"} and bool(volume.source) and not volume.read_only


def _room(port: Port, replicas: int) -> bool:
    """Whether twice the replicas find a port."""
    first, _, last = port.published.partition("-")
    if not first or first == "0":
        return True
    return bool(last) and first.isdigit() and last.isdigit() and int(last) - int(first) + 1 >= 2 * replicas


def _base(image: str) -> str:
    """The last part of a reference, without tag and digest (https://github.com/distribution/reference)."""
    return re.sub(r"[:@].*", "", image.rpartition("/")[2])


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _with_attached(service: Service, attached: tuple[str, ...]) -> Service:
    return replace(service, attached=attached) if attached else service


def _service(name: str, given: Mapping[str, Any]) -> Service:
    deploy = given.get("deploy") or {}
    networks = given.get("networks") or {}
    health = given.get("healthcheck") or {}
    replicas = deploy.get("replicas", given.get("scale"))
    fixed = [given.get("mac_address")]
    for network in networks.values():
        fixed += [(network or {}).get(key) for key in ("ipv4_address", "ipv6_address", "mac_address")]
    return Service(
        name=name,
        image=given.get("image") or "",
        built=bool(given.get("build")),
        replicas=1 if replicas is None else int(replicas),
        mode=deploy.get("mode") or "",
        container_name=given.get("container_name") or "",
        ports=tuple(
            Port(str(port.get("published") or ""), str(port["target"]), port.get("protocol") or "tcp")
            for port in given.get("ports") or ()
        ),
        volumes=tuple(
            Volume(
                volume["type"], volume.get("source") or "", volume.get("target") or "", bool(volume.get("read_only"))
            )
            for volume in given.get("volumes") or ()
        ),
        devices=tuple(_device(device) for device in given.get("devices") or ()),
        networks=tuple(networks),
        network_mode=given.get("network_mode") or "",
        addresses=tuple(address for address in fixed if address),
        checked=bool(health) and not health.get("disable"),
        stop_grace_period=given.get("stop_grace_period") or "",
    )


def _device(given: Any) -> str:
    """Compose 2.30 and later write a mapping, earlier ones ``/dev/x:/dev/y:rwm``."""
    return str(given["source"]) if isinstance(given, Mapping) else str(given).partition(":")[0]
