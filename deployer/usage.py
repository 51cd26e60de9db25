"""What all commands have in common: flags made from the configuration's model, and a help that fits a screen."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from deployer.completion import complete_environment, complete_file
from deployer.errors import Interrupted

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from deployer.config import Option

__all__ = ["Commands", "ConfiguredCommand", "take_settings"]

_ALL = "deployer.help_all"
_SETTINGS = "Settings of deploy.toml as flags (--help-all describes them)"
_LABEL_WIDTH = 8
_PREFIX = "option_"
_STAGING = "with [environments.staging] laid over it"
_EXAMPLES = {
    "run": (
        ("deployer run", "deploy what deploy.toml says"),
        ("deployer run --environment staging", _STAGING),
        ("deployer run --dry-run", "read the host, change nothing, show the plan"),
        ("deployer run --json --keep 10", "a flag beats a variable beats the file"),
    ),
    "plan": (
        ("deployer plan", "what run would upload, delete and switch"),
        ("deployer plan --environment staging", _STAGING),
    ),
    "rollback": (
        ("deployer rollback", "to what was live before"),
        ("deployer rollback 20261122T190300Z", "to a kept release; `deployer releases` lists them"),
        ("deployer rollback --dry-run", "say what that would be"),
    ),
    "releases": (
        ("deployer releases", "the arrow shows what is live"),
        ("deployer releases --json", "for programs"),
    ),
    "status": (
        ("deployer status", "live release, lock, disk space, health"),
        ("deployer status --environment staging", _STAGING),
    ),
    "logs": (
        ("deployer logs", "of the last deploy"),
        ("deployer logs 20261122T190300Z", "of the deploy that made this release"),
    ),
    "unlock": (("deployer unlock", "seldom needed: the lock of a killed deploy ends by itself"),),
    "check": (
        ("deployer check", "before the first deploy, and when something is odd"),
        ("deployer check --environment staging", _STAGING),
    ),
    "adopt": (
        ("deployer proxy adopt", "show the difference, ask, write, and see that Traefik has read it"),
        ("deployer proxy adopt --yes", "without the question"),
    ),
    "init": (
        ("deployer init", "ask for what the repository does not tell"),
        ("deployer init --host deploy@example.org --target /www/blog --url https://example.org/blog/", ""),
    ),
}


class Commands(click.Group):
    """The program: its commands stand in the order in which people come to need them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, as they were added."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command with its whole first sentence."""
        with formatter.section("Commands (deployer COMMAND --help tells more)"):
            rows = [(name, (command.help or "").partition("\n")[0]) for name, command in self.commands.items()]
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C before it takes signals over has interrupted nothing, but is still code 130."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("error: interrupted", err=True)
            ctx.exit(Interrupted.exit_code)


class ConfiguredCommand(click.Command):
    """A command that takes the flags of the configuration, which is loaded only for the command that runs."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own parameters, then those of all commands."""
        if not any(parameter.name == "file" for parameter in self.params):
            self.params += _common_options()
        return super().get_params(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples, the flags of the command, and the configuration's: by name, or described by ``--help-all``."""
        if self.name in _EXAMPLES:
            with formatter.section("Examples"):
                formatter.write_dl(_EXAMPLES[self.name], col_max=38)
        settings = _settings()
        described = {_parameter_name(option.key) for options in settings.values() for option in options}
        parameters = self.get_params(ctx)
        with formatter.section("Options"):
            formatter.write_dl(list(_records(ctx, [each for each in parameters if each.name not in described])))
        if not ctx.meta.get(_ALL):
            with formatter.section(_SETTINGS):
                formatter.write("".join(_flag_lines(settings, formatter.width)))
            return
        for table, options in settings.items():
            names = {_parameter_name(option.key) for option in options}
            with formatter.section(f"[{table}] of deploy.toml" if table != "app" else "Top of deploy.toml"):
                formatter.write_dl(list(_records(ctx, [each for each in parameters if each.name in names])))


def take_settings(values: dict[str, Any]) -> dict[str, object]:
    """Take the configuration's flags out of what Click hands over to a command, by their dotted keys."""
    names = [name for name in values if name.startswith(_PREFIX)]
    return {name.removeprefix(_PREFIX).replace("__", "."): values.pop(name) for name in names}


def _parameter_name(key: str) -> str:
    return _PREFIX + key.replace(".", "__")


def _records(ctx: click.Context, parameters: list[click.Parameter]) -> Iterator[tuple[str, str]]:
    for parameter in parameters:
        # Newer versions of Click also tell of arguments, which the usage line has shown.
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)):
            yield record


def _settings() -> dict[str, list[Option]]:
    """The configuration's flags by table; ``app`` holds those of the top level. One of two strategies is in both tables."""
    from deployer.config import OPTIONS

    tables = {key.partition(".")[0] for option in OPTIONS for key in option.keys if "." in key}
    found: dict[str, list[Option]] = {}
    for option in OPTIONS:
        for key in option.keys:
            first = key.partition(".")[0]
            found.setdefault(first if first in tables else "app", []).append(option)
    return found


def _flag_lines(settings: dict[str, list[Option]], width: int) -> Iterator[str]:
    for table, options in settings.items():
        flags = " ".join(option.flag for option in options)
        lines = textwrap.wrap(flags, width - _LABEL_WIDTH - 2, break_on_hyphens=False, break_long_words=False)
        for number, line in enumerate(lines):
            yield f"  {table if number == 0 else '':<{_LABEL_WIDTH}}{line}\n"


def _common_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["file", "--config"],
            metavar="FILE",
            default="",
            envvar="DEPLOYER_CONFIG",
            help="Instead of the nearest deploy.toml upwards.",
            shell_complete=complete_file,
        ),
        click.Option(
            ["--environment"],
            metavar="NAME",
            default="",
            help="Overlay [environments.NAME].",
            shell_complete=complete_environment,
        ),
        click.Option(["json_output", "--json"], is_flag=True, help="One JSON object on standard output."),
        click.Option(["--quiet"], is_flag=True, help="Only warnings and errors."),
        click.Option(["--verbose"], is_flag=True, help="Say also when a step begins; show tracebacks."),
        *_configured_options(),
        click.Option(
            ["--help-all"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_all,
            help="Show this message with every setting described, and exit.",
        ),
    ]


def _configured_options() -> list[click.Parameter]:
    from deployer.config import OPTIONS

    return [_option(option) for option in OPTIONS]


def _option(option: Option) -> click.Option:
    kinds: dict[str, click.ParamType[Any]] = {"text": click.STRING, "integer": click.INT, "number": click.FLOAT}
    name = _parameter_name(option.key)
    if option.kind == "boolean":
        return click.Option([name, f"{option.flag}/{option.off}"], default=None, help=option.help)
    return click.Option(
        [name, option.flag],
        type=kinds[option.kind],
        multiple=option.repeat,
        metavar=option.metavar,
        help=option.help,
        # The loader reads the variables: it names them in its messages.
        default=None,
        shell_complete=_completion(option),
    )


def _completion(option: Option) -> Callable[..., list[CompletionItem[str] | str]] | None:
    """What Tab offers for a value; nothing for what is on the server."""
    if option.choices:
        return lambda _ctx, _parameter, incomplete: [each for each in option.choices if each.startswith(incomplete)]
    return complete_file if option.local or option.metavar == "FILE" else None


def _show_all(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        ctx.meta[_ALL] = True
        click.echo(ctx.get_help())
        ctx.exit()
