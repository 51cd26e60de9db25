"""Whether Docker's disk has room for the next images, judged by the ones that run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from deployer.errors import DeployFailed
from deployer.plan import Reply
from deployer.rebuild.services import Service

__all__ = ["check_space"]

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class _Image:
    service: str
    identifier: str
    size: int


def check_space(facts: Reply, services: Iterable[Service], rolled: Collection[str], host: str = "") -> None:
    """Raise DeployFailed when Docker's disk has less room than the next images are likely to take.

    That is the sum of the live images' sizes, each image once, of the services that the project builds or that are in
    ``rolled``. It counts layers that old and new image share, so it asks for more than most builds need. Nothing is
    checked where nothing runs yet, or where Docker's data is on another machine. ``host`` is its name among several.
    """
    if facts.raw("docker_free_kilobytes") is None:
        return
    free = facts.number("docker_free_kilobytes") * 1024
    built = {service.name for service in services if service.built} | set(rolled)
    images: dict[str, _Image] = {}
    for image in _live_images(facts):
        if image.service in built:
            images.setdefault(image.identifier, image)
    needed = sum(image.size for image in images.values())
    if needed <= free:
        return
    listed = ", ".join(f"{image.service} {_megabytes(image.size)}" for image in images.values())
    place = f"{host}: " if host else ""
    message = (
        f"{place}the disk with Docker's data ({facts.text('docker_root')}) has {_megabytes(free)} free, and the new images "
        f"may take {_megabytes(needed)}, as much as the live ones ({listed})"
    )
    hint = (
        "Look with `docker system df`, and free some: `docker image prune` and `docker builder prune` keep what runs."
    )
    raise DeployFailed(message, hint=hint)


def _live_images(facts: Reply) -> tuple[_Image, ...]:
    """The live services' images with their sizes in bytes, out of the facts ``image SERVICE ID REFERENCE SIZE``."""
    found = []
    for text in facts.every("image"):
        service, identifier, *_, size = text.split(" ")
        found.append(_Image(service, identifier, int(size) if size.isdigit() else 0))
    return tuple(found)


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:,.0f} MB"
