"""The checkout's remote: one credential for all that is fetched, seen by nobody; submodules, Git LFS, a dead line."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployer.config import Secrets
from deployer.errors import DeployFailed, InvalidInput
from deployer.rebuild.credential import Credential
from deployer.secret import Secret
from tests.conftest import need
from tests.contract.checkout_host import CheckoutHost, Repository, git, isolate, page
from tests.contract.checkout_server import GitServer, processes_that_show
from tests.sshd import Sshd, make_key, sshd_for_tests

pytestmark = pytest.mark.timeout(180)

TOKEN = "ghp_a-token-that-nobody-may-see"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "srv").mkdir()
    return isolate(tmp_path, monkeypatch)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path)
    made.commit({"page": "one\n"})
    return made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path, TOKEN) as made:
        yield made


@pytest.fixture
def host(tmp_path: Path) -> Iterator[CheckoutHost]:
    made = CheckoutHost(tmp_path / "srv" / "Anna's 100% blog")
    yield made
    made.close()


def places_that_show(text: str, folder: Path) -> list[str]:
    """The files under the folder that hold the text, whatever kind they are, and though a session may still clear up."""
    found = []
    for path in (Path(directory, name) for directory, _, names in os.walk(folder) for name in names):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and text.encode() in path.read_bytes():
                found.append(str(path))
    return found


# --- a token ----------------------------------------------------------------------------------------------------------


def test_a_token_clones_and_fetches_and_is_seen_nowhere(
    host: CheckoutHost, repository: Repository, server: GitServer
) -> None:
    """Not in a command line while the server answers, and in no file, of the checkout or of deployer's own."""
    host.repository = f"http://{server.host}/blog.git"
    host.secrets = Secrets(github_token=Secret(TOKEN))
    host.update()
    wanted = repository.commit({"page": "two\n"})
    host.update()
    assert (host.head(), page(host)) == (wanted, "two\n")
    assert git(host.path, "config", "remote.origin.url") == host.repository
    assert server.users == {"x-access-token"}
    assert server.asked
    assert server.shown == []
    assert places_that_show(TOKEN, host.path.parent) == []
    assert TOKEN not in "\n".join(host.printed)


def test_a_token_serves_a_checkout_that_was_cloned_over_ssh(
    host: CheckoutHost, repository: Repository, server: GitServer
) -> None:
    """The checkout's own configuration is as it was."""
    repository.clone(host.path)
    git(host.path, "remote", "set-url", "origin", "git@127.0.0.1:blog.git")
    host.repository = f"http://{server.host}/blog.git"
    host.secrets = Secrets(github_token=Secret(TOKEN))
    wanted = repository.commit({"page": "two\n"})
    host.update()
    assert host.head() == wanted
    assert git(host.path, "config", "remote.origin.url") == "git@127.0.0.1:blog.git"


def test_the_hosts_own_helper_does_not_get_the_token(
    host: CheckoutHost, repository: Repository, server: GitServer, home: Path
) -> None:
    """`credential.helper = store` would write it into the home directory."""
    with (home / ".gitconfig").open("a") as file:
        file.write("[credential]\n\thelper = store\n")
    host.repository = f"http://{server.host}/blog.git"
    host.secrets = Secrets(github_token=Secret(TOKEN))
    host.update()
    assert page(host) == "one\n"
    assert not (home / ".git-credentials").exists()


@pytest.mark.parametrize("given", ["", "ghp_a-wrong-one"])
def test_a_missing_or_wrong_token_is_told(
    host: CheckoutHost, repository: Repository, server: GitServer, given: str
) -> None:
    """Nobody is asked for a password, and the message does not repeat the token."""
    host.repository = f"http://{server.host}/blog.git"
    host.secrets = Secrets(github_token=Secret(given) if given else None)
    with pytest.raises(DeployFailed, match="cannot ask http://.* for its commits .*token or key") as caught:
        host.resolve()
    assert "wrong-one" not in str(caught.value)
    assert not host.path.exists()


def test_a_token_goes_to_its_own_server_only(host: CheckoutHost, repository: Repository, server: GitServer) -> None:
    """The one for GitHub is not shown to another server that asks for a password."""
    repository.clone(host.path)
    git(host.path, "remote", "set-url", "origin", f"http://{server.host}/blog.git")
    host.secrets = Secrets(github_token=Secret(TOKEN))
    with pytest.raises(DeployFailed, match="cannot ask"):
        host.resolve()
    assert server.users == set()


@pytest.mark.parametrize(
    ("repository", "server"),
    [
        ("", "github.com"),
        ("https://GitHub.example.org:8443/anna/blog.git", "github.example.org:8443"),
        ("ssh://git@example.org:2222/anna/blog", "example.org:2222"),
        ("git@example.org:anna/blog.git", "example.org"),
        ("/srv/git/blog.git", "github.com"),
    ],
)
def test_the_credential_names_the_server_that_it_is_for(repository: str, server: str) -> None:
    """A deploy key comes before a token; printing the body shows neither."""
    both = Credential(Secrets(github_token=Secret("a-token"), repository_key=Secret("the\nkey\n")), repository)
    assert b"".join(both.chunks()) == f"kind key\nhost {server}\nthe\nkey\n".encode()
    token = Credential(Secrets(github_token=Secret("a-token")), repository)
    assert b"".join(token.chunks()) == f"kind token\nhost {server}\na-token".encode()
    assert b"".join(Credential(Secrets(), repository).chunks()) == f"kind none\nhost {server}\n".encode()
    assert "a-token" not in f"{token!r}{token}"


# --- a deploy key -----------------------------------------------------------------------------------------------------


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """A server that knows the key, and an ssh of the host's that knows the server."""
    ssh = need("ssh", "to fetch over SSH")
    with sshd_for_tests(tmp_path, host_key_types=("ed25519",)) as server:
        programs = tmp_path / "programs"
        programs.mkdir()
        known = tmp_path / "known_hosts"
        known.write_text(f"{server.pin()}\n")
        # The home of ssh is the one in the password file, which is not for tests.
        (programs / "ssh").write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$*" >>{tmp_path}/calls\nexec {ssh} -F none -o UserKnownHostsFile={known} "$@"\n'
        )
        (programs / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", str(programs), prepend=":")
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        yield server


def ssh_url(sshd: Sshd, repository: Repository) -> str:
    return f"ssh://{sshd.user}@127.0.0.1:{sshd.port}{repository.bare}"


@pytest.mark.parametrize("agent", [True, False])
def test_a_deploy_key_clones_and_fetches_and_leaves_nothing(
    host: CheckoutHost,
    repository: Repository,
    sshd: Sshd,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    agent: bool,
) -> None:
    """It goes to an agent of its own, or, where the host has none, to a file that is gone afterwards."""
    if not agent:
        programs = tmp_path / "without-agent"
        programs.mkdir()
        for program in [*Path("/usr/bin").iterdir(), *Path("/bin").iterdir()]:
            if program.name not in ("ssh-agent", "ssh") and not (programs / program.name).exists():
                (programs / program.name).symlink_to(program)
        monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:{programs}")
    host.repository = ssh_url(sshd, repository)
    host.secrets = Secrets(repository_key=Secret(sshd.key_file.read_text()))
    host.update()
    wanted = repository.commit({"page": "two\n"})
    host.resolve()
    host.update()
    assert (host.head(), page(host)) == (wanted, "two\n")
    secret = sshd.key_file.read_text().splitlines()[3]
    host.close()
    assert places_that_show(secret, host.path.parent) == []
    assert processes_that_show(secret) == []
    calls = (tmp_path / "calls").read_text()
    assert "StrictHostKeyChecking=yes" in calls
    assert "IdentitiesOnly=yes" in calls
    assert "BatchMode=yes" in calls
    agents = [line for line in processes_that_show("ssh-agent") if str(host.path) in line]
    assert agents == []


def test_a_server_of_an_unknown_key_is_refused(
    host: CheckoutHost, repository: Repository, sshd: Sshd, tmp_path: Path
) -> None:
    """There is no trust on first use."""
    (tmp_path / "known_hosts").write_text("")
    host.repository = ssh_url(sshd, repository)
    host.secrets = Secrets(repository_key=Secret(sshd.key_file.read_text()))
    with pytest.raises(DeployFailed, match="Host key verification failed"):
        host.resolve()


def test_a_key_that_cannot_be_used_is_told(
    host: CheckoutHost, repository: Repository, sshd: Sshd, tmp_path: Path
) -> None:
    """One with a passphrase is no use without a person; another key than the server's is refused by the server."""
    host.repository = ssh_url(sshd, repository)
    host.secrets = Secrets(repository_key=Secret(make_key(tmp_path / "locked", passphrase="x" * 8).read_text()))
    with pytest.raises(InvalidInput, match="private key without a passphrase"):
        host.resolve()
    host.secrets = Secrets(repository_key=Secret(make_key(tmp_path / "strange").read_text()))
    with pytest.raises(DeployFailed, match="Permission denied"):
        host.resolve()


def test_githubs_own_keys_are_known(host: CheckoutHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an entry in the host's known_hosts, and only until the answer is there."""
    keygen = need("ssh-keygen", "to read keys")
    programs = tmp_path / "programs"
    programs.mkdir()
    file = '"$DEPLOYER_GIT_FILES/known_hosts"'
    (programs / "ssh").write_text(
        f"#!/bin/sh\n{{ {keygen} -l -F github.com -f {file}; {keygen} -l -F '[ssh.github.com]:443' -f {file}; "
        f'printf "%s\\n" "$*"; }} >{tmp_path}/said\nexit 1\n'
    )
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    host.repository = "git@github.com:anna/blog.git"
    with pytest.raises(DeployFailed, match="cannot ask git@github.com:anna/blog.git"):
        host.resolve()
    said = (tmp_path / "said").read_text()
    assert said.count("SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU") == 2
    assert said.count("SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM") == 2
    assert "GlobalKnownHostsFile=/etc/ssh/ssh_known_hosts" in said


# --- submodules and Git LFS -------------------------------------------------------------------------------------------


def test_submodules_come_along_with_the_same_credential(
    host: CheckoutHost, repository: Repository, server: GitServer, tmp_path: Path
) -> None:
    """First clone, update and way back; what was changed within one stops the deploy."""
    theme = Repository(tmp_path, "theme")
    theme.commit({"style": "red\n"})
    git(repository.work, "submodule", "--quiet", "add", theme.url, "theme")
    git(repository.work, "config", "-f", ".gitmodules", "submodule.theme.url", "../theme.git")
    first = repository.commit({})
    host.repository = f"http://{server.host}/blog.git"
    host.secrets = Secrets(github_token=Secret(TOKEN))
    host.update()
    style = host.path / "theme" / "style"
    assert (style.read_text(), host.status(), host.facts().text("submodules")) == ("red\n", "", "yes")
    theme.commit({"style": "blue\n"})
    git(repository.work / "theme", "pull", "--quiet", "origin", "main")
    repository.commit({})
    host.update_only()
    assert (style.read_text(), host.status()) == ("blue\n", "")
    host.close()
    assert (host.head(), style.read_text(), host.status()) == (first, "red\n", "")
    git(host.path / "theme", "checkout", "--quiet", "HEAD")
    style.write_text("mine\n")
    with pytest.raises(DeployFailed, match="were changed there: theme;"):
        host.update()
    assert places_that_show(TOKEN, host.path.parent) == []


def test_a_submodule_that_is_behind_is_no_change(host: CheckoutHost, repository: Repository, tmp_path: Path) -> None:
    """`git fetch && git rebase`, the way before deployer, left them so."""
    theme = Repository(tmp_path, "theme")
    theme.commit({"style": "red\n"})
    git(repository.work, "submodule", "--quiet", "add", theme.url, "theme")
    repository.commit({})
    repository.clone(host.path, "--recurse-submodules")
    theme.commit({"style": "blue\n"})
    git(repository.work / "theme", "pull", "--quiet", "origin", "main")
    repository.commit({})
    git(host.path, "-c", "submodule.recurse=false", "pull", "--quiet", "--ff-only")
    assert host.status() == " M theme"
    host.update()
    assert (host.path / "theme" / "style").read_text() == "blue\n"


@pytest.fixture
def pictures(repository: Repository, server: GitServer) -> bytes:
    """The contents of a file that the repository keeps in Git LFS."""
    need("git-lfs", "to keep files outside the repository")
    picture = b"\x89PNG" * 100
    name = hashlib.sha256(picture).hexdigest()
    server.objects[name] = picture
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{name}\nsize {len(picture)}\n"
    repository.commit({".gitattributes": "*.png filter=lfs diff=lfs merge=lfs -text\n", "a.png": pointer})
    return picture


def test_files_in_git_lfs_are_the_files_themselves(
    host: CheckoutHost, repository: Repository, server: GitServer, pictures: bytes
) -> None:
    """Fetched with the same credential before the checkout moves, also by a login that has never set git-lfs up."""
    host.repository = f"http://{server.host}/blog.git"
    host.secrets = Secrets(github_token=Secret(TOKEN))
    host.update()
    assert (host.path / "a.png").read_bytes() == pictures
    assert (host.facts().text("lfs"), host.status()) == ("yes", "")
    assert any(path.startswith("/objects/") for path in server.asked)
    assert server.shown == []
    repository.commit({"page": "two\n"})
    host.update()
    assert (host.path / "a.png").read_bytes() == pictures
    assert places_that_show(TOKEN, host.path.parent) == []


def test_pointers_of_a_clone_without_git_lfs_become_files(
    host: CheckoutHost, repository: Repository, server: GitServer, pictures: bytes
) -> None:
    """A checkout that was made before git-lfs was there is mended by the next deploy."""
    repository.clone(host.path)
    git(host.path, "remote", "set-url", "origin", f"http://{server.host}/blog.git")
    host.repository = f"http://{server.host}/blog.git"
    host.secrets = Secrets(github_token=Secret(TOKEN))
    repository.commit({"page": "two\n"})
    host.update()
    assert (host.path / "a.png").read_bytes() == pictures
    assert host.status() == ""


def test_a_host_without_git_lfs_is_told(
    host: CheckoutHost, repository: Repository, pictures: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pointers in place of pictures would go live otherwise. Nothing has moved."""
    repository.clone(host.path)
    first = host.head()
    repository.commit({"page": "two\n"})
    programs = tmp_path / "without-lfs"
    programs.mkdir()
    for program in [*Path("/usr/bin").iterdir(), *Path("/bin").iterdir()]:
        if program.name != "git-lfs" and not (programs / program.name).exists():
            (programs / program.name).symlink_to(program)
    monkeypatch.setenv("PATH", str(programs))
    assert host.facts().text("lfs") == "missing"
    with pytest.raises(DeployFailed, match="the host has no git-lfs: sudo apt-get install git-lfs"):
        host.update()
    assert (host.head(), page(host), host.status()) == (first, "one\n", "")


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.fixture
def silence() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(5)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["http", "ssh"])
def test_a_dead_line_ends_the_question(
    host: CheckoutHost, repository: Repository, silence: str, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """git and ssh give up by themselves (40 s; shorter here), and the message names the remote."""
    monkeypatch.setenv("GIT_HTTP_LOW_SPEED_TIME", "2")
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -o ConnectTimeout=2 -o BatchMode=yes -F none")
    host.repository = f"{scheme}://{silence}/blog.git"
    began = time.monotonic()
    with pytest.raises(DeployFailed, match=f"cannot ask {scheme}://{silence}/blog.git for its commits"):
        host.resolve()
    assert time.monotonic() - began < 35


def test_a_fetch_that_is_cut_changes_nothing(host: CheckoutHost, repository: Repository) -> None:
    """The remote dies in the middle: the checkout is as it was, and the next deploy gets there."""
    repository.clone(host.path)
    first = host.head()
    wanted = repository.commit({"page": "two\n"})
    git(host.path, "config", "remote.origin.uploadpack", "head -c 3000 /dev/zero; false")
    with pytest.raises(DeployFailed, match="git could not fetch refs/heads/main from file://"):
        host.update(wanted)
    assert (host.head(), host.branch(), page(host), host.status()) == (first, "main", "one\n", "")
    git(host.path, "config", "--unset", "remote.origin.uploadpack")
    host.update()
    assert host.head() == wanted
