"""Which Docker engine the demo may use: the machine's, or one of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence

from demo.telling import Unexpected
from tests import parts
from tests.docker import Docker
from tests.engine import Engine

__all__ = ["borrowed_engine"]

_PULL_SECONDS = 120.0
_QUICK_SECONDS = 20.0


class _Borrowed(Docker):
    """The machine's engine: at the end it has what it had before."""

    def provide(self, *images: str) -> None:
        """Have these images: what is there, what a registry gives, or else what this machine's programs make."""
        for image in images:
            if image in self.provided or self.docker("images", "--quiet", image):
                continue
            if _said("docker", "--host", self.host, "pull", "--quiet", image, seconds=_PULL_SECONDS):
                self.provided.add(image)
            else:
                super().provide(image)


@contextlib.contextmanager
def borrowed_engine(images: Sequence[str], network: str, project: str) -> Iterator[tuple[Docker, str]]:
    """An engine, and what to call it, that has none of these images, nor the network, nor Compose projects of this prefix.

    It is the machine's, where it answers and nothing there is in the way, and else one of the demo's own. Raises
    Unexpected where there is none.
    """
    _need_programs()
    docker = _Borrowed(_host())
    if not docker.answers():
        why = "no Docker engine answers here"
    elif taken := _taken(docker, images, network, project):
        why = f"this machine's Docker engine has {taken} already"
    else:
        try:
            yield docker, "this machine's Docker engine"
        finally:
            _give_back(docker, images, network, project)
        return
    if os.geteuid() != 0 or parts.find("dockerd") is None:
        raise Unexpected(f"{why}, and only root can start one for the demo alone (with dockerd)")
    with Engine() as engine:
        yield engine, f"a Docker engine of the demo's own ({why})"


def _need_programs() -> None:
    for program in ("docker", "git", "make", "sshd", "busybox", "nginx", "wrk", "ldd"):
        if parts.find(program) is None:
            raise Unexpected(f"{program} is not installed; .ci/run lists the packages that this needs")
    for plugin in ("compose", "buildx"):
        if _said("docker", plugin, "version") is None:
            raise Unexpected(f"docker's plugin {plugin} is not installed; .ci/run lists the packages that this needs")


def _host() -> str:
    """Where the person's own docker command goes."""
    named = os.environ.get("DOCKER_HOST") or _said(
        "docker", "context", "inspect", "--format={{.Endpoints.docker.Host}}"
    )
    return named or "unix:///var/run/docker.sock"


def _taken(docker: Docker, images: Sequence[str], network: str, project: str) -> str:
    for image in images:
        if docker.docker("images", "--quiet", image):
            return f"an image {image}"
    if docker.docker("network", "ls", "--quiet", f"--filter=name=^{network}$"):
        return f"a network {network}"
    left = [name for name in docker.containers() if name.startswith(project)]
    return f"a container {left[0]}" if left else ""


def _give_back(docker: Docker, images: Sequence[str], network: str, project: str) -> None:
    """Remove what the demo has made; the deploys' own tags are deployer/APP/SERVICE:RELEASE."""
    for kind, remove in (("ps", ("rm", "--force", "--volumes")), ("network", ("network", "rm"))):
        listed = ("ps", "--all") if kind == "ps" else ("network", "ls")
        form = "--format={{.Names}}" if kind == "ps" else "--format={{.Name}}"
        names = [name for name in docker.docker(*listed, form, check=False).split() if name.startswith(project)]
        if names:
            docker.docker(*remove, *names, check=False)
    docker.docker("network", "rm", network, check=False)
    names = [image.partition(":")[0] for image in images]
    tagged = docker.docker("images", "--format={{.Repository}}:{{.Tag}}", check=False).split()
    made = [
        tag for tag in tagged if tag.partition(":")[0] in names or tag.startswith(("deployer/blog/", "deployer/site/"))
    ]
    if made or docker.provided:
        docker.docker("rmi", "--force", *made, *docker.provided, check=False)


def _said(*command: str, seconds: float = _QUICK_SECONDS) -> str | None:
    """What the command said; None when it failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
