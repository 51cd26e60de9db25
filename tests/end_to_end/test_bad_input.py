"""What a person gets wrong in the configuration or on the command line: exit 2 and one message, before any host is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.deployment import Deployment, listing

SECRET = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0LWtleS1tYXRlcmlhbA==\n-----END OPENSSH PRIVATE KEY-----\n"


def refused(site: Deployment, *words: str, command: str = "run") -> str:
    """Check that the command is refused with these words, with and without ``--json``, and that the host is as it was."""
    site.write("index.html", "x")
    before = listing(site.parent)
    said = site.command(command).failed(2, *words)
    ended = site.command(command, "--json")
    ended.failed(2, *words)
    assert ended.json["status"] == "failed"
    assert ended.json["error"].splitlines()[0] in ended.err
    assert listing(site.parent) == before
    return said


@pytest.mark.parametrize(
    ("table", "key", "value", "words"),
    [
        ("settings", "ap", "x", ("deploy.toml", "ap is not a known key", "did you mean app")),
        ("settings", "lock_wait", "soon", ("deploy.toml", "lock_wait", "number")),
        ("settings", "strategy", "rsync", ("deploy.toml", "strategy", "rsync", "static")),
        ("settings", "app", "Bad Name", ("app", "Bad Name")),
        ("settings", "app", "", ("app",)),
        ("settings", "url", "example.org", ("url", "http")),
        ("static", "sourc", "x", ("deploy.toml", "sourc", "source")),
        ("static", "keep", 1, ("static.keep", "2")),
        ("static", "keep", "five", ("static.keep",)),
        ("static", "exclude", "*.map", ("static.exclude",)),
        ("static", "source", "", ("static.source",)),
        ("static", "target", "/", ("static.target",)),
        ("static", "target", "www/site", ("static.target", "absolute")),
        ("static", "target", "/www/../etc", ("static.target", "..")),
        ("static", "target", "/www/a\nb", ("static.target",)),
        ("static", "target", "/etc", ("static.target",)),
        ("static", "target", "/www/.deployer/x", ("static.target", ".deployer")),
        ("host", "address", "two words", ("host.address",)),
        ("host", "address", "-oProxyCommand=x", ("host.address",)),
        ("host", "port", 70000, ("host.port",)),
        ("host", "user", "-l root", ("host.user",)),
    ],
)
def test_a_wrong_value_is_named(site: Deployment, table: str, key: str, value: object, words: tuple[str, ...]) -> None:
    """The message names the key and what was expected; for a mistyped key, the nearest one that exists."""
    getattr(site, table)[key] = value

    refused(site, *words)


def test_a_missing_host_is_named(site: Deployment) -> None:
    """Without a host nothing can be deployed: the message says how to give one."""
    site.host.clear()

    refused(site, "host")


@pytest.mark.parametrize("key", ["source", "target"])
def test_a_missing_key_is_named(site: Deployment, key: str) -> None:
    """A table without a key that it needs."""
    del site.static[key]

    refused(site, key)


@pytest.mark.parametrize("text", ["app = ", "[static", "app = 'x'\napp = 'y'\n", "\x00\xff", "x" * 100_000])
def test_a_file_that_is_no_toml_is_named(site: Deployment, text: str) -> None:
    """The message names the file and where it is broken."""
    broken = site.directory / "broken.toml"
    broken.write_text(text, "latin-1")

    site.command("run", "--config", str(broken)).failed(2, "broken.toml")


@pytest.mark.parametrize("name", ["missing.toml", ".", "unreadable/deploy.toml"])
def test_a_file_that_cannot_be_read_is_named(site: Deployment, name: str) -> None:
    """A configuration file that is not there, or is a directory."""
    site.command("run", "--config", name).failed(2, name)


def test_an_unknown_environment_is_named(site: Deployment) -> None:
    """An overlay that the file does not have."""
    site.command("run", "--environment", "stagin").failed(2, "stagin")


def test_a_missing_key_file_is_named(site: Deployment) -> None:
    """A private key that cannot be read: exit 2 and the path, before connecting."""
    site.write("index.html", "x")
    site.host = {"address": "127.0.0.1", "port": 1, "user": "deploy", "key": "no/such/key", "host_key": PINNED}

    site.command("run").failed(2, "no/such/key")


PINNED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.mark.parametrize("where", ["key", "user", "address", "host_key", "known_hosts", "app", "build"])
def test_a_key_in_the_wrong_place_is_not_printed(site: Deployment, where: str) -> None:
    """A private key that was pasted into another field is in no message."""
    site.write("index.html", "x")
    site.host = {"address": "127.0.0.1", "port": 1, "user": "deploy", "host_key": PINNED, "connect_timeout": 1}
    table = {"app": site.settings, "build": site.static}.get(where, site.host)
    table[where] = [SECRET] if where == "host_key" else SECRET

    for arguments in (("run",), ("run", "--json"), ("run", "--verbose")):
        ended = site.command(*arguments)
        assert ended.code in (1, 2)
        assert "c2VjcmV0" not in ended.err + ended.out
        assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--keep", "many"), ("--keep", "0"), ("--target", "relative"), ("--lock-wait", "-1"), ("--host", "a:b:c:d")],
)
def test_a_wrong_flag_is_named(site: Deployment, flag: str, value: str) -> None:
    """The same rules hold for flags: exit 2 with the flag's name."""
    ended = site.command("run", flag, value)

    assert ended.code == 2
    assert flag in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    "arguments", [("run", "extra"), ("run", "--no-such-flag"), ("deploy",), ("rollback", "a", "b")]
)
def test_wrong_usage_is_exit_2(site: Deployment, arguments: tuple[str, ...]) -> None:
    """What the command line does not know."""
    ended = site.command(*arguments)

    assert ended.code == 2
    assert "Usage" in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("name", "value"), [("DEPLOYER_KEEP", "many"), ("DEPLOYER_TARGET", "x"), ("DEPLOYER_KEP", "3")]
)
def test_a_wrong_variable_is_named(site: Deployment, name: str, value: str) -> None:
    """The same rules hold for variables; one that means nothing may be passed over, but never silently used."""
    site.write("index.html", "x")
    ended = site.command("run", variables={name: value})

    if ended.code:
        ended.failed(2, name)
    else:
        assert name == "DEPLOYER_KEP"


def test_the_configuration_is_found_upwards(site: Deployment) -> None:
    """A run in a folder below deploy.toml takes that file, and paths in it count from there."""
    site.write("index.html", "x")
    below = site.directory / "docs" / "deep"
    below.mkdir(parents=True)
    site.configure()

    site.working_directory = below

    assert site.deploy()["status"] == "deployed"
    assert site.text("index.html") == "x"


def test_no_configuration_at_all(site: Deployment, tmp_path: Path) -> None:
    """Without a file the flags may say everything; what is missing is named."""
    site.write("index.html", "x")
    (tmp_path / "elsewhere").mkdir()
    site.working_directory = tmp_path / "elsewhere"
    site.configured = False

    site.command("run").failed(2)

    flags = ("--app=site", "--host=local", f"--source={site.source}", f"--target={site.target}")
    assert json.loads(site.command("run", "--json", *flags).out)["status"] == "deployed"
