"""A Docker engine as its client sees it, and images for it that no registry has to give."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from tests import parts
from tests.roots import pack

__all__ = ["APPLICATION", "Docker"]

APPLICATION = Path(__file__).parent / "application"


class Docker:
    """Says what is to be done to the engine at ``host``, which is what DOCKER_HOST has to be."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.provided: set[str] = set()

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment, with the engine as the one that docker talks to."""
        return {name: value for name, value in os.environ.items() if name != "DOCKER_CONTEXT"} | {
            "DOCKER_HOST": self.host
        }

    @property
    def sshd_config(self) -> tuple[str, ...]:
        """The line of sshd_config that lets a server's sessions use the engine."""
        return (f"SetEnv DOCKER_HOST={self.host}",)

    def docker(
        self, *arguments: str, archive: bytes | None = None, directory: Path | None = None, check: bool = True
    ) -> str:
        """What the client says to these arguments, which must succeed unless ``check`` is off."""
        program = parts.find("docker")
        assert program
        done = subprocess.run(
            [program, *arguments], input=archive, env=self.environment, cwd=directory, capture_output=True, check=False
        )
        assert not check or done.returncode == 0, done.stderr.decode("utf-8", "replace")
        return done.stdout.decode("utf-8", "replace").strip()

    def answers(self) -> bool:
        """Whether there is an engine."""
        return bool(self.docker("version", "--format={{.Server.Version}}", check=False))

    def compose(self, directory: Path, *arguments: str, check: bool = True) -> str:
        """``docker compose`` in a directory; stale output of a terminal is none."""
        return self.docker("compose", "--ansi=never", *arguments, directory=directory, check=check)

    def provide(self, *images: str) -> None:
        """Have these public images (alpine, busybox, python, nginx, traefik; any tag), made from this machine's programs."""
        for image in (name if ":" in name else f"{name}:latest" for name in images):
            if image in self.provided:
                continue
            archive, lines = pack(image)
            root = f"root/{image}"
            self.docker("import", "-", root, archive=archive)
            with tempfile.TemporaryDirectory() as folder:  # from its input, docker build leaves folders behind
                Path(folder, "Dockerfile").write_text(
                    "".join(f"{line}\n" for line in (f"FROM {root}", *lines)), "utf-8"
                )
                self.docker("build", "--quiet", f"--tag={image}", folder)
            self.provided |= {image, root}

    def application(
        self, *tags: str, version: str = "0", behaviour: str = "", checked: bool = False, kept: bool = False
    ) -> str:
        """Build the tests' application under these tags; the result is its image id.

        For ``behaviour`` see tests/application/server.py; ``checked`` gives it a health check. Images that are ``kept``
        survive ``clean``.
        """
        self.provide("python:3-alpine")
        tagged = [f"--tag={tag}" for tag in tags]
        chosen = [f"--build-arg={name}={value}" for name, value in (("VERSION", version), ("BEHAVIOUR", behaviour))]
        target = "--target=checked" if checked else "--target=plain"
        built = self.docker("build", "--quiet", target, *tagged, *chosen, ".", directory=APPLICATION)
        if kept:
            self.provided |= {tag if ":" in tag else f"{tag}:latest" for tag in tags}
        return built

    def address(self, container: str, network: str = "") -> str:
        """The container's address in this network (default: its first); the host reaches it."""
        form = "{{range $name, $net := .NetworkSettings.Networks}}{{$name}} {{$net.IPAddress}}\n{{end}}"
        lines = [line.split() for line in self.docker("inspect", f"--format={form}", container).splitlines() if line]
        return next(words[1] for words in lines if len(words) == 2 and network in {"", words[0]})

    def containers(self, *filters: str) -> list[str]:
        """The names of all containers, running or not, that these filters of ``docker ps`` let through; sorted."""
        chosen = [f"--filter={each}" for each in filters]
        return sorted(self.docker("ps", "--all", "--format={{.Names}}", *chosen).split())

    def clean(self) -> None:
        """Remove all containers, networks, volumes and images but those that ``provide`` has made or that are ``kept``."""
        if found := self.docker("ps", "--all", "--quiet").split():
            self.docker("rm", "--force", "--volumes", *found)
        self.docker("network", "prune", "--force")
        if volumes := self.docker("volume", "ls", "--quiet").split():
            self.docker("volume", "rm", "--force", *volumes)
        tagged = self.docker("images", "--format={{.Repository}}:{{.Tag}}").split()
        if extra := [image for image in tagged if image not in self.provided and "<none>" not in image]:
            self.docker("rmi", "--force", *extra)
        self.docker("image", "prune", "--force")
