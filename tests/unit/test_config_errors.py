"""Bad configuration: every message names where the value came from, what was expected and the nearest valid key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deployer.config import load
from deployer.errors import InvalidInput
from tests.unit.test_config import MINIMAL, PRIVATE_KEY, load_text, refuse


def with_line(line: str) -> str:
    """The minimal file with one more line (line 2) at its top."""
    return MINIMAL.replace("\n", f"\n{line}\n", 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lock_wiat = 3", "deploy.toml:2: lock_wiat is not a known key; did you mean lock_wait?"),
        ("health.urll = ''", "deploy.toml:2: health.urll is not a known key; did you mean health.url?"),
        ("keep = 3", "deploy.toml:2: keep is not a known key; did you mean static.keep?"),
        ("environment.a.b = 3", "deploy.toml:2: environment is not a known key; did you mean environments?"),
        ("probe = { rat = 1 }", "deploy.toml:2: probe.rat is not a known key; did you mean probe.rate?"),
        (
            "environments.a.static.kep = 3",
            "deploy.toml:2: environments.a.static.kep is not a known key; did you mean environments.a.static.keep?",
        ),
        ("environment = ''", "deploy.toml:2: environment is not a known key; did you mean environments?"),
        ("directory = ''", "deploy.toml:2: directory is not a known key; did you mean traefik.directory?"),
    ],
)
def test_an_unknown_key_offers_the_nearest(tmp_path: Path, line: str, message: str) -> None:
    """The place is the key's line; a key of this name in another table is offered, too."""
    assert refuse(tmp_path, with_line(line)).message == message


def test_an_unknown_key_like_no_other_lists_the_table(tmp_path: Path) -> None:
    """Where nothing is near, the message says what there is."""
    error = refuse(tmp_path, MINIMAL + "xyz = 1\n")
    assert str(error) == (
        "deploy.toml:12: static.xyz is not a known key\n"
        "  known here: build, build_image, source, target, exclude, shared, keep, retain_assets"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lock_wait = true", "lock_wait must be a number from 0 to 86400, but is true"),
        ("lock_wait = '5'", "lock_wait must be a number from 0 to 86400, but is '5'"),
        ("lock_wait = nan", "lock_wait must be a number from 0 to 86400, but is nan"),
        ("lock_wait = -1", "lock_wait must be a number from 0 to 86400, but is -1"),
        ("lock_wait = 2026-11-22", "lock_wait must be a number from 0 to 86400, but is a date or time"),
        ("probe.rate = 0", "probe.rate must be a number above 0 and at most 1000, but is 0"),
        ("probe.rate = inf", "probe.rate must be a number above 0 and at most 1000, but is inf"),
        ("probe.budget = 1.0", "probe.budget must be a whole number from 0 to 1000000, but is 1.0"),
        ("probe.budget = false", "probe.budget must be a whole number from 0 to 1000000, but is false"),
        ("health.timeout = 0", "health.timeout must be a number above 0 and at most 86400, but is 0"),
        (
            "health.status = 200",
            "health.status must be a list of whole numbers from 100 to 599 with at least one entry, but is 200",
        ),
        (
            "health.status = []",
            "health.status must be a list of whole numbers from 100 to 599 with at least one entry, but is []",
        ),
        (
            "health.status = [99]",
            "health.status must be a list of whole numbers from 100 to 599 with at least one entry, but is 99",
        ),
        ("health.contains = 1", "health.contains must be a text, but is 1"),
        ("health.contains = [1, 'a']", "health.contains must be a text, but is [1, 'a']"),
        ("health.contains = {}", "health.contains must be a text, but is a table"),
        ('health.contains = "a\\u0000"', "health.contains must be a text without NUL characters"),
        ("health = 1", "health must be a table, such as [health]"),
        ("environments = 1", "environments must hold tables, such as [environments.staging]"),
        ("environments.a = 1", "environments.a must be a table, such as [environments.a]"),
        ("environments.a.probe = 1", "environments.a.probe must be a table, such as [environments.a.probe]"),
        ("environments.'a b' = {}", "environments.a b must be named by letters, digits, '.', '_' and '-' only"),
        ("strategy = 'magic'", "strategy must be one of static, rebuild, but is 'magic'"),
        (
            "probe.url = 'ftp://x/'",
            "probe.url must be an http:// or https:// URL with a host, in ASCII without spaces, but is 'ftp://x/'",
        ),
    ],
)
def test_a_wrong_value_says_what_was_expected(tmp_path: Path, line: str, message: str) -> None:
    """Types are TOML's, and neither a bool nor a text is a number."""
    assert refuse(tmp_path, with_line(line)).message == f"deploy.toml:2: {message}"


def test_tables_report_their_line_and_types(tmp_path: Path) -> None:
    """Inside ``[host]`` and ``[static]``, the line is that of the key."""
    assert refuse(tmp_path, MINIMAL.replace("2222", "65536")).message == (
        "deploy.toml:7: host.port must be a whole number from 1 to 65535, but is 65536"
    )
    assert refuse(tmp_path, MINIMAL + "keep = 1\n").message == (
        "deploy.toml:12: static.keep must be a whole number from 2 to 1000, but is 1"
    )
    assert refuse(tmp_path, MINIMAL.replace("public", "")).message == (
        "deploy.toml:10: static.source must be a text that is not empty, but is ''"
    )
    assert refuse(tmp_path, "host = 3").message == (
        "deploy.toml:1: host must be [user@]address[:port], local, a table or a list of these, but is 3"
    )
    assert refuse(tmp_path, "host = []").message == (
        "deploy.toml:1: host must name at least one host, but is an empty list"
    )


def test_environments_that_were_not_chosen_are_checked_too(tmp_path: Path) -> None:
    """A mistake in staging shows before the day staging is deployed."""
    text = MINIMAL + '\n[environments.staging]\nstatic.target = "www"\n'
    assert refuse(tmp_path, text).message.startswith(
        "deploy.toml:14: environments.staging.static.target must be an abs"
    )


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"flags": {"static.keep": "many"}}, "--keep must be a whole number from 2 to 1000, but is 'many'"),
        ({"flags": {"static.keep": True}}, "--keep must be a whole number from 2 to 1000, but is true"),
        ({"flags": {"static.keep": 1}}, "--keep must be a whole number from 2 to 1000, but is 1"),
        ({"variables": {"DEPLOYER_KEEP": "3.5"}}, "DEPLOYER_KEEP must be a whole number from 2 to 1000, but is '3.5'"),
        (
            {"variables": {"DEPLOYER_PROBE_RATE": "1e3"}},
            "DEPLOYER_PROBE_RATE must be a number above 0 and at most 1000",
        ),
        ({"variables": {"DEPLOYER_TIMEOUT": "nan"}}, "DEPLOYER_TIMEOUT must be a number above 0 and at most 86400"),
        (
            {"variables": {"DEPLOYER_HEALTH_STATUS": "200,301"}},
            "DEPLOYER_HEALTH_STATUS must be a list of whole numbers",
        ),
        ({"flags": {"app": "No"}}, "--app must be a name of 1 to 63 small letters"),
        ({"flags": {"strategy": "magic"}}, "--strategy must be one of static, rebuild, but is 'magic'"),
        ({"flags": {"host": ("-oProxyCommand=x",)}}, "--host must be a host name or an IP address"),
        ({"variables": {"DEPLOYER_HOST": "a:0"}}, "DEPLOYER_HOST must be [user@]address[:port] with a port from 1 to"),
        ({"flags": {"static.exclude": ("a", "")}}, "--exclude must be a text that is not empty"),
    ],
)
def test_a_wrong_flag_or_variable_is_named(tmp_path: Path, sources: dict[str, object], message: str) -> None:
    """The message begins with the flag or the variable, not with the key behind it."""
    assert refuse(tmp_path, MINIMAL, **sources).message.startswith(message)


@pytest.mark.parametrize(
    "sources",
    [
        {"flags": {"host.key": PRIVATE_KEY}},
        {"flags": {"host.host_key": (PRIVATE_KEY,)}},
        {"flags": {"host.host_key": ("hush",)}},
        {"variables": {"DEPLOYER_KEY": "hush\nhush"}},
        {"variables": {"DEPLOYER_KEY": "hush" * 100}},
        {"flags": {"url": "https://me:hush@example.org/"}},
        {"flags": {"url": "https://me:hush@[example.org/"}},
        {"flags": {"host": ("me:hush@example.org",)}},
        {"flags": {"host": ("me:hush@::1",)}},
        {"flags": {"health.contains": "hush\0"}},
    ],
)
def test_what_may_be_secret_is_not_shown(tmp_path: Path, sources: dict[str, object]) -> None:
    """Keys and passwords that landed in the wrong place are refused without their contents."""
    assert "hush" not in str(refuse(tmp_path, MINIMAL, **sources))


def test_a_private_key_in_the_file_is_refused_without_being_shown(tmp_path: Path) -> None:
    """The hint says where the key belongs."""
    error = refuse(tmp_path, MINIMAL.replace("user =", f'key = """{PRIVATE_KEY}"""\nuser ='))
    assert error.message == "deploy.toml:6: host.key must be the path of a private key's file, never the key itself"
    assert "DEPLOYER_KEY" in error.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'app = "a"\nurl = \n', r"^deploy\.toml:2: is not valid TOML: "),
        (b'app = "a"\napp = "b"\n', r"^deploy\.toml:\d: is not valid TOML: "),
        (b'app = "a"\n\n[host', r"^deploy\.toml:3: is not valid TOML: "),
        (b'app = "a"\nurl = "\xff"\n', r"^deploy\.toml:2: is not UTF-8 text"),
        (b"a = " + b"[" * 100_000, r"^deploy\.toml"),
        (b"lock_wait = " + b"9" * 5_000, r"^deploy\.toml"),
    ],
)
def test_a_file_that_is_not_toml_says_where(tmp_path: Path, content: bytes, message: str) -> None:
    """Never a traceback: the line, and what the parser expected."""
    file = tmp_path / "deploy.toml"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        load(file, flags={}, variables={}, directory=tmp_path)


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    """Editors on Windows write both; lines are still counted right."""
    text = "\ufeff" + MINIMAL.replace("\n", "\r\n")
    assert load_text(tmp_path, text).app == "blog"
    assert refuse(tmp_path, text + "kep = 1\r\n").message.startswith("deploy.toml:12: static.kep ")


def test_a_missing_config_file_is_named(tmp_path: Path) -> None:
    """--config FILE must exist."""
    with pytest.raises(InvalidInput, match=r"^other\.toml does not exist"):
        load(Path("other.toml"), flags={}, variables={}, directory=tmp_path)


def test_a_config_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A folder, or a file without permission, is an error with the system's reason."""
    with pytest.raises(InvalidInput, match="cannot be read: Is a directory"):
        load(tmp_path, flags={}, variables={}, directory=tmp_path)
    if os.geteuid() != 0:
        (tmp_path / "deploy.toml").touch(mode=0)
        with pytest.raises(InvalidInput, match=r"^deploy\.toml cannot be read: Permission denied"):
            load(tmp_path / "deploy.toml", flags={}, variables={}, directory=tmp_path)
