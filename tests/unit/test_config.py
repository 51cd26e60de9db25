"""Loading: which source wins, what becomes of paths, and what is required."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deployer.config import OPTIONS, Config, Host, Static, find, load, load_secrets
from deployer.errors import InvalidInput

MINIMAL = """\
app = "blog"
url = "https://example.org/"

[host]
address = "example.org"
user = "deploy"
port = 2222

[static]
source = "public"
target = "/www/blog"
"""
STAGING = """
[environments.staging]
url = "https://staging.example.org/"
host = { address = "staging.example.org" }
static = { target = "/www/staging", exclude = ["*.map"] }

[environments.here]
host = "local"
"""
# Put together here, so that scanners for leaked keys do not stop at this file.
FRAME = "OPENSSH PRIVATE KEY"
PRIVATE_KEY = f"-----BEGIN {FRAME}-----\nhush\n-----END {FRAME}-----\n"


def load_text(folder: Path, text: str, **sources: object) -> Config:
    file = folder / "deploy.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, **{"flags": {}, "variables": {}, "directory": folder, **sources})  # type: ignore[arg-type]


def refuse(folder: Path, text: str, **sources: object) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        load_text(folder, text, **sources)
    return caught.value


def test_a_minimal_file_gets_the_documented_defaults(tmp_path: Path) -> None:
    """Only app, host, source and target are needed; the rest has the design's defaults."""
    config = load_text(tmp_path, MINIMAL)
    assert (config.app, config.strategy, config.lock_wait, config.environment) == ("blog", "static", 60, "")
    (host,) = config.hosts
    assert (host.address, host.port, host.user) == ("example.org", 2222, "deploy")
    assert (host.local, host.connect_timeout, host.command_timeout) == (False, 10, 600)
    assert (config.static.keep, config.static.exclude, config.static.build) == (5, (), "")
    assert (config.health.status, config.health.timeout) == ((200,), 60)
    assert (config.probe.rate, config.probe.budget) == (20, 0)


def test_the_model_can_be_made_in_code() -> None:
    """Tests and other doors make a Config directly."""
    config = Config(app="blog", hosts=(Host(local=True),), static=Static(source="/a", target="/b"), url="http://x/")
    assert config.health_url == config.probe_url == "http://x/"


def test_health_and_probe_ask_the_url_unless_they_have_their_own(tmp_path: Path) -> None:
    """health.url and probe.url default to url."""
    config = load_text(tmp_path, MINIMAL + '[health]\nurl = "http://127.0.0.1:8080/"\n')
    assert config.health_url == "http://127.0.0.1:8080/"
    assert config.probe_url == "https://example.org/"


def test_a_flag_beats_a_variable_and_a_variable_beats_the_file(tmp_path: Path) -> None:
    """Precedence is per key."""
    text = MINIMAL + "keep = 3\n"
    variables = {"DEPLOYER_KEEP": "4", "DEPLOYER_LOCK_WAIT": "7.5"}
    assert load_text(tmp_path, text).static.keep == 3
    assert load_text(tmp_path, text, variables=variables).static.keep == 4
    config = load_text(tmp_path, text, variables=variables, flags={"static.keep": 6})
    assert (config.static.keep, config.lock_wait) == (6, 7.5)


def test_everything_can_come_without_a_file(tmp_path: Path) -> None:
    """Flags and variables alone are enough, and the working directory is the folder."""
    flags = {"app": "blog", "host": ("deploy@[2001:db8::1]:2200",), "static.source": "out"}
    config = load(None, flags=flags, variables={"DEPLOYER_TARGET": "/www/blog/\n"}, directory=tmp_path)
    assert config.directory == tmp_path
    (host,) = config.hosts
    assert (host.user, host.address, host.port) == ("deploy", "2001:db8::1", 2200)
    assert (config.static.source, config.static.target) == (str(tmp_path / "out"), "/www/blog")


def test_flags_that_were_not_given_change_nothing(tmp_path: Path) -> None:
    """None and the empty tuple are how a command line says "absent"."""
    given = {option.key: () if option.repeat else None for option in OPTIONS}
    assert load_text(tmp_path, MINIMAL, flags=given) == load_text(tmp_path, MINIMAL)


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    """CI systems pass inputs that nobody set as empty variables."""
    empty = {option.variable: "\n" for option in OPTIONS} | {"DEPLOYER_ENVIRONMENT": ""}
    assert load_text(tmp_path, MINIMAL, variables=empty) == load_text(tmp_path, MINIMAL)


def test_lists_are_replaced_and_variables_have_an_entry_a_line(tmp_path: Path) -> None:
    """A list from a stronger source takes the place of the file's; nothing is appended."""
    text = MINIMAL + 'exclude = ["a", "b"]\n'
    variables = {"DEPLOYER_EXCLUDE": "*.map\r\n\n  drafts/*  \n", "DEPLOYER_HEALTH_STATUS": "200\n301"}
    config = load_text(tmp_path, text, variables=variables)
    assert (config.static.exclude, config.health.status) == (("*.map", "drafts/*"), (200, 301))
    config = load_text(tmp_path, text, variables=variables, flags={"static.exclude": ("x y",)})
    assert config.static.exclude == ("x y",)


def test_an_empty_flag_takes_a_text_away(tmp_path: Path) -> None:
    """``--build ""`` deploys what is there without building it."""
    text = MINIMAL + 'build = "make"\n'
    assert load_text(tmp_path, text).static.build == "make"
    assert load_text(tmp_path, text, flags={"static.build": ""}).static.build == ""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("local", (True, "", "", 22)),
        ("example.org", (False, "example.org", "", 22)),
        ("deploy@example.org", (False, "example.org", "deploy", 22)),
        ("deploy@10.0.0.1:2200", (False, "10.0.0.1", "deploy", 2200)),
        ("[::1]", (False, "::1", "", 22)),
        ("me@corp@[fe80::1%eth0]:22022", (False, "fe80::1%eth0", "me@corp", 22022)),
        ("me@local", (False, "local", "me", 22)),
    ],
)
def test_host_has_a_short_form(tmp_path: Path, host: str, expected: tuple[bool, str, str, int]) -> None:
    """``host = "[user@]address[:port]"`` in the file, a variable or a flag means the same."""
    rest = 'app = "a"\nstatic = { source = "s", target = "/t" }\n'
    for config in (
        load_text(tmp_path, f'host = "{host}"\n{rest}'),
        load_text(tmp_path, rest, variables={"DEPLOYER_HOST": f"{host}\n"}),
        load_text(tmp_path, rest, flags={"host": (host,)}),
    ):
        (only,) = config.hosts
        assert (only.local, only.address, only.user, only.port) == expected


def test_parts_of_the_host_that_are_not_named_stay(tmp_path: Path) -> None:
    """``--host other`` moves the deploy to another server with the same user and port."""
    host = load_text(tmp_path, MINIMAL, flags={"host": ("other.example.org",)}).hosts[0]
    assert (host.address, host.user, host.port) == ("other.example.org", "deploy", 2222)
    host = load_text(tmp_path, MINIMAL, variables={"DEPLOYER_HOST": "root@other:22"}).hosts[0]
    assert (host.address, host.user, host.port) == ("other", "root", 22)


def test_local_and_remote_replace_each_other(tmp_path: Path) -> None:
    """A stronger source can send a local deploy away, and the other way round; a table's address may be local, too."""
    assert load_text(tmp_path, MINIMAL, flags={"host": "local"}).hosts[0].local
    text = MINIMAL.replace('address = "example.org"', 'address = "local"\nconnect_to = "::1"')
    host = load_text(tmp_path, text).hosts[0]
    assert (host.local, host.address, host.connect_to) == (True, "", "::1")
    host = load_text(tmp_path, text, flags={"host": "b"}).hosts[0]
    assert (host.local, host.address) == (False, "b")
    overlay = text + '[environments.far.host]\naddress = "far"\n'
    assert not load_text(tmp_path, overlay, environment="far").hosts[0].local


def test_a_list_of_one_host_is_a_host(tmp_path: Path) -> None:
    """``[[host]]`` with one entry works as ``[host]``."""
    assert load_text(tmp_path, MINIMAL.replace("[host]", "[[host]]")) == load_text(tmp_path, MINIMAL)


def test_an_environment_overlays_the_file(tmp_path: Path) -> None:
    """Tables merge key by key; what the environment does not name stays."""
    config = load_text(tmp_path, MINIMAL + STAGING, environment="staging")
    assert (config.environment, config.url, config.app) == ("staging", "https://staging.example.org/", "blog")
    (host,) = config.hosts
    assert (host.address, host.user, host.port) == ("staging.example.org", "deploy", 2222)
    assert (config.static.target, config.static.exclude) == ("/www/staging", ("*.map",))
    assert load_text(tmp_path, MINIMAL + STAGING).static.exclude == ()
    assert load_text(tmp_path, MINIMAL + STAGING, environment="here").hosts[0].local


def test_the_environment_can_come_by_variable(tmp_path: Path) -> None:
    """DEPLOYER_ENVIRONMENT chooses, and --environment beats it."""
    variables = {"DEPLOYER_ENVIRONMENT": "staging\n"}
    assert load_text(tmp_path, MINIMAL + STAGING, variables=variables).environment == "staging"
    assert load_text(tmp_path, MINIMAL + STAGING, variables=variables, environment="here").environment == "here"


def test_an_unknown_environment_lists_those_that_exist(tmp_path: Path) -> None:
    """The message offers the nearest and lists all."""
    error = refuse(tmp_path, MINIMAL + STAGING, environment="stagin")
    assert error.message == "environment 'stagin' does not exist in deploy.toml; did you mean staging?"
    assert error.hint == "environments there: staging, here"
    assert "deploy.toml has no environments" in refuse(tmp_path, MINIMAL, environment="staging").message
    with pytest.raises(InvalidInput, match=r"there is no deploy\.toml"):
        load(None, environment="staging", flags={}, variables={}, directory=tmp_path)


def test_relative_paths_start_where_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in the file start from its folder, those of flags and variables from the working directory; ~ is home."""
    monkeypatch.setenv("HOME", "/home/me")
    below = tmp_path / "below"
    below.mkdir()
    text = MINIMAL.replace("user =", 'key = "~/.ssh/id"\nknown_hosts = "keys/known"\nuser =')
    config = load_text(tmp_path, text, directory=below)
    assert config.directory == tmp_path
    assert config.static.source == str(tmp_path / "public")
    (host,) = config.hosts
    assert (host.key, host.known_hosts) == ("/home/me/.ssh/id", str(tmp_path / "keys/known"))
    given = {"flags": {"static.source": "dist"}, "variables": {"DEPLOYER_KEY": "/abs/id"}}
    config = load_text(tmp_path, text, directory=below, **given)
    assert (config.static.source, config.hosts[0].key) == (str(below / "dist"), "/abs/id")


def test_a_home_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """``~nobody-here`` is not taken for a folder of that name."""
    error = refuse(tmp_path, MINIMAL, flags={"static.source": "~no-such-user-here/site"})
    assert error.message.startswith("--source must be a path, with ~ for a home directory that exists, but is")


def test_the_config_file_may_be_relative(tmp_path: Path) -> None:
    """``--config conf/site.toml`` starts from the working directory, and messages show it as that."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "site.toml").write_text(MINIMAL)
    sources: dict[str, object] = {"flags": {}, "variables": {}, "directory": tmp_path}
    config = load(Path("conf/site.toml"), **sources)  # type: ignore[arg-type]
    assert config.directory == tmp_path / "conf"
    (tmp_path / "conf" / "site.toml").write_text("appp = 1")
    with pytest.raises(InvalidInput, match=r"^conf/site\.toml:1: appp is not a known key; did you mean app\?"):
        load(Path("conf/site.toml"), **sources)  # type: ignore[arg-type]


def test_host_keys_may_be_a_text_of_lines_or_a_list(tmp_path: Path) -> None:
    """Comments and empty lines of a pasted known_hosts file are left out."""
    keys = (
        "ssh-ed25519 AAAAC3Nz",
        "example.org,10.0.0.1 ecdsa-sha2-nistp256 AAAAE2Vj comment",
        "|1|a|b= ssh-rsa AAAAB3",
    )
    pasted = "# example.org:22 SSH-2.0\n" + "\n\n".join(keys) + "\n"
    as_text = MINIMAL.replace("[static]", f'host_key = """\n{pasted}"""\n[static]')
    as_list = MINIMAL.replace("[static]", f"host_key = {list(keys)}\n[static]")
    assert load_text(tmp_path, as_text).hosts[0].host_key == keys
    assert load_text(tmp_path, as_list).hosts[0].host_key == keys
    assert load_text(tmp_path, MINIMAL, variables={"DEPLOYER_HOST_KEY": pasted}).hosts[0].host_key == keys
    assert load_text(tmp_path, MINIMAL, flags={"host.host_key": (pasted,)}).hosts[0].host_key == keys


def test_what_is_missing_is_named_with_every_way_to_give_it(tmp_path: Path) -> None:
    """All missing keys come at once, each with its flag and its variable."""
    error = refuse(tmp_path, "lock_wait = 0\n")
    assert error.message == "deploy.toml lacks app, host, static.source, static.target"
    assert "host: by deploy.toml, --host or DEPLOYER_HOST" in error.hint
    assert "static.source: by deploy.toml, --source or DEPLOYER_SOURCE" in error.hint
    with pytest.raises(InvalidInput, match="the configuration lacks app, host"):
        load(None, flags={}, variables={}, directory=tmp_path)


def test_a_text_to_look_for_needs_a_url(tmp_path: Path) -> None:
    """health.contains without any URL could never be checked."""
    text = MINIMAL.replace('url = "https://example.org/"\n', "") + '[health]\ncontains = "ok"\n'
    assert refuse(tmp_path, text).message == "health.contains needs a URL to look at"
    assert load_text(tmp_path, text, flags={"health.url": "http://x/"}).health.contains == "ok"


def test_a_key_in_the_variable_is_a_secret_and_a_path_is_not(tmp_path: Path) -> None:
    """DEPLOYER_KEY holds the key or its file's path; the key never gets into Config, and puts the file's aside."""
    text = MINIMAL.replace("user =", 'key = "id"\nuser =')
    variables = {"DEPLOYER_KEY": PRIVATE_KEY, "DEPLOYER_KEY_PASSPHRASE": " open sesame "}
    config, secrets = load_text(tmp_path, text, variables=variables), load_secrets(variables)
    assert config.hosts[0].key == ""
    assert secrets.key and secrets.key.reveal() == PRIVATE_KEY
    assert secrets.key_passphrase and secrets.key_passphrase.reveal() == " open sesame "
    assert "hush" not in repr(config) + repr(secrets) and "sesame" not in repr(secrets)
    assert load_text(tmp_path, text, variables=variables, flags={"host.key": "/k"}).hosts[0].key == "/k"
    assert load_secrets({"DEPLOYER_KEY": "/path/id", "DEPLOYER_KEY_PASSPHRASE": ""}) == load_secrets({})


def test_find_takes_the_nearest_file_upwards(tmp_path: Path) -> None:
    """A folder of that name is passed over; no file at all is None."""
    deep = tmp_path / "a" / "b"
    (deep / "deploy.toml").mkdir(parents=True)
    assert find(deep) is None
    (tmp_path / "deploy.toml").touch()
    assert find(deep) == tmp_path / "deploy.toml"
    (tmp_path / "a" / "deploy.toml").touch()
    assert find(deep) == tmp_path / "a" / "deploy.toml"


def test_the_configuration_does_not_load_heavy_libraries() -> None:
    """Import time counts: msgspec and the standard library only."""
    code = "import sys, deployer.config; print(*{name.split('.')[0] for name in sys.modules})"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    loaded = set(result.stdout.split())
    assert "msgspec" in loaded
    assert not loaded & {"fabric", "paramiko", "rich", "click", "zstandard", "cryptography", "tomllib", "difflib"}
