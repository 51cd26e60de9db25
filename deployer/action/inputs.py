"""What a workflow step says, as what the command line would have got. All pure.

``action.yml`` hands each input over in the variable ``DEPLOYER_INPUT_`` + its name in capitals; where it is not given,
that is empty, and what ``deploy.toml`` or a ``DEPLOYER_`` variable says counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from deployer.errors import InvalidInput

__all__ = ["INPUTS", "SECRETS", "Inputs", "in_words_of_inputs", "read_inputs", "variable_of"]

Command = Literal["run", "plan", "rollback", "check"]

_PREFIX = "DEPLOYER_INPUT_"
_SPLIT_BY_COMMA = ("host", "roll")
"""Lists whose items never hold a comma: it separates them as well as a line break."""
_SETTINGS: Mapping[str, str] = {
    "environment": "ENVIRONMENT",
    "strategy": "STRATEGY",
    "app": "APP",
    "url": "URL",
    "lock-wait": "LOCK_WAIT",
    "host": "HOST",
    "port": "SSH_PORT",
    "username": "SSH_USER",
    "key": "KEY",
    "passphrase": "KEY_PASSPHRASE",
    "host-key": "HOST_KEY",
    "known-hosts": "KNOWN_HOSTS",
    "jump": "JUMP",
    "source": "SOURCE",
    "target": "TARGET",
    "exclude": "EXCLUDE",
    "shared": "SHARED",
    "keep-releases": "KEEP",
    "build": "BUILD",
    "build-image": "BUILD_IMAGE",
    "path": "PATH",
    "ref": "REF",
    "update": "UPDATE",
    "up": "UP",
    "roll": "ROLL",
    "health-url": "HEALTH_URL",
    "probe-url": "PROBE_URL",
    "timeout": "TIMEOUT",
    "github-token": "GITHUB_TOKEN",
}
"""The inputs that are settings, and the variable (behind ``DEPLOYER_``) that each becomes."""
INPUTS = ("config", *_SETTINGS, "dry-run", "command", "release")
SECRETS = ("key", "passphrase", "github-token")
_COMMANDS: tuple[Command, ...] = ("run", "plan", "rollback", "check")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is to be done, and the variables to do it with: the step's own and, over them, its inputs."""

    command: Command
    release: str
    dry: bool
    file: str
    variables: Mapping[str, str]


def variable_of(name: str) -> str:
    """The variable that ``action.yml`` hands an input over in."""
    return _PREFIX + name.replace("-", "_").upper()


def read_inputs(environment: Mapping[str, str]) -> Inputs:
    """Take the inputs out of the step's variables. Raises InvalidInput that names the input."""
    given = {name: environment.get(variable_of(name), "").strip("\r\n") for name in INPUTS}
    given = {name: text for name, text in given.items() if text.strip()}
    command, dry = _command(given), _is_true(given, "dry-run")
    _check_combination(given, command, dry=dry)
    # Some runners hand inputs over by names of their own as well, secrets and all.
    foreign = {f"INPUT-{name.upper()}" for name in INPUTS}
    variables = {
        name: value
        for name, value in environment.items()
        if not name.startswith(_PREFIX) and name.replace("_", "-") not in foreign
    }
    variables |= {f"DEPLOYER_{_SETTINGS[name]}": text for name, text in _settings(given).items()}
    return Inputs(command, given.get("release", "").strip(), dry, given.get("config", "").strip(), variables)


def _command(given: Mapping[str, str]) -> Command:
    wanted = given.get("command", "run").strip()
    for command in _COMMANDS:
        if command == wanted:
            return command
    raise InvalidInput(f"input `command` must be one of {', '.join(_COMMANDS)}, but is {wanted!r}")


def _is_true(given: Mapping[str, str], name: str) -> bool:
    """As YAML 1.2's core schema and GitHub's own actions read it."""
    text = given.get(name, "false").strip()
    if text not in {"true", "True", "TRUE", "false", "False", "FALSE"}:
        raise InvalidInput(f"input `{name}` must be true or false, but is {text!r}")
    return text.lower() == "true"


def _check_combination(given: Mapping[str, str], command: Command, *, dry: bool) -> None:
    if "release" in given and command != "rollback":
        hint = "set `command: rollback`, or take `release` away"
        raise InvalidInput(f"input `release` is for `command: rollback`, but the command is {command}", hint=hint)
    if dry and command == "check":
        raise InvalidInput("input `dry-run` is not for `command: check`", hint="check changes nothing anyway")


def _settings(given: Mapping[str, str]) -> dict[str, str]:
    settings = {name: text for name, text in given.items() if name in _SETTINGS}
    for name in _SPLIT_BY_COMMA:
        if name in settings:
            settings[name] = "\n".join(part.strip() for part in re.split(r"[,\n]", settings[name]) if part.strip())
    if "host" in settings:
        user, port = settings.pop("username", "").strip(), settings.pop("port", "").strip()
        hosts = settings["host"].splitlines()
        settings["host"] = "\n".join(_login(host, user, port) for host in hosts)
    if _holds_lines(settings.get("known-hosts", "")):
        lines = (settings.get("host-key", ""), settings.pop("known-hosts"))
        settings["host-key"] = "\n".join(text for text in lines if text)
    return settings


def _login(host: str, user: str, port: str) -> str:
    """``host`` with what it does not say itself of user and port."""
    if host == "local":
        return host
    whole = f"{user}@{host}" if user and "@" not in host else host
    address = whole.rpartition("@")[2]
    return f"{whole}:{port}" if port and (":" not in address or address.endswith("]")) else whole


def _holds_lines(text: str) -> bool:
    """Whether it is what a known_hosts file holds, as SSH actions take it, and not a file's name."""
    return bool(re.search(r"\S\s+(ssh-|ecdsa-|sk-)\S+\s+AAAA", text))


def in_words_of_inputs(text: str) -> str:
    """The message with inputs' names where it names variables and flags, which a workflow's author never wrote."""
    for name, variable in _SETTINGS.items():
        text = re.sub(rf"(--[a-z-]+ or )?\bDEPLOYER_{variable}\b", f"input `{name}`", text)
    return text
