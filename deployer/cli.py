"""The command line: arguments in, exit code out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from deployer import __version__
from deployer.completion import SHELLS, completion_script
from deployer.errors import DeployerError, Interrupted
from deployer.leaving import leave
from deployer.usage import Commands, ConfiguredCommand, take_settings

if TYPE_CHECKING:
    from deployer.config import Config, Secrets

__all__ = ["main"]


@dataclass(frozen=True, slots=True)
class Arguments:
    """What every command gets: where the configuration is, what flags override, how to speak."""

    file: str
    environment: str
    json: bool
    quiet: bool
    verbose: bool
    flags: Mapping[str, object]

    def load(self) -> tuple[Config, Secrets]:
        """The configuration and the secrets. Raises InvalidInput."""
        from deployer.config import find, load, load_secrets

        here = Path.cwd()
        file = Path(self.file) if self.file else find(here)
        config = load(file, environment=self.environment, flags=self.flags, variables=os.environ, directory=here)
        return config, load_secrets(os.environ)


def _arguments(values: dict[str, Any]) -> Arguments:
    flags = take_settings(values)
    return Arguments(
        values.pop("file"),
        values.pop("environment"),
        values.pop("json_output"),
        values.pop("quiet"),
        values.pop("verbose"),
        flags,
    )


_ABOUT = """Deploy to the servers you own, and measure on every deploy whether a request was dropped.

\b
deployer init        write deploy.toml and a workflow for this repository
deployer check       find what is wrong before it matters
deployer run         deploy what deploy.toml says
deployer rollback    switch back to the previous release
"""


@click.group(
    cls=Commands,
    help=_ABOUT,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(__version__, package_name="deployer", message="deployer %(version)s")
def program() -> None:
    """Hold the commands."""


def _command(
    name: str, *parameters: click.Parameter, within: click.Group = program
) -> Callable[[Callable[..., int]], click.Command]:
    def register(function: Callable[..., int]) -> click.Command:
        def callback(**values: Any) -> NoReturn:
            arguments = _arguments(values)
            sys.exit(_guarded(arguments, lambda: function(arguments, **values)))

        command = ConfiguredCommand(name, callback=callback, help=function.__doc__, params=list(parameters))
        within.add_command(command)
        return command

    return register


_COMPLETION = """Print the script that completes commands, flags and environments in bash, zsh or fish.

\b
deployer completion bash >FILE, where your shell looks for FILE:
bash   ~/.local/share/bash-completion/completions/deployer
zsh    ~/.zfunc/_deployer, with ~/.zfunc in fpath before compinit
fish   ~/.config/fish/completions/deployer.fish
"""
_DRY_RUN = click.Option(["--dry-run"], is_flag=True, help="Read the host, write nothing, and show the plan.")
_RELEASE = click.Argument(["release"], required=False, default="")


@_command("run", _DRY_RUN)
def _run(arguments: Arguments, *, dry_run: bool) -> int:
    """Deploy: build, upload what changed, switch, look at the result, and go back if it is bad."""
    from deployer.running import run

    return run(arguments, dry=dry_run)


@_command("plan")
def _plan(arguments: Arguments) -> int:
    """Say what run would do, file by file and step by step, and change nothing."""
    from deployer.running import run

    return run(arguments, dry=True)


@_command("rollback", _RELEASE, _DRY_RUN)
def _rollback(arguments: Arguments, *, release: str, dry_run: bool) -> int:
    """Switch to the previous, or the named, kept release."""
    from deployer.running import rollback

    return rollback(arguments, release, dry=dry_run)


@_command("releases")
def _releases(arguments: Arguments) -> int:
    """List the kept releases, which is live, which are damaged."""
    from deployer.looking import show_releases

    return show_releases(arguments)


@_command("status")
def _status(arguments: Arguments) -> int:
    """Show the live release, the last deploy, the lock, disk space, health and interrupted work."""
    from deployer.looking import show_status

    return show_status(arguments)


@_command("logs", _RELEASE)
def _logs(arguments: Arguments, *, release: str) -> int:
    """Show the journal and the output of a deploy, the last one by default."""
    from deployer.looking import show_logs

    return show_logs(arguments, release)


@_command("unlock")
def _unlock(arguments: Arguments) -> int:
    """Take away a lock, after showing whose it is."""
    from deployer.looking import unlock

    return unlock(arguments)


@_command("check")
def _check(arguments: Arguments) -> int:
    """Look at config, connection, host key, tools, mounts and disk, and say how to mend what is wrong."""
    from deployer.checking import check

    return check(arguments)


@program.group("proxy")
def _proxy() -> None:
    """Hand the services that are replaced without downtime over to deployer's own file of Traefik."""


_YES = click.Option(["--yes"], is_flag=True, help="Write without asking.")


@_command("adopt", _YES, within=_proxy)
def _adopt(arguments: Arguments, *, yes: bool) -> int:
    """Move the services of rebuild.roll into deployer's own file of Traefik, after showing the difference."""
    from deployer.adopting import adopt

    return adopt(arguments, yes=yes)


_FINGERPRINT = click.Option(
    ["--accept-fingerprint"],
    metavar="SHA256:...",
    multiple=True,
    help="Trust the scanned host key that has this fingerprint, and no other.",
)
_WORKFLOW = click.Option(
    ["--workflow/--no-workflow"], default=None, help="Write a GitHub workflow; default: if the repository is on GitHub."
)
_DEPLOYER = click.Option(
    ["requirement", "--deployer"],
    metavar="REQUIREMENT",
    default="",
    help="What pip installs in the workflow; default: what this deployer was installed from.",
)


@_command("init", _FINGERPRINT, _WORKFLOW, _DEPLOYER)
def _init(arguments: Arguments, *, accept_fingerprint: tuple[str, ...], workflow: bool | None, requirement: str) -> int:
    """Write deploy.toml and a GitHub workflow for this repository, by asking or by flags; never over others."""
    from deployer.init.initialise import Wishes, initialise

    return initialise(arguments, Wishes(accept_fingerprint, workflow, requirement))


@program.command("completion", help=_COMPLETION)
@click.argument("shell", type=click.Choice(SHELLS))
def _completion(shell: str) -> None:
    click.echo(completion_script(program, shell))


def _guarded(arguments: Arguments, function: Callable[[], int]) -> int:
    try:
        return function()
    except DeployerError as error:
        return _failed(arguments, error)
    except (KeyboardInterrupt, click.Abort):
        return _failed(arguments, Interrupted("interrupted"))
    except Exception as error:
        if arguments.verbose:
            raise
        message = f"unexpected {type(error).__name__}: {error}"
        return _failed(
            arguments, DeployerError(message, hint="This is a bug; --verbose shows where. Please report it.")
        )


def _failed(arguments: Arguments, error: DeployerError) -> int:
    from deployer.reporting import print_error

    print_error(error, sys.stderr)
    if arguments.json:
        from deployer.deploy import Result

        # Before the configuration was read, nothing else is known; programs find the documented keys all the same.
        unknown = Result(app="", strategy="", environment="", hosts=(), url="", error=error).as_json()
        click.echo(json.dumps(unknown))
    return error.exit_code


def main() -> None:
    """The console script."""
    # Names that are not UTF-8 must not break the output.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        program(prog_name="deployer")
    except SystemExit as ended:
        leave(ended.code)
