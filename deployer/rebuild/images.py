"""What becomes of the images that services run, in words. All pure."""

from __future__ import annotations

from collections.abc import Iterable

from deployer.rebuild.facts import Facts

__all__ = ["told_images"]

_LENGTH = 12
"""Digits of an identifier, as Docker shows them."""


def told_images(facts: Facts, images: Iterable[str]) -> tuple[str, ...]:
    """A line for each service whose image is another one from now on; one line says so where none is.

    ``facts`` tell what ran before, ``images`` are texts ``SERVICE IDENTIFIER REFERENCE …``, the reference as far as known.
    """
    place = f"{facts.host}: " if facts.host else ""
    told = []
    wanted = [(*text.split(" "), "", "")[:3] for text in images]
    for service, identifier, reference in wanted:
        before = _before(facts, service)
        if identifier not in before:
            old = " and ".join(map(_short, before)) or "none"
            told.append(f"{place}image of {service}: {old} → {_short(identifier)}{f' ({reference})' * bool(reference)}")
    if wanted and not told:
        told.append(f"{place}no image has changed")
    return tuple(told)


def _before(facts: Facts, service: str) -> tuple[str, ...]:
    """What the service runs; where it does not run, what its live release has been recorded with."""
    running = [each.image for each in facts.containers if each.service == service and each.state == "running"]
    return tuple(dict.fromkeys(running or [image for name, image in facts.live_images if name == service]))


def _short(identifier: str) -> str:
    return identifier.removeprefix("sha256:")[:_LENGTH]
