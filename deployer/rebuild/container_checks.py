"""What `deployer check` says of Docker, the Compose project and the services that are to roll. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from deployer.command import quote
from deployer.config import Config
from deployer.errors import DeployFailed
from deployer.finding import Finding, error, failure, fine, warning
from deployer.premises import Seen, size_text
from deployer.rebuild.facts import Facts
from deployer.rebuild.roll_checks import roll_findings
from deployer.rebuild.services import Service, read_services
from deployer.rebuild.space import check_space
from deployer.release import short

__all__ = ["container_findings"]

COMPOSE = "sudo apt-get install docker-compose-plugin (or docker-compose-v2, docker-compose)"
ILL = frozenset({"restarting", "paused", "dead", "removing"})


def container_findings(config: Config, seen: Seen, facts: Facts) -> Iterator[Finding]:
    """From the Compose file to what runs; one line where there is no such file, and none without a checkout."""
    if not facts.compose_file:
        yield from _without_file(config, facts)
        return
    docker = _docker(seen, facts)
    yield docker
    if facts.docker != "ok":
        return
    try:
        services = read_services(facts.rendered)
    except DeployFailed as reason:
        yield failure("compose", reason, "docker compose config --format json")
        return
    yield from _compose(config, facts)
    if not facts.rendered:
        return
    yield _containers(config, facts)
    yield from roll_findings(config, facts, services)
    yield from _space(config, facts, services)
    yield from _lost(facts)


def _without_file(config: Config, facts: Facts) -> Iterator[Finding]:
    if facts.compose_error:
        found, _, mend = facts.compose_error.partition(": ")
        yield error("compose", found, mend or "name the Compose file: --compose-file FILE")
    elif facts.checkout == "yes" and config.rebuild.roll:
        found = f"{facts.path} has no Compose file, so there is nothing to roll"
        yield error("compose", found, "name it: --compose-file FILE; or take rebuild.roll away")
    elif facts.checkout == "yes":
        yield fine("compose", f"{facts.path} has no Compose file: no images are kept, and a rollback builds anew")


def _docker(seen: Seen, facts: Facts) -> Finding:
    said = f": {text}" if (text := facts.reply.text("docker_said")) else ""
    match facts.docker:
        case "ok":
            return fine("docker", f"Docker {facts.reply.text('docker_version')}")
        case "denied":
            mend = f"sudo usermod -aG docker {quote(seen.user)}, for the next login (that is as much as root's rights)"
            return error("docker", f"{seen.user} may not use the Docker engine", mend)
        case "none":
            return error(
                "docker",
                "Docker is not installed",
                "sudo apt-get install docker.io, or https://docs.docker.com/engine/install/",
            )
    return error("docker", f"the Docker engine does not answer{said}", "sudo systemctl start docker")


def _compose(config: Config, facts: Facts) -> Iterator[Finding]:
    if not facts.compose:
        found = f"Docker Compose is not installed, and there is {facts.compose_file}"
        if config.rebuild.roll:
            yield error("compose", found, COMPOSE)
        else:
            yield warning("compose", f"{found}: no images are kept, and a rollback builds anew", COMPOSE)
        return
    if facts.compose_error and facts.compose.startswith("1."):
        found = f"Compose {facts.compose} is too old to replace services without downtime"
        yield (error if config.rebuild.roll else warning)("compose", found, COMPOSE)
    elif facts.compose_error:
        look = f"on the host: docker compose -f {quote(facts.compose_file)} config --quiet"
        yield error("compose", " ".join(facts.compose_error.split()), look)
    else:
        yield fine("compose", f"Compose {facts.compose}, {facts.compose_file}, project {facts.project}")
    for text in facts.reply.every("warning"):
        found, _, mend = text.rpartition("; ")
        yield warning("compose", found or text, mend)


def _containers(config: Config, facts: Facts) -> Finding:
    mend = "on the host: docker logs {0}"
    for each in facts.containers:
        if each.state in ILL or each.health == "unhealthy":
            state = f"{each.state}, {each.health}" if each.health != "none" else each.state
            return warning("containers", f"{each.name} is {state}", mend.format(quote(each.name)))
    running = [each.service for each in facts.containers if each.state == "running"]
    for rolled in config.rebuild.services:
        stopped = next((each for each in facts.containers if each.service == rolled.name), None)
        if stopped and rolled.name not in running:
            return warning("containers", f"{stopped.name} is {stopped.state}", mend.format(quote(stopped.name)))
    if not running and facts.live:
        return warning("containers", f"none runs, though {short(facts.live)} is live", "deployer run")
    if not running:
        return fine("containers", "none runs yet")
    counted = [f"{name} ({count})" if (count := running.count(name)) > 1 else name for name in dict.fromkeys(running)]
    return fine("containers", f"running: {', '.join(counted)}")


def _space(config: Config, facts: Facts, services: tuple[Service, ...]) -> Iterator[Finding]:
    if facts.reply.raw("docker_free_kilobytes") is None:
        return
    try:
        check_space(facts.reply, services, [rolled.name for rolled in config.rebuild.services])
    except DeployFailed as reason:
        yield failure("docker_disk", reason, "docker system df; docker image prune; docker builder prune")
        return
    free, root = facts.reply.number("docker_free_kilobytes"), facts.reply.text("docker_root")
    yield fine("docker_disk", f"{size_text(free)} free for images in {root}")


def _lost(facts: Facts) -> Iterator[Finding]:
    lost: dict[str, list[str]] = {}
    for text in facts.reply.every("lost"):
        release, _, service = text.partition(" ")
        lost.setdefault(release, []).append(service)
    for release, services in lost.items():
        found = f"the images of {short(release)} are gone ({', '.join(services)}): going back to it builds them anew"
        yield warning("images", found, "use docker image prune without --all, which keeps the images of kept releases")
