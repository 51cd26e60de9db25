"""What git is told to ask a repository's server, and what becomes of the answer: real repositories, a real SSH server."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

from deployer.secret import Secret
from receiver.remote import RemoteSilent, RemoteTrouble, git_variables, list_refs, server_of, shown
from tests.contract.checkout_server import GitServer
from tests.end_to_end.repository import git
from tests.receiver.hub_settings import NONE
from tests.sshd import sshd_for_tests


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A repository with the branches main and refs/heads/main (sic), and tags of both kinds."""
    work, bare = tmp_path / "work", tmp_path / "origin.git"
    work.mkdir()
    git(work, "init", "--quiet", "--initial-branch=main")
    git(work, "commit", "--quiet", "--allow-empty", "-m", "one")
    git(work, "tag", "plain")
    git(work, "tag", "-a", "-m", "a tag", "annotated")
    git(work, "tag", "-a", "-m", "a tag of it", "twice", "annotated")
    git(work, "commit", "--quiet", "--allow-empty", "-m", "two")
    git(work, "branch", "refs/heads/main", "HEAD~1")
    git(tmp_path, "clone", "--quiet", "--bare", "work", "origin.git")
    git(work, "remote", "add", "origin", str(bare))
    return bare


def commits(origin: Path) -> tuple[str, str]:
    """The older and the newer."""
    return git(origin, "rev-parse", "main~1"), git(origin, "rev-parse", "main")


def test_refs_are_listed_by_their_full_names(origin: Path) -> None:
    """Of an annotated tag it is the commit; what is not there is left out, and what merely ends in the name is not taken."""
    one, two = commits(origin)
    names = ["refs/heads/main", "refs/tags/plain", "refs/tags/annotated", "refs/tags/twice", "refs/heads/gone"]
    assert list_refs(str(origin), names, key=NONE) == {
        "refs/heads/main": two,
        "refs/tags/plain": one,
        "refs/tags/annotated": one,
        "refs/tags/twice": one,
    }
    assert list_refs(f"file://{origin}", ["refs/heads/refs/heads/main"], key=NONE) == {
        "refs/heads/refs/heads/main": one
    }


@pytest.mark.parametrize("name", ["--upload-pack=touch /tmp/x", "main", "", "-h"])
def test_only_full_names_are_asked_for(origin: Path, name: str) -> None:
    """Nothing else could be told from an option."""
    with pytest.raises(ValueError, match="no full name"):
        list_refs(str(origin), ["refs/heads/main", name], key=NONE)


@pytest.mark.parametrize("url", ["--upload-pack=touch hacked", "-u hacked", "ext::touch hacked"])
def test_an_address_is_no_option_and_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Whatever somebody has written into receiver.toml, or allows git to do otherwise."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".gitconfig").write_text('[protocol "ext"]\nallow = always\n')
    with pytest.raises(RemoteTrouble):
        list_refs(url.replace("hacked", str(tmp_path / "hacked")), ["refs/heads/main"], key=NONE)
    assert [file.name for file in tmp_path.iterdir()] == [".gitconfig"]


def test_a_repository_that_is_not_there(tmp_path: Path) -> None:
    """Told in one sentence, with git's own reason."""
    with pytest.raises(RemoteTrouble) as trouble:
        list_refs(str(tmp_path / "nowhere"), ["refs/heads/main"], key=NONE)
    assert "\n" not in trouble.value.message
    assert "does not list its refs: " in trouble.value.message
    assert "nowhere' does not appear to be a git repository" in trouble.value.message


def test_nobody_is_asked_for_a_password(origin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where this process has a terminal; and a password that an address has is not told."""
    monkeypatch.setenv("GIT_ASKPASS", "/bin/false")
    with GitServer(origin.parent, "right") as server:
        for user in ("", "anna:TheWrongPassword@"):
            with pytest.raises(RemoteTrouble) as trouble:
                list_refs(f"http://{user}{server.host}/origin.git", ["refs/heads/main"], key=NONE)
            assert not isinstance(trouble.value, RemoteSilent)  # as somebody would be who waits for an answer
            assert "TheWrongPassword" not in str(trouble.value)
        one_user = f"http://anna:right@{server.host}/origin.git"
        assert list_refs(one_user, ["refs/heads/main"], key=NONE) == {"refs/heads/main": commits(origin)[1]}
    assert shown("https://anna:secret@example.org/x.git") == "https://example.org/x.git"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("https://anna:secret@Example.org:8443/x/y.git", "example.org:8443"),
        ("git@example.org:x/y.git", "example.org"),
        ("example.org:x/y.git", "example.org"),
        ("/srv/git/x:y.git", ""),
        ("file:///srv/git/x.git", ""),
        ("", ""),
    ],
)
def test_which_server_is_asked(url: str, server: str) -> None:
    """Whatever form of address git knows; a password is no part of its name."""
    assert server_of(url) == server


def test_a_silent_server_is_not_waited_for() -> None:
    """It has its time, and git's helpers end with it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []
        threading.Thread(target=lambda: kept.append(server.accept()[0]), daemon=True).start()
        began = time.monotonic()
        with pytest.raises(RemoteTrouble, match=r"did not list its refs within 1 s"):
            list_refs(f"git://127.0.0.1:{server.getsockname()[1]}/x.git", ["refs/heads/main"], key=NONE, seconds=1)
        assert time.monotonic() - began < 60
        for connection in kept:
            connection.settimeout(60)
            while connection.recv(4096):
                pass
            connection.close()


def test_a_deploy_key_opens_a_repository(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that key is shown, and only to a server whose own key is known in HOME; afterwards it is nowhere."""
    home, kept = tmp_path / "a home", tmp_path / "tmp"
    (home / ".ssh").mkdir(parents=True)
    kept.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("tempfile.tempdir", str(kept))
    with sshd_for_tests(tmp_path) as sshd:
        url = f"ssh://{sshd.user}@127.0.0.1:{sshd.port}{origin}"
        key = Secret(sshd.key_file.read_text("ascii").rstrip("\n"))
        with pytest.raises(RemoteTrouble, match="Host key verification failed"):
            list_refs(url, ["refs/heads/main"], key=key)
        (home / ".ssh" / "known_hosts").write_text(sshd.pin() + "\n", "ascii")
        assert list_refs(url, ["refs/heads/main"], key=key) == {"refs/heads/main": commits(origin)[1]}
        with pytest.raises(RemoteTrouble, match="does not list its refs: ") as trouble:
            list_refs(url, ["refs/heads/main"], key=Secret("-----BEGIN NO KEY-----"))
        assert "NO KEY" not in str(trouble.value)
    assert list(kept.iterdir()) == []


def test_the_key_is_ours_alone() -> None:
    """In a file with mode 0600 in a folder with mode 0700, and in no variable."""
    with git_variables(Secret("TheKeyThatNobodyMaySee")) as variables:
        file = Path(variables["GIT_SSH_COMMAND"].rpartition(" -i ")[2])
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert file.read_text("ascii") == "TheKeyThatNobodyMaySee\n"
        assert "TheKey" not in str(variables)
    assert not file.parent.exists()


def test_git_sees_only_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the receiver's own variables, which may be secrets."""
    monkeypatch.setenv("BLOG_WEBHOOK_SECRET", "TheSecretThatNobodyMaySee")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    with git_variables(NONE) as variables:
        told = subprocess.run(["env"], env=variables, capture_output=True, text=True, check=True).stdout
    assert "Secret" not in told
    assert "GIT_DIR" not in told
    assert f"PATH={os.environ['PATH']}" in told
