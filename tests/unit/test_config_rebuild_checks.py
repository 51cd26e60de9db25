"""The rules for single texts of the rebuild strategy: paths on the server, repositories, refs and services."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.config import rebuild_checks as checks
from tests.conftest import need
from tests.unit.test_config_checks import accepted

REFS = ["main", "v1.0", "refs/heads/main", "feature/a-b", "a/-b", "é", "a@b", "HEAD", "a.lockx", "{a}", "a{@", "x" * 240,
        "", "-f", "--upload-pack=x", ".a", "a/.b", "a.lock", "a.lock/b", "a..b", "a b", "a~b", "a^", "a:b", "a?b", "a*",
        "a[b", "a\\b", "/a", "a/", "a//b", "a.", "a@{b", "@", "a\tb", "a\x7fb", "a\nb"]  # fmt: skip


@given(st.one_of(st.text(max_size=40), st.text("/.a\n ~-", max_size=20)))
def test_a_server_path_that_is_accepted_is_safe(text: str) -> None:
    """It stays below the home directory or the root, and is the same when checked again."""
    if accepted(checks.check_server_path, text):
        path = checks.check_server_path(text)
        assert path and not path.endswith("/") and path[0] not in "-~"
        assert not {".", "..", "", ".deployer"} & set(path.removeprefix("/").split("/"))
        assert not any(ord(character) < 32 or ord(character) == 127 for character in path)
        assert checks.check_server_path(path) == path


@pytest.mark.parametrize(
    ("text", "path"),
    [("changkun.de/blog", "changkun.de/blog"), ("~/blog/", "blog"), ("/srv/blog//", "/srv/blog"), ("a b/$(x)", "a b/$(x)"),
     ("/home/me/é", "/home/me/é"), ("/etc/traefik", "/etc/traefik")],
)  # fmt: skip
def test_paths_on_the_server(text: str, path: str) -> None:
    """Relative to the home directory or absolute; any sign but control characters may be in a name."""
    assert checks.check_server_path(text) == path


@pytest.mark.parametrize(
    "text",
    ["", "/", "//", "~", "~/", "~root/a", ".", "./a", "..", "../a", "a/../b", "/a/..", "//srv/a", "a//b", "/etc", "/home/",
     "a\nb", "a\x1b", "-x", ".deployer/a", "/srv/.deployer", "a" * 256, "a/" * 1600 + "a"],
)  # fmt: skip
def test_bad_paths_on_the_server_are_refused(text: str) -> None:
    """Home and root themselves, the system's directories, ways upwards, options and deployer's own state."""
    assert not accepted(checks.check_server_path, text)


@pytest.mark.parametrize(("text", "fine"), [
    ("docker-compose.yml", True), ("docker/compose.prod.yml", True), ("a b.yml", True),
    ("/srv/compose.yml", False), ("../compose.yml", False), ("-f", False), ("docker/", False), ("a\n", False), ("", False),
])  # fmt: skip
def test_compose_files_lie_in_the_checkout(text: str, fine: bool) -> None:
    """The file belongs to the commit that is deployed."""
    assert accepted(checks.check_compose_file, text) == fine


@pytest.mark.parametrize(
    "text",
    ["https://github.com/owner/name.git", "https://github.com:8443/owner/name", "ssh://git@github.com:22/owner/name",
     "ssh://host/~me/name", "git@github.com:owner/name.git", "github-blog:owner/name.git", "host:/srv/git/a.git",
     "[::1]:a.git", "file:///srv/git/a.git", "/srv/git/a b.git"],
)  # fmt: skip
def test_repositories(text: str) -> None:
    """What people copy from GitHub, an SSH server's alias, and a path on the server itself."""
    assert checks.check_repository(text) == text


@pytest.mark.parametrize(
    "text",
    ["-oProxyCommand=x", "--upload-pack=x", "ext::sh -c x", "fd::7", "a::b", "http://github.com/a/b", "git://github.com/a",
     "ftp://host/a", "ssh://-oProxyCommand=x/a", "ssh://-x@host/a", "-x@host:a", "-host:a", "host:-a", "host:", "host://a",
     "https://", "https://host", "https:///a", "file://host/a", "file://a", "./a", "a", "github.com/a/b", "owner/name",
     "https://host/a b", "git@host:a\nb", "/srv/\x1b", "https://me@host/a", "ssh://me:pw@host/a", "me:pw@host:a",
     "https://host/a?b", "https://host/a#b", "HTTPS://host/a"],
)  # fmt: skip
def test_what_git_must_not_get_is_refused(text: str) -> None:
    """Options, remote helpers that run commands, unencrypted protocols, credentials, and what is no repository."""
    assert not accepted(checks.check_repository, text)


@pytest.mark.parametrize("text", REFS)
def test_refs_are_what_git_takes(text: str) -> None:
    """The real git decides; only what looks like an option is refused beyond that."""
    git = need("git", "to say which refs it takes")
    taken = subprocess.run([git, "check-ref-format", "--allow-onelevel", text], check=False).returncode == 0
    assert accepted(checks.check_ref, text) == (taken and not text.startswith("-"))


def test_a_commit_is_a_ref() -> None:
    """By all of its digits, which are then written small."""
    assert checks.check_ref("AB" * 20) == "ab" * 20


@pytest.mark.parametrize(("text", "expected"), [
    ("web:80", ("web", 80)), ("my_app-1.x:65535", ("my_app-1.x", 65535)), ("a:0080", ("a", 80)),
    ("web", None), ("web:", None), (":80", None), ("web:0", None), ("web:65536", None), ("web:http", None), ("-x:80", None),
    ("a b:80", None), ("a/b:80", None), ("é:80", None), ("web:80\n", None), ("web:٨٠", None), ("a:80:80", None),
])  # fmt: skip
def test_services_to_roll(text: str, expected: tuple[str, int] | None) -> None:
    """Compose's names, and a port; nothing that could be an option or a path."""
    assert accepted(checks.check_roll, text) == (expected is not None)
    if expected:
        assert checks.split_roll(checks.check_roll(text)) == expected


@pytest.mark.parametrize(("text", "fine"), [
    ("make up", True), ("docker compose up -d && echo $X | tr 'a' \"b\"", True), ("a\tb", True), ("é", True), ("", True),
    ("a\nb", False), ("a\rb", False), ("a\x1bb", False),
])  # fmt: skip
def test_commands_are_one_line(text: str, fine: bool) -> None:
    """Any shell text, as long as it is one line."""
    assert accepted(checks.check_command, text) == fine


@pytest.mark.parametrize(("text", "url"), [
    ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"), ("https://host/traefik//", "https://host/traefik"),
    ("http://host/?a", None), ("http://me:pw@host", None), ("127.0.0.1:8080", None),
])  # fmt: skip
def test_urls_that_paths_are_added_to(text: str, url: str | None) -> None:
    """They end without a slash, and have nothing behind their path."""
    assert accepted(checks.check_base_url, text) == (url is not None)
    if url:
        assert checks.check_base_url(text) == url
