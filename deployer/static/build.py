"""Running the user's build command, here or in a container, with its output as it comes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deployer.child import run_child, without_secrets
from deployer.command import build_argv
from deployer.errors import DeployFailed
from deployer.ports import Reporter
from deployer.static.container import Engine, container_for

__all__ = ["run_build", "run_build_in_image"]


def run_build(command: str, directory: Path, environment: Mapping[str, str], reporter: Reporter) -> None:
    """Run ``command`` with ``sh`` in ``directory``; it does not see deployer's secrets.

    Raises DeployFailed with its last lines when it fails.
    """
    ended = run_child(build_argv(command), directory, without_secrets(environment), reporter.output)
    if ended.status != 0:
        message = f"the build command {command!r} {ended.how}; nothing was deployed"
        raise DeployFailed(message, hint="\n".join(ended.last))


def run_build_in_image(
    command: str, image: str, directory: Path, source: Path, environment: Mapping[str, str], reporter: Reporter
) -> None:
    """Run ``command`` with the ``sh`` of a container of ``image``, which sees the checkout around ``directory``.

    What it makes belongs to the caller. Of ``environment`` it gets nothing but what names the commit; the engine's
    client gets it all but deployer's secrets. Raises DeployFailed: no engine, no such image, the build's last lines;
    InvalidInput when the container could not write ``source``.
    """
    visible = without_secrets(environment)
    container = container_for(directory, source)
    engine = Engine.find(visible)
    engine.ensure(image, directory, reporter)
    ended = run_child(
        engine.run_argv(container, image, command, visible),
        directory,
        visible,
        reporter.output,
        stop=lambda: engine.kill(container),
    )
    if ended.status != 0:
        message = f"the build command {command!r} in {image} {ended.how}; nothing was deployed"
        raise DeployFailed(message, hint="\n".join(ended.last))
