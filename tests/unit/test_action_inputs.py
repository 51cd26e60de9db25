"""A workflow step's inputs become settings, and messages speak of inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deployer.action.inputs import INPUTS, Inputs, in_words_of_inputs, read_inputs, variable_of
from deployer.config import OPTIONS
from deployer.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[2]
KEY_LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPAn"


def read(variables: dict[str, str] | None = None, /, **given: str) -> Inputs:
    named = {variable_of(name.replace("_", "-")): text for name, text in given.items()}
    return read_inputs(dict.fromkeys(map(variable_of, INPUTS), "") | named | (variables or {}))


@pytest.fixture(scope="module")
def action() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    return content


def test_action_file_and_program_know_the_same_inputs(action: dict[str, Any]) -> None:
    """Each input travels in its variable, and nothing else does: no expression stands in the script."""
    (step,) = action["runs"]["steps"]
    assert set(action["inputs"]) == set(INPUTS)
    assert step["env"] == {variable_of(name): f"${{{{ inputs.{name} }}}}" for name in INPUTS}
    assert "${{" not in step["run"]
    assert not any("uses" in each for each in action["runs"]["steps"])
    assert not any(each.get("required") for each in action["inputs"].values())


def test_every_input_is_a_setting_that_there_is() -> None:
    """The variables that inputs become are those that the configuration's model has, or secrets."""
    known = {option.variable for option in OPTIONS} | {
        "DEPLOYER_ENVIRONMENT",
        "DEPLOYER_KEY_PASSPHRASE",
        "DEPLOYER_GITHUB_TOKEN",
    }
    inputs = read(**{name.replace("-", "_"): "x" for name in INPUTS if name not in {"command", "release", "dry-run"}})
    assert {name for name in inputs.variables if name.startswith("DEPLOYER_")} <= known


def test_nothing_given_is_a_run_with_what_the_job_says() -> None:
    """Empty inputs leave the job's own variables alone."""
    inputs = read({"DEPLOYER_DRAIN": "3", "HOME": "/home/me"})
    assert (inputs.command, inputs.release, inputs.dry, inputs.file) == ("run", "", False, "")
    assert inputs.variables == {"DEPLOYER_DRAIN": "3", "HOME": "/home/me"}


def test_inputs_reach_no_child_by_another_name() -> None:
    """Some runners also set INPUT_NAME, with or without the hyphen."""
    inputs = read({"INPUT_KEY": "secret", "INPUT_HOST-KEY": "x", "INPUT_GITHUB_TOKEN": "secret", "INPUT_OTHER": "y"})
    assert inputs.variables == {"INPUT_OTHER": "y"}


def test_an_input_beats_the_jobs_variable() -> None:
    """What is said closest counts."""
    assert read({"DEPLOYER_APP": "a"}, app="b").variables["DEPLOYER_APP"] == "b"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.example, b.example", "deploy@a.example:22\ndeploy@b.example:22"),
        ("a.example\nroot@b.example:2222\n", "deploy@a.example:22\nroot@b.example:2222"),
        ("[2001:db8::1], local", "deploy@[2001:db8::1]:22\nlocal"),
    ],
)
def test_user_and_port_are_for_hosts_that_do_not_name_them(host: str, expected: str) -> None:
    """A list by commas or lines, each host with what it lacks."""
    inputs = read(host=host, username="deploy", port="22")
    assert inputs.variables == {"DEPLOYER_HOST": expected}


def test_user_and_port_without_a_host_are_for_those_of_the_file() -> None:
    """deploy.toml names the server, a secret the login."""
    assert read(username="deploy", port="2222").variables == {
        "DEPLOYER_SSH_USER": "deploy",
        "DEPLOYER_SSH_PORT": "2222",
    }


def test_known_hosts_takes_lines_as_well_as_a_file() -> None:
    """As the known SSH actions do."""
    lines = f"example.org {KEY_LINE}\n[b]:22 {KEY_LINE}"
    assert read(known_hosts=lines).variables == {"DEPLOYER_HOST_KEY": lines}
    assert read(known_hosts=lines, host_key="x").variables == {"DEPLOYER_HOST_KEY": f"x\n{lines}"}
    assert read(known_hosts="ci/known_hosts").variables == {"DEPLOYER_KNOWN_HOSTS": "ci/known_hosts"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"command": "delete"}, "input `command` must be one of run, plan, rollback, check, but is 'delete'"),
        ({"dry_run": "yes"}, "input `dry-run` must be true or false, but is 'yes'"),
        ({"release": "20261122T190300Z"}, "input `release` is for `command: rollback`"),
        ({"command": "check", "dry_run": "true"}, "`dry-run` is not for `command: check`"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, str], words: str) -> None:
    """The message names the input."""
    with pytest.raises(InvalidInput) as refused:
        read(**given)
    assert words in str(refused.value)


def test_messages_name_inputs() -> None:
    """Who wrote a workflow never wrote a flag or a variable; longer names are not taken for shorter ones."""
    said = "host: by deploy.toml, --host or DEPLOYER_HOST\nDEPLOYER_KEY_PASSPHRASE, DEPLOYER_KEY; DEPLOYER_DRAIN"
    assert in_words_of_inputs(said) == (
        "host: by deploy.toml, input `host`\ninput `passphrase`, input `key`; DEPLOYER_DRAIN"
    )
    assert in_words_of_inputs("DEPLOYER_SSH_PORT must be") == "input `port` must be"
