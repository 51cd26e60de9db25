"""Flags, variables, JSON Schema and the reference page follow from the model."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from deployer.config import OPTIONS, json_schema, load
from deployer.config.__main__ import generated
from deployer.config.keys import KEYS
from deployer.config.reference import example

ROOT = Path(__file__).resolve().parents[2]

FLAGS = """--app --strategy --url --lock-wait --host --ssh-port --ssh-user --key --host-key --known-hosts --jump --connect-to
--connect-timeout --command-timeout --build --build-image --source --target --exclude --shared --keep --retain-assets
--retain-days --path --repository --ref --update --stash --before-up --up --after-up --no-rollback-past --compose-file
--roll --roll-batch --drain --settle --build-timeout --up-timeout --traefik-directory --traefik-api
--traefik-entry-point --traefik-timeout --health-url --health-status --health-contains --timeout --probe-url --probe-rate
--probe-budget --hook-after""".split()


def test_the_flags_are_those_of_the_design() -> None:
    """Spellings are fixed: a workflow that uses them must go on working."""
    assert [option.flag for option in OPTIONS] == FLAGS


def test_every_key_has_a_flag_and_a_variable() -> None:
    """But the address, which comes by --host; --build and --keep serve both strategies."""
    by_key = {key: option for option in OPTIONS for key in option.keys}
    assert by_key["static.build"] == by_key["rebuild.build"] and by_key["static.keep"] == by_key["rebuild.keep"]
    assert {key.name for key in KEYS.values()} - set(by_key) == {"host.address"}
    assert by_key["health.url"].variable == "DEPLOYER_HEALTH_URL"
    assert len({option.variable for option in OPTIONS}) == len(OPTIONS)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.flag)
def test_every_option_is_documented(option: Any) -> None:
    """Each has a help text and a placeholder for its value."""
    assert option.help.endswith(".")
    if option.kind == "boolean":
        assert (option.metavar, option.repeat) == ("", False)
    elif option.choices:
        assert option.metavar == "|".join(option.choices)
    else:
        assert option.metavar == option.metavar.upper() != ""


def test_what_is_true_or_false_has_a_flag_for_each() -> None:
    """A flag that begins with "no" loses it, instead of getting a second one."""
    off = {option.flag: option.off for option in OPTIONS if option.off}
    assert off == {"--stash": "--no-stash", "--no-rollback-past": "--rollback-past"}


def test_options_that_repeat() -> None:
    """Lists repeat, and so does --host."""
    repeated = {option.flag for option in OPTIONS if option.repeat}
    assert repeated == {"--host", "--host-key", "--exclude", "--shared", "--retain-assets", "--roll", "--health-status"}


@pytest.mark.parametrize("name", generated())
def test_generated_files_are_up_to_date(name: str) -> None:
    """Run ``python -m deployer.config`` after a change of the model."""
    assert (ROOT / name).read_text(encoding="utf-8") == generated()[name]


def test_the_example_of_the_page_loads_with_every_key(tmp_path: Path) -> None:
    """What people copy works, in both of its environments, and shows each key there is."""
    file = tmp_path / "deploy.toml"
    file.write_text(example(), encoding="utf-8")
    for environment in ("", "staging"):
        config = load(file, environment=environment, flags={}, variables={}, directory=tmp_path)
    assert config.static.target == "/www/staging/blog"
    data = tomllib.loads(example())
    for key in KEYS.values():
        table = data
        for name in key.path[:-1]:
            table = table[name]
        assert key.path[-1] in table


def resolve(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    reference = part.get("$ref", "")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else part


def test_the_schema_knows_every_key_and_no_other() -> None:
    """Editors warn of unknown keys, in environments too."""
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert set(schema["properties"]) == {*{path[0] for path in KEYS}, "environments"}
    assert schema["additionalProperties"] is False
    static = resolve(schema, schema["properties"]["static"])
    assert static["additionalProperties"] is False
    assert static["properties"]["keep"] == {
        "description": KEYS["static", "keep"].description,
        "type": "integer",
        "minimum": 2,
        "maximum": 1000,
        "default": 5,
    }
    assert schema["properties"]["strategy"]["enum"] == ["static", "rebuild"]
    assert resolve(schema, schema["properties"]["rebuild"])["properties"]["stash"]["type"] == "boolean"
    environment = resolve(schema, schema["properties"]["environments"]["additionalProperties"])
    assert "environments" not in environment["properties"]
