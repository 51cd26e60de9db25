"""The tables of strategy rebuild: what is required, which keys shared flags set, and what does not go together."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from deployer import cli
from deployer.config import Config, Host, Rebuild, RolledService, Traefik, load_secrets
from deployer.errors import InvalidInput
from tests.unit.test_config import FRAME, PRIVATE_KEY, load_text, refuse

REBUILD = """\
app = "blog"
strategy = "rebuild"
host = "deploy@example.org"

[rebuild]
path = "changkun.de/blog"
"""
ROLLED = REBUILD + 'roll = ["web:80"]\n[traefik]\ndirectory = "proxy/conf"\napi = "http://127.0.0.1:8080/"\n'
BOTH = (
    REBUILD
    + 'keep = 3\nbuild = "make images"\n[static]\nsource = "public"\ntarget = "/www/blog"\nbuild = "make site"\n'
)


def test_a_minimal_rebuild_gets_the_documented_defaults(tmp_path: Path) -> None:
    """Only app, host and path are needed; the tables of the other strategy are there, and empty."""
    config = load_text(tmp_path, REBUILD)
    assert config.rebuild == Rebuild(path="changkun.de/blog")
    assert (config.rebuild.build, config.rebuild.up, config.rebuild.update) == ("make build", "make up", "exact")
    assert (config.rebuild.drain, config.rebuild.settle, config.rebuild.keep, config.rebuild.roll_batch) == (
        10,
        2,
        5,
        0,
    )
    assert (config.rebuild.build_timeout, config.rebuild.up_timeout) == (1800, 300)
    assert (config.rebuild.stash, config.rebuild.no_rollback_past, config.rebuild.services) == (False, False, ())
    assert config.traefik == Traefik(timeout=15)
    assert (config.static.source, config.static.target, config.place) == ("", "", "changkun.de/blog")


def test_the_rebuild_model_can_be_made_in_code() -> None:
    """Tests and other doors make a Config directly, with the table of its strategy only."""
    config = Config(
        app="a", strategy="rebuild", hosts=(Host(local=True),), rebuild=Rebuild(path="/srv/a", roll=("w:80",))
    )
    assert config.rebuild.services == (RolledService("w", 80),)
    assert (config.place, config.static.source) == ("/srv/a", "")


def test_each_strategy_requires_its_own_keys(tmp_path: Path) -> None:
    """The message names what the chosen strategy lacks, with every way to give it."""
    error = refuse(tmp_path, 'app = "a"\nhost = "local"\nstrategy = "rebuild"\n')
    assert error.message == "deploy.toml lacks rebuild.path"
    assert error.hint == "rebuild.path: by deploy.toml, --path or DEPLOYER_PATH"
    assert refuse(tmp_path, REBUILD, flags={"strategy": "static"}).message == (
        "deploy.toml lacks static.source, static.target"
    )


def test_tables_of_the_other_strategy_may_stand_there_and_are_checked(tmp_path: Path) -> None:
    """Two environments of one app may differ in their strategy."""
    config = load_text(tmp_path, BOTH + '[environments.old]\nstrategy = "static"\n', environment="old")
    assert (config.strategy, config.place, config.rebuild.path) == ("static", "/www/blog", "changkun.de/blog")
    assert refuse(tmp_path, BOTH + "shared = ['..']\n").message.startswith("deploy.toml:13: static.shared must be")


@pytest.mark.parametrize("chosen", [{"flags": {"strategy": "static"}}, {"variables": {"DEPLOYER_STRATEGY": "static"}}])
def test_build_and_keep_set_the_key_of_the_chosen_strategy(
    tmp_path: Path, chosen: dict[str, dict[str, object]]
) -> None:
    """One flag and one variable serve both; the other strategy's key stays as the file has it."""
    flags, variables = {"static.build": "make it"}, {"DEPLOYER_KEEP": "9"}
    config = load_text(tmp_path, BOTH, flags=flags, variables=variables)
    assert (config.rebuild.build, config.rebuild.keep) == ("make it", 9)
    assert (config.static.build, config.static.keep) == ("make site", 5)
    config = load_text(
        tmp_path, BOTH, flags=flags | chosen.get("flags", {}), variables=variables | chosen.get("variables", {})
    )
    assert (config.static.build, config.static.keep) == ("make it", 9)
    assert (config.rebuild.build, config.rebuild.keep) == ("make images", 3)


def test_a_shared_flag_keeps_the_rule_of_its_strategy(tmp_path: Path) -> None:
    """A build on the server is one line; a build here may be a script of several."""
    lines = {"static.build": "a\nb"}
    assert refuse(tmp_path, BOTH, flags=lines).message.startswith("--build must be a command on one line")
    assert load_text(tmp_path, BOTH, flags={**lines, "strategy": "static"}).static.build == "a\nb"
    assert load_text(tmp_path, BOTH, flags={"static.build": ""}).rebuild.build == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [("true", True), ("1", True), ("yes", True), ("TRUE\n", True), ("false", False), ("0", False), ("No", False)],
)
def test_truth_has_several_words_in_variables(tmp_path: Path, text: str, expected: bool) -> None:
    """CI systems write it in their own ways, and a variable beats the file both ways."""
    file = REBUILD + f"stash = {'false' if expected else 'true'}\n"
    assert load_text(tmp_path, file, variables={"DEPLOYER_STASH": text}).rebuild.stash is expected
    assert load_text(tmp_path, file, flags={"rebuild.stash": expected}).rebuild.stash is expected


def test_what_is_neither_true_nor_false_is_refused(tmp_path: Path) -> None:
    """In the file only TOML's own words count."""
    assert refuse(tmp_path, REBUILD + "stash = 'yes'\n").message == (
        "deploy.toml:7: rebuild.stash must be true or false, but is 'yes'"
    )
    assert refuse(tmp_path, REBUILD + "stash = 1\n").message.endswith("must be true or false, but is 1")
    assert refuse(tmp_path, REBUILD, variables={"DEPLOYER_STASH": "maybe"}).message == (
        "DEPLOYER_STASH must be true or false (or 1, 0, yes, no), but is 'maybe'"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((), (True, True)), (("--stash", "--no-rollback-past"), (True, True)),
     (("--no-stash",), (False, True)), (("--rollback-past",), (True, False))],
)  # fmt: skip
def test_flags_of_truth_beat_the_file_only_when_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], expected: tuple[bool, bool]
) -> None:
    """The command line knows yes, no and not said."""
    taken: list[Config] = []

    def run(arguments: cli.Arguments, *, dry: bool) -> int:
        taken.append(arguments.load()[0])
        return 0

    monkeypatch.setattr("deployer.running.run", run)
    (tmp_path / "deploy.toml").write_text(REBUILD + "stash = true\nno_rollback_past = true\n")
    done = CliRunner().invoke(cli.program, ["run", "--config", str(tmp_path / "deploy.toml"), *arguments])
    assert done.exit_code == 0, done.output
    assert [(config.rebuild.stash, config.rebuild.no_rollback_past) for config in taken] == [expected]


def test_a_roll_behind_traefik_is_taken(tmp_path: Path) -> None:
    """Services come as pairs, and a URL that paths are added to ends without a slash."""
    config = load_text(tmp_path, ROLLED)
    assert config.rebuild.services == (RolledService(name="web", port=80),)
    assert (config.traefik.directory, config.traefik.api) == ("proxy/conf", "http://127.0.0.1:8080")
    config = load_text(tmp_path, REBUILD, variables={"DEPLOYER_ROLL": "web:080\napi:8000\n"})
    assert config.rebuild.roll == ("web:80", "api:8000")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"rebuild.roll": ("web:80", "web:81")}, "--roll must be a list that names each service once"),
        ({"rebuild.roll": ("web",)}, "--roll must be SERVICE:PORT, such as web:80"),
        ({"rebuild.drain": 0.5}, "--drain must be a whole number from 0 to 86400, but is 0.5"),
        ({"rebuild.update": "merge"}, "--update must be one of exact, rebase, but is 'merge'"),
        ({"traefik.directory": "/etc"}, "--traefik-directory must be a directory of its own, not one of the system's"),
        ({"rebuild.path": ""}, "--path must be a path on the server, absolute or relative to the user's home"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, flags: dict[str, object], message: str) -> None:
    """By their flag, with what was expected."""
    assert refuse(tmp_path, ROLLED, flags=flags).message.startswith(message)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('directory = "conf"', "traefik.directory needs rebuild.roll"),
        ('api = "http://127.0.0.1:8080"', "traefik.api needs rebuild.roll"),
        ('roll\napi = "http://127.0.0.1:8080"', "traefik.api needs traefik.directory"),
        ('roll\ndirectory = "conf"', "traefik.directory needs traefik.api or traefik.entry_point"),
    ],
)
def test_traefik_needs_all_of_its_parts(tmp_path: Path, table: str, message: str) -> None:
    """What could not work is refused before a server is asked; an unused table of strategy static is left alone."""
    roll = 'roll = ["web:80"]\n' if table.startswith("roll") else ""
    text = f"{REBUILD}{roll}[traefik]\n{table.removeprefix('roll')}\n"
    assert refuse(tmp_path, text).message.startswith(message)
    load_text(tmp_path, text, flags={"strategy": "static", "static.source": "s", "static.target": "/t"})


def test_static_needs_nothing_together_with_rebuild(tmp_path: Path) -> None:
    """A build image without a build is the other strategy's trouble."""
    text = REBUILD + '[static]\nbuild_image = "node:22"\n'
    assert load_text(tmp_path, text).static.build_image == "node:22"


def test_the_repositorys_secrets_come_by_variable(tmp_path: Path) -> None:
    """A token without what was pasted around it, and a key whose last line ends; neither is ever shown."""
    variables = {
        "DEPLOYER_GITHUB_TOKEN": " hush-token\n",
        "DEPLOYER_REPOSITORY_KEY": PRIVATE_KEY.replace("\n", "\r\n").strip(),
    }
    secrets = load_secrets(variables)
    assert secrets.github_token and secrets.github_token.reveal() == "hush-token"
    assert secrets.repository_key and secrets.repository_key.reveal() == PRIVATE_KEY
    assert "hush" not in repr(secrets) + repr(load_text(tmp_path, REBUILD, variables=variables))
    assert load_secrets({"DEPLOYER_GITHUB_TOKEN": "\n", "DEPLOYER_REPOSITORY_KEY": ""}) == load_secrets({})


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("DEPLOYER_GITHUB_TOKEN", "hush hush"),
        ("DEPLOYER_GITHUB_TOKEN", "hush\x1b"),
        ("DEPLOYER_GITHUB_TOKEN", PRIVATE_KEY),
        ("DEPLOYER_REPOSITORY_KEY", "/home/me/.ssh/hush"),
        ("DEPLOYER_REPOSITORY_KEY", "ssh-ed25519 AAAAhush"),
        ("DEPLOYER_REPOSITORY_KEY", f"-----BEGIN {FRAME.replace('PRIVATE', 'PUBLIC')}-----\nhush"),
    ],
)
def test_wrong_secrets_are_named_and_not_shown(variable: str, text: str) -> None:
    """The message says what belongs there."""
    with pytest.raises(InvalidInput, match=f"^{variable} must be ") as caught:
        load_secrets({variable: text})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "repository",
    ["https://me:hush@example.org/a.git", "https://hush@example.org/a", "ssh://git:hush@example.org/a", "me:hush@host:a",
     "https://example.org/a?private_token=hush", "http://hush@example.org/a", "ghp_hush", "example.org/hush@"],
)  # fmt: skip
def test_credentials_in_a_repositorys_url_are_not_shown(tmp_path: Path, repository: str) -> None:
    """They would stand in the journal and on the server."""
    error = refuse(tmp_path, REBUILD, flags={"rebuild.repository": repository})
    assert "hush" not in str(error)
