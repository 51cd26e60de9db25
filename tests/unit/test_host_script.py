"""The host's program: every shell can read it, and it knows exactly the requests that the client makes."""

from __future__ import annotations

import inspect
import re
import subprocess
from pathlib import Path

import pytest

from deployer import host
from deployer.plan import Effect, Request
from deployer.static import host as static_host
from deployer.static import requests
from deployer.static.host import program
from deployer.static.stream import Text
from tests.conftest import need

SHELLS = {"dash": (), "bash": ("--posix",), "busybox": ("sh",)}
CONVERSATIONS_OWN = {"beat"}
VALUES = {"body": Text(lambda: ""), "wait": 1.5, "keep": 5, "count": 1}


def made() -> dict[str, Request]:
    """Each request that requests.py can make, by the name of its function."""
    functions = {name: getattr(requests, name) for name in requests.__all__}
    return {
        name: function(
            **{
                key: VALUES.get(key, "x")
                for key, parameter in inspect.signature(function).parameters.items()
                if parameter.kind is not parameter.VAR_KEYWORD
            }
        )
        for name, function in functions.items()
    }


def dispatched() -> set[str]:
    """The verbs in the program's main loop."""
    loop = program()[program().rindex("while IFS= read -r verb") :]
    return {verb for line in re.findall(r"^([a-z_ |]+)\)$", loop, re.MULTILINE) for verb in line.split(" | ")}


def function(verb: str) -> str:
    """The text of the shell function that does a verb."""
    found = re.search(rf"^do_{verb}\(\) {{.*?^}}$", program(), re.MULTILINE | re.DOTALL)
    assert found, f"no do_{verb}"
    return found[0]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_can_read_it(shell: str) -> None:
    """Whatever `sh` is on a host, the program is free of errors of syntax in it."""
    command = [need(shell, "to read the host's program"), *SHELLS[shell], "-n"]
    done = subprocess.run(command, input=program().encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_client_and_host_know_the_same_verbs() -> None:
    """No request that the host would refuse, none that nobody ever makes."""
    assert {request.verb for request in made().values()} | CONVERSATIONS_OWN == dispatched()


@pytest.mark.parametrize("name", requests.__all__)
def test_the_host_reads_as_many_arguments_as_are_sent(name: str) -> None:
    """One `read` for each: a line more or less would shift every later request."""
    request = made()[name]
    reads = re.findall(r"IFS= read -r (\w+)(?! *<)", function(request.verb).split("\n    [", 1)[0])
    assert len(reads) == len(request.arguments), reads


@pytest.mark.parametrize("name", requests.__all__)
def test_only_requests_that_look_are_reading(name: str) -> None:
    """A dry run carries these out: they must leave the host as it is."""
    request = made()[name]
    reading = {"site", "facts", "inventory", "signatures", "inspect", "show_log", "check", "check_release"}
    assert (request.effect is Effect.READ) == (request.verb in reading)


@pytest.mark.parametrize("count", [3, 50_003])
def test_what_is_kept_of_broken_uploads_is_bounded(tmp_path: Path, count: int) -> None:
    """The next answer of the host lists it all, and must get through a line that breaks."""
    kept = tmp_path / "arrived" / "a1b2"
    kept.mkdir(parents=True)
    for number in range(count):
        (kept / f"{number}").touch()
    found = re.search(r"^bound_arrived\(\) {.*?^}$", program(), re.MULTILINE | re.DOTALL)
    assert found
    subprocess.run(["sh", "-uec", f"{found[0]}\nwork=$1\nbound_arrived", "sh", tmp_path], check=True)
    assert len([*kept.iterdir()]) == min(count, 50_000)


def test_arguments_are_single_lines() -> None:
    """The protocol's rule, kept by every request whatever it is about."""
    about = requests.switch("new", "old", commit="é\n\"'\\")
    for argument in [*about.arguments, *(each for request in made().values() for each in request.arguments)]:
        assert "\n" not in argument


def test_nothing_variable_is_in_the_program() -> None:
    """It is the same text for every deploy: names, paths and numbers travel as arguments."""
    parts = [*Path(static_host.__file__).parent.glob("*.sh"), *Path(host.__file__).parent.glob("*.sh")]
    assert len(parts) >= 8
    # Assembling only takes away comments, indentation and empty lines.
    lines = {line.strip() for part in parts for line in part.read_text("utf-8").splitlines()}
    assert set(program().splitlines()) <= lines
