"""A container for one build: the arguments of Docker or Podman, and what they say when something is missing.

Sources: the references of ``docker run`` and ``podman run``; Git's ``gitrepository-layout`` for where a checkout ends.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deployer.child import run_child
from deployer.command import build_argv
from deployer.errors import DeployFailed, InvalidInput
from deployer.ports import Reporter

__all__ = ["Container", "Engine", "container_for"]

PASSED_ON = ("GITHUB_REF", "GITHUB_REF_NAME", "GITHUB_REPOSITORY", "GITHUB_SHA", "SOURCE_DATE_EPOCH")
"""The caller's variables that a build in a container sees: what is built, and nothing of where."""
GIVEN = {
    "HOME": "/tmp",  # noqa: S108  # the container's own: the caller's uid has no home there
    # Git refuses a checkout of another user; in the container there is only this one.
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}
ANSWER_SECONDS = 30.0
KILL_SECONDS = 2.0
_INSTALL = (
    "Install Docker Engine (package docker.io on Debian and Ubuntu) or podman; "
    "or leave static.build_image out, and install what the build needs on this machine."
)


@dataclass(frozen=True, slots=True)
class Container:
    """One container: its name, the directories that it shares with this machine under the same paths, and its own."""

    name: str
    mounts: tuple[Path, ...]
    directory: Path


def container_for(directory: Path, source: Path) -> Container:
    """The container for a build in ``directory``: it shares the whole Git checkout, or else the directory alone.

    Raises InvalidInput when ``source`` lies elsewhere: what the build writes there would be gone with the container.
    """
    directory = _plain(directory)
    checkout = next((each for each in (directory, *directory.parents) if (each / ".git").exists()), directory)
    if not _plain(source).is_relative_to(checkout):
        message = (
            f"static.source {str(source)!r} lies outside {str(checkout)!r}, which is all that static.build_image sees"
        )
        raise InvalidInput(message, hint="Let the build write into the checkout, or leave static.build_image out.")
    return Container(f"deployer-build-{secrets.token_hex(6)}", (checkout, *_repository(checkout)), directory)


def _repository(checkout: Path) -> Iterator[Path]:
    """Where the repository of a worktree or submodule is: outside of it, and named in a file."""
    with contextlib.suppress(OSError):
        kind, _, place = (checkout / ".git").read_text("utf-8").strip().partition(": ")
        if kind == "gitdir":
            own = checkout / place
            shared = own / "commondir"
            common = own / shared.read_text("utf-8").strip() if shared.exists() else own
            yield _plain(common)


def _plain(path: Path) -> Path:
    """Absolute and without "..", but with its links: the container gets the same path."""
    return Path(os.path.normpath(path.absolute()))


@dataclass(frozen=True, slots=True)
class Engine:
    """The program that runs containers, with its environment. ``user`` is the caller, as a container must name it."""

    program: str
    podman: bool
    user: str
    environment: Mapping[str, str]

    @classmethod
    def find(cls, environment: Mapping[str, str]) -> Self:
        """Docker, or Podman where there is no Docker. Raises DeployFailed when there is none, or it does not answer."""
        path = environment.get("PATH")
        program = shutil.which("docker", path=path) or shutil.which("podman", path=path)
        if program is None:
            message = "static.build_image needs docker or podman, and this machine has neither; nothing was deployed"
            raise DeployFailed(message, hint=_INSTALL)
        # Podman also comes under Docker's name.
        podman = "podman" in _ask(environment, program, "--version").stdout
        wanted = "{{.Host.Security.Rootless}}" if podman else "{{.ServerVersion}} {{.SecurityOptions}}"
        answer = _ask(environment, program, "info", "--format", wanted)
        # Old clients of Docker succeed without a daemon, and have no version to tell then.
        if answer.returncode != 0 or answer.stdout.startswith(" "):
            reason = " ".join(answer.stderr.split()[-60:])
            message = f"static.build_image needs {program}, which does not answer; nothing was deployed: {reason}"
            hint = "Start Docker (systemctl start docker), and see that this user may use it (group docker)."
            raise DeployFailed(message, hint="See what `podman info` says." if podman else hint)
        # A daemon without root takes its container's root for the caller; Podman is told below.
        rootless = not podman and "rootless" in answer.stdout
        return cls(program, podman, "0:0" if rootless else f"{os.getuid()}:{os.getgid()}", environment)

    def ensure(self, image: str, directory: Path, reporter: Reporter) -> None:
        """Fetch the image unless it is here. Raises DeployFailed with the engine's last lines."""
        if _ask(self.environment, self.program, "image", "inspect", image).returncode == 0:
            return
        ended = run_child((self.program, "pull", image), directory, self.environment, reporter.output)
        if ended.status != 0:
            message = f"static.build_image {image!r} is not on this machine and cannot be pulled; nothing was deployed"
            raise DeployFailed(message, hint="\n".join((*ended.last, "See its name, and log in where it is private.")))

    def run_argv(
        self, container: Container, image: str, command: str, environment: Mapping[str, str]
    ) -> tuple[str, ...]:
        """The arguments that run a user's command line in the container, whatever the image's own entry point."""
        shell, *rest = build_argv(command)
        passed = [name for name in PASSED_ON if name in environment]
        return (
            self.program,
            "run",
            "--rm",
            "--pull=never",
            f"--name={container.name}",
            f"--user={self.user}",
            # Without --init, signals would not reach a shell that is process 1. Podman needs another package for it.
            *(("--userns=keep-id", "--security-opt=label=disable") if self.podman else ("--init",)),
            *(f"--mount={_mount(path)}" for path in container.mounts),
            f"--workdir={container.directory}",
            *(f"--env={name}={value}" for name, value in GIVEN.items()),
            # By name only: the client takes the values from its own environment.
            *(f"--env={name}" for name in passed),
            f"--entrypoint={shell}",
            image,
            *rest,
        )

    def kill(self, container: Container) -> None:
        """End what is left of the container; it may be gone."""
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            _ask(self.environment, self.program, "kill", container.name, seconds=KILL_SECONDS)


def _mount(path: Path) -> str:
    """A bind mount as the comma-separated values that both engines read, so that any path can be told."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(("type=bind", f"source={path}", f"target={path}"))
    return line.getvalue()


def _ask(
    environment: Mapping[str, str], *arguments: str, seconds: float = ANSWER_SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run the engine for an answer. One that cannot be run, or says nothing in time, is an answer of failure."""
    try:
        return subprocess.run(
            arguments,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(arguments, 1, "", str(error))
