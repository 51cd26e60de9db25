"""What is right by itself but not together: rules on several keys, for the strategy that was chosen."""

from __future__ import annotations

from deployer.config.keys import KeyPath
from deployer.config.tables import Settings
from deployer.errors import InvalidInput

__all__ = ["agree"]


def agree(settings: Settings, strategy: str) -> None:
    """Refuse settings that contradict each other. Raises InvalidInput."""
    if settings.get(("health", "contains")) and not settings.get(("url",)) and not settings.get(("health", "url")):
        raise InvalidInput("health.contains needs a URL to look at", hint="give url or health.url")
    if strategy == "static":
        _agree_static(settings)
    elif strategy == "rebuild":
        _agree_rebuild(settings)


def _agree_static(settings: Settings) -> None:
    if settings.get(("static", "build_image")) and not settings.get(("static", "build")):
        hint = "give static.build (--build), or an empty static.build_image (--build-image '') to build nothing"
        raise InvalidInput("static.build_image needs a command to run in it", hint=hint)


def _agree_rebuild(settings: Settings) -> None:
    directory: KeyPath = ("traefik", "directory")
    asked: tuple[KeyPath, ...] = (("traefik", "api"), ("traefik", "entry_point"))
    named = [".".join(path) for path in (directory, *asked) if settings.get(path)]
    if named and not settings.get(("rebuild", "roll")):
        raise InvalidInput(
            f"{named[0]} needs rebuild.roll: Traefik is only told of containers that are replaced without downtime",
            hint='give the Compose services and their ports, such as roll = ["web:80"] (--roll web:80), '
            "or leave [traefik] out",
        )
    if named and not settings.get(directory):
        raise InvalidInput(
            f"{named[0]} needs traefik.directory, where Traefik is told what to do",
            hint="give the directory on the server that Traefik watches (--traefik-directory)",
        )
    if named and not any(settings.get(path) for path in asked):
        raise InvalidInput(
            "traefik.directory needs traefik.api or traefik.entry_point, to see that Traefik has followed",
            hint='give one, such as api = "http://127.0.0.1:8080" (--traefik-api), as the server itself reaches it',
        )
