"""A repository with a workflow that uses the action, and ways to run it: the runner `act`, or the step's own shell.

``act`` runs on this machine itself, without containers. It copies the workspace, as a checkout would, and it sends no
signals for a cancelled job; those go to the step's shell, started as the runner starts it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import yaml

from deployer.action.inputs import INPUTS, variable_of
from tests.conftest import need
from tests.sshd import Sshd

__all__ = ["SECONDS", "USES", "Ran", "Workspace", "cancel", "login", "plain", "revealed", "secrets"]

ROOT = Path(__file__).resolve().parents[2]
USES = "./.github/actions/deployer"
SECONDS = 240
_PARTS = ("action.yml", "action", "deployer", "requirements/action.txt")
# The runner empties the file before each step: what is written into a pipe stays.
_PIPE = 'ln -sf "$RESULTS/summary" "$GITHUB_STEP_SUMMARY"'
_TOLD = """\
printf '%s' "$OUTPUTS" >"$RESULTS/outputs.json"
printf '%s' "$OUTCOME" >"$RESULTS/outcome"
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """How the step ended, and what it left: its log, its outputs and its part of the job's summary."""

    outcome: str
    log: str
    outputs: Mapping[str, str]
    summary: str

    def succeeded(self) -> Ran:
        """Itself, if the step was a success."""
        assert self.outcome == "success", self.log
        return self

    def failed(self, *words: str) -> Ran:
        """Itself, if the step failed, said all ``words`` where people look, and had no traceback.

        This runner may lose what a step that ends at once has printed last; its files are whole. What only the log is to
        say is asked of :meth:`Workspace.in_shell`.
        """
        assert self.outcome == "failure", self.log
        assert "Traceback" not in self.log
        told = "\n".join((self.log, self.summary, *self.outputs.values()))
        for word in words:
            assert word in told, f"{word!r} is not in:\n{told}"
        return self


class Workspace:
    """The repository in ``directory``, with the site in ``public``.

    ``environment`` is what the job gets beside its own, ``runner`` what the runner says otherwise than usual.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "workspace"
        self.results = directory / "results"
        self.home = directory / "runner"
        self.environment: dict[str, str] = {}
        self.runner: dict[str, str] = {}
        for made in (self.directory / "public", self.results, self.home):
            made.mkdir(parents=True)
        self.write("public/index.html", "one\n")
        action = self.directory / USES
        for part in _PARTS:
            source, target = ROOT / part, action / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, target)
        self.git("init", "--quiet", "--initial-branch=main")

    def write(self, name: str, text: str) -> Path:
        """Write one file of the repository."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def git(self, *arguments: str) -> str:
        """What git prints in the repository."""
        identity = ("-c", "user.name=Anna", "-c", "user.email=anna@example.org")
        return subprocess.run(
            ["git", *identity, *arguments], cwd=self.directory, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self) -> str:
        """Commit everything; the new commit."""
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--message", "change")
        return self.git("rev-parse", "HEAD")

    # --- by the runner ---------------------------------------------------------------------------------------------------

    def run(
        self,
        inputs: Mapping[str, str],
        *,
        secrets: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        event: str = "push",
    ) -> Ran:
        """Run a workflow that uses the action once, with ``before`` as commands of earlier steps.

        An input's value may be an expression, such as ``${{ secrets.KEY }}``.
        """
        steps: list[dict[str, Any]] = [
            {"uses": "actions/checkout@v4"},
            {"run": _PIPE, "env": {"RESULTS": str(self.results)}},
            *({"run": command} for command in before),
            {"id": "deploy", "uses": USES, "with": dict(inputs), "continue-on-error": True},
            {"run": _TOLD, "env": {"RESULTS": str(self.results), **_expressions()}},
        ]
        with _pipe(self.results / "summary") as summary:
            log = self.act(steps, secrets=secrets, event=event)
            text = summary.read() or b""
        outputs = json.loads((self.results / "outputs.json").read_text("utf-8") or "{}")
        return Ran((self.results / "outcome").read_text("utf-8"), log, outputs, text.decode())

    def act(
        self, steps: Sequence[Mapping[str, Any]], *, secrets: Mapping[str, str] | None = None, event: str = "push"
    ) -> str:
        """Run a workflow of these steps, which has to succeed; its log."""
        # pip puts it beside the interpreter, which need not be in PATH.
        act = shutil.which("act", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))
        need("act", "to run the action as GitHub's runner does", present=act is not None)
        job = {"runs-on": "ubuntu-latest", "env": self.environment, "steps": list(steps)}
        self.write(".github/workflows/deploy.yml", yaml.safe_dump({"on": [event], "jobs": {"deploy": job}}))
        self.commit()
        # Not by variables, which the steps would see: this runner hands its own on to them.
        known = self.results / "secrets.env"
        known.write_text("".join(f"{name}={_quoted(text)}\n" for name, text in (secrets or {}).items()), "utf-8")
        done = subprocess.run(
            [
                *(str(act), event, "-P", "ubuntu-latest=-self-hosted", f"--secret-file={known}"),
                *(f"--env={name}={text}" for name, text in self.runner.items()),
            ],
            cwd=self.directory,
            env=self.outside(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def outside(self) -> dict[str, str]:
        """The runner's own environment: a home of its own, and none of what the tests themselves were given."""
        kept = {
            name: text for name, text in os.environ.items() if not name.startswith(("DEPLOYER_", "GITHUB_", "PYTHON"))
        }
        # The interpreter that runs the tests is fit, but only outside its environment has it pip, as a runner's has.
        path = f"{Path(sys.base_prefix, 'bin')}{os.pathsep}{kept.get('PATH', os.defpath)}"
        return kept | {"HOME": str(self.home), "XDG_CACHE_HOME": str(self.home), "PATH": path}

    # --- by the step's own shell -----------------------------------------------------------------------------------------

    @contextmanager
    def shell(self, inputs: Mapping[str, str], **variables: str) -> Iterator[subprocess.Popen[str]]:
        """The step's shell, started as the runner does (`bash --noprofile --norc -e -o pipefail FILE`), and its output."""
        content: dict[str, Any] = yaml.safe_load((self.directory / USES / "action.yml").read_text("utf-8"))
        script = self.results / "step.sh"
        script.write_text(content["runs"]["steps"][0]["run"] + "\n", "utf-8")
        defaults = {name: str(each.get("default", "")) for name, each in content["inputs"].items()}
        files = {
            name: str(self.results / file)
            for name, file in (("GITHUB_OUTPUT", "output"), ("GITHUB_STEP_SUMMARY", "summary.md"))
        }
        environment = self.outside() | self.environment | files | variables
        environment |= {variable_of(name): {**defaults, **inputs}[name] for name in INPUTS}
        environment |= {"GITHUB_ACTION_PATH": str(self.directory / USES), "GITHUB_WORKSPACE": str(self.directory)}
        environment |= {"RUNNER_TEMP": str(self.home), "GITHUB_ACTIONS": "true", "RUNNER_OS": "Linux"} | variables
        with subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @property
    def summary(self) -> str:
        """What runs by :meth:`in_shell` have added to the job's summary."""
        file = self.results / "summary.md"
        return file.read_text("utf-8") if file.exists() else ""

    def in_shell(self, inputs: Mapping[str, str], **variables: str) -> tuple[int, str]:
        """The step's exit code and log, run to its end in its shell."""
        with self.shell(inputs, **variables) as process:
            said, _ = process.communicate(timeout=SECONDS)
        return process.returncode, said

    def refused(self, inputs: Mapping[str, str], *words: str, code: int, **variables: str) -> str:
        """The log of a run in the step's shell that has to fail, with one error line that holds all ``words``."""
        returned, said = self.in_shell(inputs, **variables)
        assert returned == code, said
        assert "Traceback" not in said
        (line,) = (line for line in said.splitlines() if line.startswith("::error"))
        for word in words:
            assert word in line, f"{word!r} is not in:\n{line}"
        return said


def login(sshd: Sshd, target: Path, **more: str) -> dict[str, str]:
    """What the blogger's workflow says, its secrets as such."""
    return {
        "app": "site",
        "host": "${{ secrets.SERVER_DOMAIN }}",
        "port": str(sshd.port),
        "username": "${{ secrets.SERVER_USER }}",
        "key": "${{ secrets.SERVER_KEY }}",
        "host-key": "${{ secrets.SERVER_HOST_KEY }}",
        "source": "public",
        "target": str(target),
        **more,
    }


def plain(sshd: Sshd, target: Path, **more: str) -> dict[str, str]:
    """The same inputs with the secrets' values, for the step's own shell."""
    return revealed(login(sshd, target, **more), sshd)


def revealed(inputs: Mapping[str, str], sshd: Sshd) -> dict[str, str]:
    """The inputs with the secrets' values in the place of their names."""
    given = dict(inputs)
    for name, text in secrets(sshd).items():
        given = {key: value.replace(f"${{{{ secrets.{name} }}}}", text) for key, value in given.items()}
    return given


def cancel(process: subprocess.Popen[str]) -> tuple[float, str]:
    """Cancel a step as GitHub's runner does, with twice its patience for busy machines; the seconds, and the log.

    That is SIGINT, 7.5 s later SIGTERM, and 2.5 s later the end.
    """
    began = time.monotonic()
    for number, patience in ((signal.SIGINT, 15.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 30.0)):
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            said, _ = process.communicate(timeout=patience)
            return time.monotonic() - began, said
    raise AssertionError("it has left something that holds its log open")


def secrets(sshd: Sshd) -> dict[str, str]:
    """The secrets that it names."""
    return {
        "SERVER_DOMAIN": "127.0.0.1",
        "SERVER_USER": sshd.user,
        "SERVER_KEY": sshd.key_file.read_text("ascii"),
        "SERVER_HOST_KEY": sshd.public(),
    }


@contextmanager
def _pipe(path: Path) -> Iterator[FileIO]:
    """A named pipe with room for every summary, to be read when all is written."""
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with FileIO(os.open(path, os.O_RDWR | os.O_NONBLOCK)) as pipe:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)
        yield pipe


def _quoted(text: str) -> str:
    """As the runner's file of secrets has texts of several lines."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\n", "\\n") + '"'


def _expressions() -> dict[str, str]:
    return {"OUTPUTS": "${{ toJSON(steps.deploy.outputs) }}", "OUTCOME": "${{ steps.deploy.outcome }}"}
