"""The rules for single texts, and the lines that messages point to."""

from __future__ import annotations

import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.config import checks
from deployer.config.document import find_lines


def accepted(check: checks.Check, text: str) -> bool:
    try:
        check(text)
    except checks.Refused:
        return False
    return True


@given(st.one_of(st.text(max_size=70), st.from_regex(checks.APP_PATTERN), st.text("ab-0A_.", max_size=66)))
def test_an_app_name_is_exactly_what_the_design_says(text: str) -> None:
    """``[a-z0-9][a-z0-9-]{0,62}``, whole, without a newline at its end."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    allowed = 1 <= len(text) <= 63 and text[0] in letters and set(text) <= {*letters, "-"}
    assert accepted(checks.check_app, text) == allowed


@given(st.one_of(st.text(max_size=40), st.text("/.a\n ~", max_size=20)))
def test_a_target_that_is_accepted_is_safe(text: str) -> None:
    """Absolute, below /, without components that lead elsewhere, and the same when checked again."""
    for given_text in (text, "/" + text, f"/www/{text}/"):
        if accepted(checks.check_target, given_text):
            target = checks.check_target(given_text)
            assert re.fullmatch(r"(/[^/]+)+", target)
            assert not {".", "..", ""} & set(target.split("/")[1:])
            assert not any(ord(character) < 32 or ord(character) == 127 for character in target)
            assert checks.check_target(target) == target == given_text.rstrip("/")


@pytest.mark.parametrize(
    "text", ["/www", "/www/a b", "/www/it's $(x) -rf", "/www/.hidden/...", "/www/é/日本", "/usr/share/x"]
)
def test_unusual_targets_are_fine(text: str) -> None:
    """Spaces, quotes and shell signs are only characters of a name."""
    assert checks.check_target(text + "///") == text


@pytest.mark.parametrize(
    "text",
    ["", "/", "//", "///", "www", "./www", "~/www", "//www", "/www//a", "/www/../a", "/www/./a", "/..", "/a\n", "/a\x7f",
     "/www/\x1b[0m", "/etc", "/usr/", "/www/.deployer/a", "/.deployer", "/www/" + "a" * 256, "/www/" + "é" * 128],
)  # fmt: skip
def test_bad_targets_are_refused(text: str) -> None:
    """The root, relative paths, dots, control characters, the system's directories and deployer's own."""
    assert not accepted(checks.check_target, text)


@pytest.mark.parametrize(
    "text", ["-oProxyCommand=x", "a b", "a\n", "a/b", "", "[a", "[a]", "a@b", "a:1", "é.org", "a" * 254, "::g", ".a"]
)
def test_bad_addresses_are_refused(text: str) -> None:
    """Nothing that a program could take for an option, and nothing that is no name."""
    assert not accepted(checks.check_address, text)


@pytest.mark.parametrize("text", ["a", "my_host", "example.org.", "10.0.0.1", "2001:db8::1", "fe80::1%eth0"])
def test_names_and_addresses_are_fine(text: str) -> None:
    """Names from ~/.ssh/config-like use, DNS, IPv4 and IPv6 alike."""
    assert checks.check_address(text) == text
    assert checks.check_address("[::1]") == "::1"


@given(st.text(max_size=20))
def test_a_user_never_looks_like_an_option(text: str) -> None:
    """No leading hyphen, no white space, no control character."""
    if accepted(checks.check_user, text):
        assert not text.startswith("-")
        assert not re.search(r"[\s:\x00-\x1f\x7f]", text)


@given(st.text(max_size=30))
def test_any_host_text_is_split_or_refused(text: str) -> None:
    """No input ends in anything but a table or Refused, and an accepted address is safe to hand on."""
    try:
        host = checks.parse_host(text)
    except checks.Refused:
        return
    assert not str(host["address"]).startswith("-")


@pytest.mark.parametrize(
    "text",
    [
        "@a",
        "-u@a",
        "a:",
        "a:0",
        "a:65536",
        "a:22x",
        "a:²",
        "::1",
        "2001:db8::1:22",
        "[::1",
        "[::1]x",
        "ssh://a",
        "a,b",
        "",
    ],
)
def test_bad_host_texts_are_refused(text: str) -> None:
    """Ports out of range, users like options, bare IPv6 and URLs."""
    with pytest.raises(checks.Refused):
        checks.parse_host(text)


def test_a_bare_ipv6_address_is_told_to_wear_brackets() -> None:
    """Where address and port cannot be told apart, the hint shows the form that can."""
    with pytest.raises(checks.Refused) as caught:
        checks.parse_host("2001:db8::1")
    assert caught.value.hint == "write [2001:db8::1]"


@pytest.mark.parametrize(
    "text", ["example.org", "http://", "https:///a", "ftp://a/", "http://a b/", "http://a/\n", "http://a:99999/", "http://[::1/",
             "http://é.org/", "http://a:0/", "javascript:alert(1)", "http://u@a/"]
)  # fmt: skip
def test_bad_urls_are_refused(text: str) -> None:
    """Only http and https, with a host, a possible port and no credentials."""
    assert not accepted(checks.check_url, text)


@pytest.mark.parametrize(
    "text", ["", "http://a", "https://example.org:8443/a%20b?c=d", "http://[::1]:8080/", "HTTP://A/"]
)
def test_urls_are_kept_as_they_are(text: str) -> None:
    """A good URL is not rewritten."""
    assert checks.check_url(text) == text


@pytest.mark.parametrize(
    ("text", "accepts"),
    [
        ("ssh-ed25519 AAAAC3", True),
        ("[example.org]:2222 ssh-rsa AAAAB3 root@host", True),
        ("@cert-authority *.example.org ecdsa-sha2-nistp256 AAAAE2", True),
        ("* sk-ssh-ed25519@openssh.com AAAAGn", True),
        ("SHA256:2xk8", False),
        ("AAAAC3", False),
        ("example.org", False),
    ],
)
def test_host_keys_look_like_public_keys(text: str, accepts: bool) -> None:
    """Lines of known_hosts and bare keys; never a fingerprint."""
    assert accepted(checks.check_host_key, text) == accepts


def test_lines_are_found_for_tables_keys_and_dotted_keys() -> None:
    """Strings over several lines and comments hide what looks like a key."""
    text = '''\
# app = "comment"
app = "a"
text = """
keep = 5
[fake]
"""
[ "static" ]  # comment
  keep = 5
'target' = "/x"
health . url = ""
[[host]]
port = 1
[[host]]
user . name = 1
[environments."x y".static]
keep = 2
'''
    assert tomllib.loads(text)
    assert find_lines(text) == {
        ("app",): 2,
        ("text",): 3,
        ("static",): 7,
        ("static", "keep"): 8,
        ("static", "target"): 9,
        ("static", "health"): 10,
        ("static", "health", "url"): 10,
        ("host",): 11,
        ("host", 1): 11,
        ("host", "port"): 12,
        ("host", 1, "port"): 12,
        ("host", 2): 13,
        ("host", "user"): 14,
        ("host", 2, "user"): 14,
        ("host", "user", "name"): 14,
        ("host", 2, "user", "name"): 14,
        ("environments", "x y", "static"): 15,
        ("environments", "x y", "static", "keep"): 16,
    }


@given(st.text("ab.=[]\"'#\n\\ ", max_size=60))
def test_any_text_has_lines(text: str) -> None:
    """Finding lines never fails, whatever the file holds."""
    assert all(1 <= line <= text.count("\n") + 1 for line in find_lines(text).values())
