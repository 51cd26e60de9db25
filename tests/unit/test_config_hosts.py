"""Several hosts: their forms, and which of their parts come from where."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer.config import Config, Jump
from deployer.errors import InvalidInput
from tests.unit.test_config import load_text, refuse

REST = """
app = "blog"
static = { source = "public", target = "/www/blog" }
"""
ONE = REST + '[host]\naddress = "a"\nuser = "deploy"\nport = 2222\nkey = "/keys/a"\n'
TWO = REST + (
    '[[host]]\naddress = "a"\nuser = "deploy"\nport = 2222\nconnect_to = "10.0.0.1"\n'
    '[[host]]\naddress = "b"\nuser = "root"\nkey = "/keys/b"\n'
)
SAME = REST + 'host = ["one@a", "two@a", "two@a:2222"]\n'
BARE = "ssh-ed25519 AAAAC3"


def names(config: Config) -> list[tuple[str, str, int]]:
    return [("local" if host.local else host.address, host.user, host.port) for host in config.hosts]


@pytest.mark.parametrize(
    "hosts",
    [
        'host = ["deploy@a:2222", "local", "[::1]"]\n',
        'host = [{ address = "a", user = "deploy", port = 2222 }, "local", { address = "::1" }]\n',
        '[[host]]\naddress = "a"\nuser = "deploy"\nport = 2222\n[[host]]\naddress = "local"\n[[host]]\naddress = "::1"\n',
    ],
)
def test_several_hosts_have_several_forms(tmp_path: Path, hosts: str) -> None:
    """A list of texts, of tables or of both means the same as a table each; the order is kept."""
    rest = 'app = "blog"\nstatic = { source = "s", target = "/t" }\n'
    text = hosts + rest if hosts.startswith("host") else rest + hosts
    config = load_text(tmp_path, text)
    assert names(config) == [("a", "deploy", 2222), ("local", "", 22), ("::1", "", 22)]


def test_several_hosts_come_by_flags_and_by_variable(tmp_path: Path) -> None:
    """``--host`` repeats, DEPLOYER_HOST has one a line, and the flag beats the variable as a whole."""
    variables = {"DEPLOYER_HOST": "x@a\r\n\n b:2222 \nlocal\n"}
    assert names(load_text(tmp_path, REST, variables=variables)) == [("a", "x", 22), ("b", "", 2222), ("local", "", 22)]
    config = load_text(tmp_path, REST, variables=variables, flags={"host": ("c", "d")})
    assert names(config) == [("c", "", 22), ("d", "", 22)]


def test_a_named_host_takes_the_parts_of_the_files_host_of_that_address(tmp_path: Path) -> None:
    """Choosing one of several hosts by its address is enough; a strange one has nothing but its name."""
    for sources in ({"flags": {"host": ("B", "c")}}, {"variables": {"DEPLOYER_HOST": "B\nc"}}):
        config = load_text(tmp_path, TWO, **sources)
        assert names(config) == [("B", "root", 22), ("c", "", 22)]
        assert [host.key for host in config.hosts] == ["/keys/b", ""]
    assert names(load_text(tmp_path, TWO, flags={"host": ("me@a:22",)})) == [("a", "me", 22)]


def test_named_hosts_take_the_parts_of_the_files_only_host(tmp_path: Path) -> None:
    """As one --host does: user, port and key stay where they are not named."""
    config = load_text(tmp_path, ONE, flags={"host": ("x", "root@y:22")})
    assert names(config) == [("x", "deploy", 2222), ("y", "root", 22)]
    assert [host.key for host in config.hosts] == ["/keys/a", "/keys/a"]


def test_a_host_without_an_address_waits_for_its_names(tmp_path: Path) -> None:
    """A workflow gives the addresses, the file the rest."""
    text = REST + '[[host]]\nuser = "deploy"\n'
    assert names(load_text(tmp_path, text, flags={"host": ("a", "b")})) == [("a", "deploy", 22), ("b", "deploy", 22)]
    assert refuse(tmp_path, text).message == "deploy.toml lacks host"


def test_one_of_several_users_of_an_address_is_chosen_by_user_and_port(tmp_path: Path) -> None:
    """Where the address alone leaves a choice, nothing is guessed."""
    assert names(load_text(tmp_path, SAME, flags={"host": ("one@a",)})) == [("a", "one", 22)]
    assert names(load_text(tmp_path, SAME, flags={"host": ("a:2222",)})) == [("a", "two", 2222)]
    error = refuse(tmp_path, SAME, flags={"host": ("a",)})
    assert error.message == "--host must say which host of a it means"
    assert error.hint == "give user and port, too: one@a, two@a, two@a:2222"


def test_parts_without_a_name_are_for_every_host(tmp_path: Path) -> None:
    """--key, --known-hosts, --jump and the like are for all hosts, whoever named them."""
    flags = {"host.key": "k", "host.jump": "j", "host.connect_timeout": 3.0}
    variables = {"DEPLOYER_KNOWN_HOSTS": "known", "DEPLOYER_CONNECT_TIMEOUT": "4", "DEPLOYER_COMMAND_TIMEOUT": "5"}
    for more in ({}, {"host": ("x", "y")}):
        for host in load_text(tmp_path, TWO, flags={**flags, **more}, variables=variables).hosts:
            assert (host.key, host.known_hosts) == (str(tmp_path / "k"), str(tmp_path / "known"))
            assert host.jump == (Jump(address="j"),)
            assert (host.connect_timeout, host.command_timeout) == (3, 5)


def test_a_key_in_the_variable_takes_every_files_place(tmp_path: Path) -> None:
    """DEPLOYER_KEY with the key itself is for all hosts, as any other part is."""
    config = load_text(tmp_path, TWO, variables={"DEPLOYER_KEY": "-----BEGIN X-----"})
    assert [host.key for host in config.hosts] == ["", ""]


@pytest.mark.parametrize(
    ("base", "overlay", "expected"),
    [
        (TWO, '[E.host]\nuser = "x"\n', [("a", "x", 2222), ("b", "x", 22)]),
        (TWO, '[[E.host]]\nuser = "x"\n', [("a", "x", 2222), ("b", "x", 22)]),
        (TWO, '[E.host]\naddress = "b"\nport = 23\n', [("b", "root", 23)]),
        (TWO, '[E]\nhost = "c"\n', [("c", "", 22)]),
        (TWO, '[E]\nhost = ["local", "b"]\n', [("local", "", 22), ("b", "", 22)]),
        (ONE, '[E.host]\naddress = "c"\n', [("c", "deploy", 2222)]),
        (ONE, '[E]\nhost = "local"\n', [("local", "deploy", 2222)]),
        (ONE, '[[E.host]]\naddress = "c"\n', [("c", "", 22)]),
        (ONE, '[E]\nhost = ["c", "a"]\n', [("c", "", 22), ("a", "", 22)]),
        (REST, '[E]\nhost = ["c", "a"]\n', [("c", "", 22), ("a", "", 22)]),
        (TWO, "[E]\n", [("a", "deploy", 2222), ("b", "root", 22)]),
    ],
)
def test_an_environment_lays_its_hosts_over_the_files(
    tmp_path: Path, base: str, overlay: str, expected: list[tuple[str, str, int]]
) -> None:
    """Without an address its parts are for every host, with one it merges as --host does, and a list replaces."""
    text = base + overlay.replace("E", "environments.staging", 1)
    assert names(load_text(tmp_path, text, environment="staging")) == expected


def test_flags_name_hosts_of_the_chosen_environment(tmp_path: Path) -> None:
    """The parts that --host leaves out are looked up after the overlay."""
    text = TWO + '[environments.staging]\nhost = ["s@x", "t@y"]\n'
    assert names(load_text(tmp_path, text, environment="staging", flags={"host": ("y",)})) == [("y", "t", 22)]


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        (REST + 'host = ["a", "local", "A"]', (), "deploy.toml:4: host names A twice"),
        (REST + 'host = ["local", "local"]', (), "deploy.toml:4: host names local twice"),
        (ONE, ("x", "deploy@x"), "--host names deploy@x:2222 twice"),
        (REST, ("[::1]:2222", "[::1]:2222"), "--host names [::1]:2222 twice"),
    ],
)
def test_the_same_host_twice_is_refused(tmp_path: Path, text: str, flags: tuple[str, ...], message: str) -> None:
    """User, address and port together say which host it is, after all parts have come together."""
    assert refuse(tmp_path, text, flags={"host": flags}).message == message


def test_hosts_that_differ_are_several(tmp_path: Path) -> None:
    """Another port or another user is another host."""
    assert len(load_text(tmp_path, SAME).hosts) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[host]]\naddress = "a"\n[[host]]\nuser = "x"\n', "deploy.toml:6: host (host 2) lacks its address"),
        (
            '[[host]]\naddress = "a"\n[[host]]\naddress = "b"\nport = 0\n',
            "deploy.toml:8: host.port (host 2) must be a whole number from 1 to 65535, but is 0",
        ),
        (
            'host = [{ address = "a" },\n{ adress = "b" }]\n',
            "deploy.toml:4: host.adress (host 2) is not a known key; did you mean host.address?",
        ),
        ('host = ["a", "-b"]\n', "deploy.toml:4: host (host 2) must be a host name or an IP address, but is '-b'"),
        (
            'host = ["a", ["b"]]\n',
            "deploy.toml:4: host (host 2) must be [user@]address[:port], local, a table or a list of these, but is 'b'",
        ),
        (
            '[[environments.x.host]]\n[[environments.x.host]]\njmup = ""\n',
            "deploy.toml:4: environments.x.host (host 1) lacks its address",
        ),
        (
            '[environments.x.host]\njmup = ""\n',
            "deploy.toml:5: environments.x.host.jmup is not a known key; did you mean environments.x.host.jump?",
        ),
        ("[host]\nlocal = true\n", "deploy.toml:5: host.local is not a known key"),
        ('hosts = "a"\n', "deploy.toml:4: hosts is not a known key; did you mean host?"),
        (
            "environments.x.host = []\n",
            "deploy.toml:4: environments.x.host must name at least one host, but is an empty",
        ),
    ],
)
def test_a_mistake_in_one_of_several_hosts_names_it(tmp_path: Path, text: str, message: str) -> None:
    """The line and the place in the list, counted from one."""
    assert refuse(tmp_path, REST + text).message.startswith(message)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("j", (Jump(address="j"),)),
        ("me@j:2222", (Jump(address="j", port=2222, user="me"),)),
        ("j, me@k , [::1]:2222", (Jump(address="j"), Jump(address="k", user="me"), Jump(address="::1", port=2222))),
        (
            "me@[::1]:22,k,[fe80::1%eth0]",
            (Jump(address="::1", user="me"), Jump(address="k"), Jump(address="fe80::1%eth0")),
        ),
    ],
)
def test_jumps_are_parsed_in_their_order(tmp_path: Path, text: str, expected: tuple[Jump, ...]) -> None:
    """As in ``ssh -J``; in the file, a variable or a flag."""
    assert load_text(tmp_path, ONE + f'jump = "{text}"\n').hosts[0].jump == expected
    assert load_text(tmp_path, ONE, flags={"host.jump": text}).hosts[0].jump == expected
    assert load_text(tmp_path, ONE, variables={"DEPLOYER_JUMP": text + "\n"}).hosts[0].jump == expected


def test_an_empty_flag_takes_the_jump_away(tmp_path: Path) -> None:
    """``--jump ""`` goes straight."""
    assert load_text(tmp_path, ONE + 'jump = "j"\n', flags={"host.jump": ""}).hosts[0].jump == ()


@pytest.mark.parametrize(
    "text",
    [",", "j,", ",j", "j, ", "j k", "j,k l", "-oProxyCommand=x", "j, -x", "j:0", "::1", "ssh://j", "local", "j, local"],
)
def test_bad_jumps_are_refused(tmp_path: Path, text: str) -> None:
    """Empty hops, options, ports out of range, bare IPv6 and this machine."""
    error = refuse(tmp_path, ONE, flags={"host.jump": text})
    assert error.message.startswith("--jump must be [user@]host[:port] with an IPv6 address in brackets, or several")


@pytest.mark.parametrize("text", ["me:hush@j", "j/,me:hush@k", "me:hu,sh@j", "k,me:hush@::1"])
def test_a_password_in_a_jump_is_not_shown(tmp_path: Path, text: str) -> None:
    """Whichever part of the text the mistake is in."""
    error = str(refuse(tmp_path, ONE, flags={"host.jump": text}))
    assert "hush" not in error and "sh@" not in error


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        (ONE + 'jump = "j"\n', {}),
        (TWO, {}),
        (ONE, {"flags": {"host": ("a", "local")}}),
        (ONE, {"variables": {"DEPLOYER_JUMP": "j"}}),
    ],
)
def test_a_bare_host_key_needs_one_host_and_no_jump(tmp_path: Path, text: str, sources: dict[str, object]) -> None:
    """Otherwise nothing says whose it is, and the message says what to write."""
    variables = {"DEPLOYER_HOST_KEY": f"x ssh-rsa AAAAB3\n{BARE}", **dict(sources.pop("variables", {}))}  # type: ignore[call-overload]
    error = refuse(tmp_path, text, **sources, variables=variables)
    assert error.message.endswith(" is bare, which needs exactly one host and no jump host")
    assert "\n[a]:2222 ssh-ed25519 AAAA…" in error.hint


def test_the_hint_for_bare_keys_has_a_line_for_each_host_on_the_way(tmp_path: Path) -> None:
    """Jump hosts first, each once."""
    text = TWO.replace("[[host]]", '[[host]]\njump = "j:23,k"')
    error = refuse(tmp_path, text, flags={"host.host_key": (BARE,)})
    lines = [line.partition(" ssh-ed25519")[0] for line in error.hint.splitlines()[1:]]
    assert lines == ["[j]:23", "k", "[a]:2222", "b"]


def test_host_keys_with_names_are_for_several_hosts(tmp_path: Path) -> None:
    """Lines of known_hosts; a bare key stays fine with one host, and with this machine alone."""
    keys = ("a ssh-ed25519 AAAAC3", "@cert-authority * ssh-rsa AAAAB3", "|1|a|b= ssh-rsa AAAAB3")
    flags = {"host.host_key": keys, "host.jump": "j"}
    assert [host.host_key for host in load_text(tmp_path, TWO, flags=flags).hosts] == [keys, keys]
    assert load_text(tmp_path, ONE, flags={"host.host_key": (BARE,)}).hosts[0].host_key == (BARE,)
    flags = {"host.host_key": (BARE,), "host": ("local",), "host.jump": "j"}
    assert load_text(tmp_path, ONE, flags=flags).hosts[0].local


def test_no_host_at_all_is_refused(tmp_path: Path) -> None:
    """An empty flag list is "not given"; an empty list in the file is a mistake."""
    with pytest.raises(InvalidInput, match="lacks host"):
        load_text(tmp_path, REST, flags={"host": ()})
