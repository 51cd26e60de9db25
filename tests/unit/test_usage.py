"""Help: it fits a screen, shows how a command is used, and leaves no flag to be guessed."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from deployer import cli
from deployer.config import OPTIONS
from deployer.usage import ConfiguredCommand

COMMANDS = list(cli.program.commands)
CONFIGURED = [name for name, command in cli.program.commands.items() if isinstance(command, ConfiguredCommand)]
SCREEN = 50  # lines


def help_of(*arguments: str, columns: int = 100) -> str:
    shown = CliRunner().invoke(cli.program, list(arguments), terminal_width=columns)
    assert shown.exit_code == 0, shown.output
    return shown.output


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_a_screen(command: str, columns: int) -> None:
    """At most fifty lines, none of them longer than the terminal but an example that can be pasted."""
    lines = help_of(*command.split(), "--help", columns=columns).splitlines()
    assert len(lines) <= SCREEN
    assert [line for line in lines if len(line) > columns and not line.startswith("  deployer ")] == []
    assert [line for line in lines if len(line) > 100] == []


@pytest.mark.parametrize("command", CONFIGURED)
def test_help_begins_with_examples(command: str) -> None:
    """Each of them is a command line that the program understands."""
    section = help_of(command, "--help").partition("Examples:\n")[2].partition("\n\n")[0]
    examples = [line.split("  ")[0].split() for line in map(str.strip, section.splitlines())]
    assert examples
    for program, name, *arguments in examples:
        assert (program, name) == ("deployer", command)
        cli.program.commands[name].make_context(name, arguments, resilient_parsing=False)


@pytest.mark.parametrize("command", CONFIGURED)
def test_every_flag_is_named(command: str) -> None:
    """The short help holds each flag of the configuration as a word, never cut at the end of a line."""
    for columns in (40, 80, 100):
        words = set(help_of(command, "--help", columns=columns).split())
        assert {option.flag for option in OPTIONS} <= words


@pytest.mark.parametrize("command", CONFIGURED)
def test_help_all_describes_every_flag(command: str) -> None:
    """The long help has each flag's own words, below the table of deploy.toml that it belongs to."""
    shown = " ".join(help_of(command, "--help-all").split())
    for option in OPTIONS:
        value = option.metavar or f"/ {option.off}"
        assert f"{option.flag} {value} {' '.join(option.help.split())}" in shown
    assert shown.index("[host] of deploy.toml:") < shown.index("--host-key LINE") < shown.index("[static] of")


def test_help_names_commands_in_the_order_of_use() -> None:
    """What people need first comes first, each with its whole sentence."""
    shown = help_of("--help")
    listed = re.findall(r"^  ([a-z]+)  ", shown.partition("Commands")[2], re.MULTILINE)
    assert listed == COMMANDS
    assert listed[:3] == ["run", "plan", "rollback"]
    assert "..." not in shown.partition("Commands")[2]


def test_settings_are_taken_by_their_keys() -> None:
    """A flag of the configuration never shadows a command's own value, whatever both are called."""
    from deployer.usage import take_settings

    values = {"option_static__keep": 3, "option_lock_wait": 1.5, "keep": "own"}
    assert take_settings(values) == {"static.keep": 3, "lock_wait": 1.5}
    assert values == {"keep": "own"}


def test_arguments_are_not_listed_as_options() -> None:
    """The usage line shows them, as with every version of Click."""
    shown = help_of("rollback", "--help")
    assert "Usage: deployer rollback [OPTIONS] [RELEASE]" in shown.replace("Usage: program", "Usage: deployer")
    assert shown.count("[RELEASE]") == 1
