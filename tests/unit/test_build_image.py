"""A build in a container: what the engine is asked for, and what is said when something is missing.

The engine is a program that notes its arguments and really runs the command, with the variables that it was told to give.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deployer.errors import DeployFailed, InvalidInput
from deployer.static.build import run_build_in_image
from deployer.static.container import container_for
from tests.conftest import need
from tests.fakes import RecordedReports

ENGINE = """#!{python}
import json, os, sys
here = os.path.dirname(sys.argv[0])
answers = json.load(open(here + "/answers.json"))
with open(here + "/asked.jsonl", "a") as notes:
    notes.write(json.dumps([sys.argv, dict(os.environ)]) + "\\n")
name = os.path.basename(sys.argv[0])
out, err, code = answers.get(sys.argv[1], ["", "", 0])
if sys.argv[1] == "run" and not code:
    options = [each for each in sys.argv if each.startswith("--")]
    values = dict(each[2:].split("=", 1) for each in options if "=" in each and not each.startswith("--env"))
    given = [each[6:].partition("=") for each in options if each.startswith("--env=")]
    inside = {{name: value if equals else os.environ[name] for name, equals, value in given}} | {{"PATH": "/usr/bin:/bin"}}
    os.chdir(values["workdir"])
    shell = values["entrypoint"]
    os.execvpe(shell, [shell, *sys.argv[sys.argv.index(answers["image_name"]) + 1 :]], inside)
sys.stdout.write(out), sys.stderr.write(err)
sys.exit(code)
"""
DOCKER = {"--version": ["Docker version 28\n", "", 0], "info": ["28.2 [name=seccomp]\n", "", 0]}
PODMAN = {"--version": ["podman version 4.3.1\n", "", 0], "info": ["true\n", "", 0]}
IMAGE = "node:22-alpine"


class Machine:
    """A project and a PATH that holds the engines it is given."""

    def __init__(self, directory: Path) -> None:
        self.tools = directory / "tools"
        self.project = directory / "project"
        for made in (self.tools, self.project):
            made.mkdir()
        self.environment = {"PATH": str(self.tools), "HOME": "/home/me", "TOKEN": "t", "DEPLOYER_KEY": "secret"}
        self.reports = RecordedReports()

    def install(self, name: str, **answers: Any) -> None:
        program = self.tools / name
        program.write_text(ENGINE.format(python=sys.executable))
        program.chmod(0o755)
        (self.tools / "answers.json").write_text(json.dumps({"image_name": IMAGE} | answers))

    def build(self, command: str, directory: Path | None = None, source: Path | None = None) -> None:
        directory = directory or self.project
        source = source or self.project / "public"
        run_build_in_image(command, IMAGE, directory, source, self.environment, self.reports)

    @property
    def asked(self) -> list[tuple[list[str], dict[str, str]]]:
        """Each call's arguments, the program's file name first, and its variables."""
        calls = map(json.loads, (self.tools / "asked.jsonl").read_text().splitlines())
        return [([Path(arguments[0]).name, *arguments[1:]], variables) for arguments, variables in calls]

    @property
    def ran(self) -> list[str]:
        return next(arguments for arguments, _ in self.asked if arguments[1] == "run")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def options(arguments: list[str], name: str) -> list[str]:
    return [each.partition("=")[2] for each in arguments if each.startswith(f"--{name}=")]


def test_the_command_runs_in_the_image(machine: Machine) -> None:
    """As written, by its shell, with the caller's ids, in the workspace at the same path; its lines are passed on."""
    machine.install("docker", **DOCKER)
    machine.build("pwd && echo 'a  b' \"$HOME\" && echo built > page.html")
    assert machine.reports.said("output") == [str(machine.project), "a  b /tmp"]
    assert (machine.project / "page.html").read_text() == "built\n"
    ran = machine.ran
    assert ran[:4] == ["docker", "run", "--rm", "--pull=never"]
    assert "--init" in ran
    assert options(ran, "user") == [f"{os.getuid()}:{os.getgid()}"]
    assert options(ran, "mount") == [f"type=bind,source={machine.project},target={machine.project}"]
    assert ran[-4:-1] == ["--entrypoint=sh", IMAGE, "-c"]


def test_variables_are_what_names_the_commit(machine: Machine) -> None:
    """The build sees nothing else of the caller's, the client nothing of deployer's secrets, and no value is an argument."""
    machine.install("docker", **DOCKER)
    machine.environment |= {"GITHUB_SHA": "c0ffee", "SOURCE_DATE_EPOCH": "0", "GITHUB_TOKEN": "t"}
    machine.build("env | cut -d= -f1 | sort | tr '\\n' ' '; echo $GITHUB_SHA")
    (said,) = machine.reports.said("output")
    names = {*said.split()[:-1]} - {"PWD", "_", "SHLVL", "LC_CTYPE"}
    git = {"GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0"}
    assert names == {"GITHUB_SHA", "SOURCE_DATE_EPOCH", "HOME", "PATH", *git}
    assert said.split()[-1] == "c0ffee"
    assert not any("c0ffee" in argument for argument in machine.ran)
    assert all("DEPLOYER_KEY" not in variables and variables["TOKEN"] == "t" for _, variables in machine.asked)


def test_git_works_in_the_container(machine: Machine) -> None:
    """The whole checkout is shared, also where deploy.toml lies deeper, and whoever owns it."""
    git = need("git", "to make a checkout")
    directory = machine.project / "website"
    directory.mkdir()
    subprocess.run([git, "init", "--quiet", machine.project], check=True)
    machine.install("docker", **DOCKER)
    machine.build("pwd; git rev-parse --show-toplevel", directory=directory)
    assert machine.reports.said("output") == [str(directory), str(machine.project)]
    assert options(machine.ran, "mount") == [f"type=bind,source={machine.project},target={machine.project}"]


def test_a_worktree_comes_with_its_repository(machine: Machine, tmp_path: Path) -> None:
    """What its .git file points at lies elsewhere, and git needs it."""
    git = need("git", "to make a worktree")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([git, "init", "--quiet", machine.project], check=True)
    commit = [git, *identity, "commit", "--quiet", "--allow-empty", "--message", "first"]
    subprocess.run(commit, cwd=machine.project, check=True)
    tree = tmp_path / "tree"
    subprocess.run([git, "worktree", "add", "--quiet", tree], cwd=machine.project, check=True)
    container = container_for(tree, tree / "public")
    assert container.mounts == (tree, machine.project / ".git")


def test_a_source_elsewhere_is_refused(machine: Machine, tmp_path: Path) -> None:
    """What the container writes there would be gone with it."""
    machine.install("docker", **DOCKER)
    with pytest.raises(InvalidInput, match="lies outside"):
        machine.build("true", source=machine.project / ".." / "out")
    assert not (machine.tools / "asked.jsonl").exists()


def test_paths_with_commas_and_quotes(machine: Machine) -> None:
    """They are told as both engines read them, as comma-separated values."""
    machine.project = machine.project.parent / 'a,b "c": d'
    machine.project.mkdir()
    machine.install("docker", **DOCKER)
    machine.build("pwd")
    assert machine.reports.said("output") == [str(machine.project)]
    (fields,) = csv.reader(options(machine.ran, "mount"))
    assert fields == ["type=bind", f"source={machine.project}", f"target={machine.project}"]


def test_neither_docker_nor_podman(machine: Machine) -> None:
    """The message says what to install."""
    with pytest.raises(DeployFailed, match="docker or podman") as caught:
        machine.build("true")
    assert "docker.io" in caught.value.hint


def test_podman_where_there_is_no_docker(machine: Machine) -> None:
    """It keeps the caller's uid, and has no --init of its own."""
    machine.install("podman", **PODMAN)
    machine.build("echo built")
    assert machine.reports.said("output") == ["built"]
    assert machine.ran[0] == "podman"
    assert "--userns=keep-id" in machine.ran
    assert "--init" not in machine.ran


def test_podman_under_the_name_of_docker(machine: Machine) -> None:
    """It tells by its version what it is."""
    machine.install("docker", **PODMAN)
    machine.build("echo built")
    assert "--userns=keep-id" in machine.ran


def test_docker_without_root(machine: Machine) -> None:
    """There the container's root is the caller."""
    machine.install("docker", **DOCKER | {"info": ["28.2 [name=seccomp,profile=builtin name=rootless]\n", "", 0]})
    machine.build("true")
    assert options(machine.ran, "user") == ["0:0"]


@pytest.mark.parametrize(
    "answer", [["", "Cannot connect to the Docker daemon at x.\nIs it\nrunning?\n", 1], [" []\n", "Is it running?", 0]]
)
def test_a_daemon_that_does_not_run(machine: Machine, answer: list[Any]) -> None:
    """Old clients succeed without one, and have no version to tell."""
    machine.install("docker", **DOCKER | {"info": answer})
    with pytest.raises(DeployFailed, match="does not answer.*running") as caught:
        machine.build("true")
    assert "systemctl start docker" in caught.value.hint


def test_an_image_that_is_not_here_is_pulled(machine: Machine) -> None:
    """Its progress is shown like the build's lines."""
    machine.install("docker", **DOCKER, image=["", "no such image", 1], pull=["Pulling\n", "", 0])
    machine.build("echo built")
    assert machine.reports.said("output") == ["Pulling", "built"]


def test_an_image_that_cannot_be_pulled(machine: Machine) -> None:
    """The error names it, and repeats what the engine says."""
    machine.install("docker", **DOCKER, image=["", "", 1], pull=["", "Error: pull access denied\n", 1])
    with pytest.raises(DeployFailed, match=f"'{IMAGE}'.*cannot be pulled") as caught:
        machine.build("true")
    assert "pull access denied" in caught.value.hint


def test_a_build_that_fails(machine: Machine) -> None:
    """As without a container: its exit code and its last lines; an engine that cannot start one tells it there, too."""
    machine.install("docker", **DOCKER)
    with pytest.raises(DeployFailed, match=f"'echo no; exit 4' in {IMAGE} ended with exit code 4") as caught:
        machine.build("echo no; exit 4")
    assert caught.value.hint == "no"
    machine.install("docker", **DOCKER, run=["", "docker: sh: executable file not found", 127])
    with pytest.raises(DeployFailed, match="127") as caught:
        machine.build("true")
    assert "executable file not found" in caught.value.hint


def test_an_interrupt_kills_the_container(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name, when the engine's client is gone: it may have died before it could pass the signal on."""
    machine.install("docker", **DOCKER)

    def interrupt(_line: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(machine.reports, "output", interrupt)
    with pytest.raises(KeyboardInterrupt):
        machine.build("echo begun; sleep 301")
    (name,) = options(machine.ran, "name")
    assert machine.asked[-1][0] == ["docker", "kill", name]
