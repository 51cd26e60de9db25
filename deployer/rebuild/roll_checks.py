"""What `deployer check` says of each service that is to be replaced without downtime. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from deployer.config import Config
from deployer.finding import Finding, error, fine, warning
from deployer.rebuild.facts import Facts
from deployer.rebuild.services import DATABASES, Service, cautions, obstacles

__all__ = ["roll_findings"]


def roll_findings(config: Config, facts: Facts, services: Sequence[Service]) -> Iterator[Finding]:
    """For each service of ``rebuild.roll``; one line for all where it is empty, and ``up`` replaces them."""
    if not config.rebuild.roll:
        if config.rebuild.up and services:
            yield _by_up(config, services)
        return
    known = {service.name: service for service in services}
    for rolled in config.rebuild.services:
        if rolled.name not in known:
            found = f"rebuild.roll names {rolled.name}, which is no service of the Compose file"
            yield error("roll", found, f"correct rebuild.roll (--roll); its services: {', '.join(known) or 'none'}")
        else:
            yield from _rolled(known[rolled.name], rolled.port, traefik=bool(config.traefik.directory))
    for caution in cautions(services, [rolled.name for rolled in config.rebuild.services], facts.reply.every("unset")):
        yield warning("roll", caution, f"see the service in {facts.compose_file}")


def _rolled(service: Service, port: int, *, traefik: bool) -> Iterator[Finding]:
    if reasons := obstacles(service):
        for reason in reasons:
            found, _, mend = reason.partition("; ")
            named = f"{service.name} cannot be replaced without downtime: {found}"
            yield error("roll", named, f"{mend}; or take it out of rebuild.roll, and `up` replaces it with a gap")
        return
    count = f"{service.replicas} replicas" if service.replicas != 1 else "1 replica"
    health = "with a health check" if service.checked else "without a health check in the Compose file"
    way = "by Traefik's files" if traefik else "by Compose's DNS, which promises less than Traefik's files"
    yield fine("roll", f"{service.name}:{port}, {count}, {health}, {way}")


def _by_up(config: Config, services: Sequence[Service]) -> Finding:
    """Most of what visitors miss in a deploy is avoidable, so it is worth a line."""
    up = config.rebuild.up
    judged = [(service, obstacles(service)) for service in services if not _is_database(service)]
    if not judged:
        return fine("roll", f"there are only databases, which `{up}` leaves alone while they stay the same")
    if able := [service.name for service, reasons in judged if not reasons]:
        found = f"nothing is in rebuild.roll: `{up}` replaces containers with a gap, and visitors notice"
        mend = f"name {' or '.join(able)} with the port that it listens on, such as --roll {able[0]}:80"
        return warning("roll", found, mend)
    found = f"no service can be replaced without downtime, so `{up}` does it with a gap"
    return warning("roll", found, "; ".join(f"{service.name}: {reasons[0]}" for service, reasons in judged))


def _is_database(service: Service) -> bool:
    return re.sub(r"[:@].*", "", service.image.rpartition("/")[2]) in DATABASES
