"""Private repositories: a deploy key over SSH, GitHub's token over HTTPS, and where neither of them is ever seen."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.store import Status
from tests.conftest import need
from tests.contract.checkout_server import GitServer
from tests.end_to_end.repository import git
from tests.receiver.worker_parts import Origin, WorkerProcess, World, wait_for
from tests.sshd import sshd_for_tests

TOKEN = "ghp_TheTokenThatNobodyMaySee"
_BUILD = "mkdir -p public && cat version part/version >public/index.html"


def github(server: GitServer) -> str:
    """Lines of receiver.toml: that server is GitHub, and this is its token."""
    return f'[github]\napi_url = "http://{server.host}"\nrecords = false\ntoken = {{ file = "token" }}'


def hosted(folder: Path, server: GitServer, build: str = _BUILD) -> World:
    """A world whose repository is on that server, and whose user lets git store passwords."""
    home = folder / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[credential]\n\thelper = store\n")
    (folder / "token").write_text(TOKEN)
    return World(
        folder,
        build=build,
        rest=github(server),
        clone_url=f"http://{server.host}/repository/origin.git",
        environment={"HOME": str(home)},
    )


def with_part(world: World, url: str) -> None:
    """A commit whose folder ``part`` is a submodule at ``url``, with a version of its own."""
    part = Origin(world.folder / "parts")
    commit = part.commit({"version": " and a part"})
    work = world.origin.work
    (work / ".gitmodules").write_text(f'[submodule "part"]\n\tpath = part\n\turl = {url}\n')
    git(work, "update-index", "--add", "--cacheinfo", f"160000,{commit},part")
    (work / "part").mkdir()
    world.origin.commit({"version": "one"})


@pytest.fixture
def github_server(tmp_path: Path) -> Iterator[GitServer]:
    """Repositories for those who have the token."""
    with GitServer(tmp_path, TOKEN) as server:
        yield server


@pytest.fixture
def other_server(tmp_path: Path) -> Iterator[GitServer]:
    """The same repositories for everybody, somewhere else."""
    with GitServer(tmp_path, "") as server:
        yield server


def assert_unseen(world: World, worker: WorkerProcess) -> None:
    """The token is in no file that git, worker or job have written, and was in no process list."""
    hidden = [TOKEN.encode(), base64.b64encode(f"x-access-token:{TOKEN}".encode())]
    kept = [*world.state.rglob("*"), *(world.folder / "home").rglob("*"), worker.log_file]
    seen = [file for file in kept if file.is_file() and any(secret in file.read_bytes() for secret in hidden)]
    assert not seen


def test_a_deploy_key_opens_the_repository_and_its_submodules(tmp_path: Path) -> None:
    """A known server and the app's key are enough; afterwards the key is in no file of the receiver's."""
    with sshd_for_tests(tmp_path) as sshd:
        home = tmp_path / "home"
        (home / ".ssh").mkdir(parents=True)
        (home / ".ssh" / "known_hosts").write_text(sshd.pin() + "\n", "ascii")
        world = World(
            tmp_path,
            build=_BUILD,
            app=f'deploy_key = {{ file = "{sshd.key_file}" }}',
            clone_url=f"ssh://{sshd.user}@127.0.0.1:{sshd.port}{tmp_path}/repository/origin.git",
            environment={"HOME": str(home), "SSH_AUTH_SOCK": "/nowhere"},
        )
        with_part(world, "../../parts/origin.git")
        with WorkerProcess(world) as worker:
            world.succeeded(world.ask())
        assert world.served == "one and a part"
        key = sshd.key_file.read_text("ascii").splitlines()[2]
        kept = [*world.state.rglob("*"), worker.log_file]
        assert not [file for file in kept if file.is_file() and key in file.read_text("utf-8", "replace")]


def test_a_token_opens_the_repository_and_is_seen_nowhere(tmp_path: Path, github_server: GitServer) -> None:
    """Submodules on the same server and Git LFS get it, too; no file, log or process list has it."""
    need("git-lfs", "to keep files outside the repository")
    world = hosted(tmp_path, github_server, _BUILD + " && cat large >>public/index.html")
    content = b" and something large"
    number = hashlib.sha256(content).hexdigest()
    github_server.objects[number] = content
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{number}\nsize {len(content)}\n"
    for name, text in {"large": pointer, ".gitattributes": "large filter=lfs diff=lfs merge=lfs -text\n"}.items():
        (world.origin.work / name).write_text(text)
    # Git LFS has a hook of its own, which would send the file to a server.
    git(world.origin.work, "config", "core.hooksPath", "/dev/null")
    with_part(world, "../../parts/origin.git")
    with WorkerProcess(world) as worker:
        world.succeeded(world.ask())
    assert world.served == "one and a part and something large"
    assert github_server.users == {"x-access-token"} and not github_server.shown
    assert any("/parts/" in path for path in github_server.asked)
    assert_unseen(world, worker)


def test_a_token_is_not_for_other_servers(tmp_path: Path, github_server: GitServer, other_server: GitServer) -> None:
    """A submodule elsewhere is fetched without it."""
    world = hosted(tmp_path, github_server)
    with_part(world, f"http://{other_server.host}/parts/origin.git")
    with WorkerProcess(world) as worker:
        world.succeeded(world.ask())
    assert world.served == "one and a part"
    assert other_server.asked and set(other_server.given) == {""}
    assert_unseen(world, worker)


def test_a_token_does_not_follow_a_redirect(tmp_path: Path, github_server: GitServer, other_server: GitServer) -> None:
    """Where GitHub sends us to another server, that one gets no token, and nothing of it is deployed."""
    github_server.elsewhere = other_server.host
    world = hosted(tmp_path, github_server, "mkdir -p public && cp version public/index.html")
    world.origin.commit({"version": "one"})
    with WorkerProcess(world):
        number = world.ask()
        wait_for(lambda: "tries again" in world.log(number), "the end of the first attempt")
    assert github_server.users == {"x-access-token"}
    assert other_server.given and set(other_server.given) == {""}
    assert world.served == ""


def test_a_repository_elsewhere_gets_no_token(
    tmp_path: Path, github_server: GitServer, other_server: GitServer
) -> None:
    """The token is GitHub's: an app whose ``clone_url`` is on another server is asked for without it."""
    world = hosted(tmp_path, github_server, "mkdir -p public && cp version public/index.html")
    world.clone_url = f"http://{other_server.host}/repository/origin.git"
    world.configure()
    world.origin.commit({"version": "one"})
    with WorkerProcess(world):
        world.succeeded(world.ask())
    assert set(other_server.given) == {""} and not github_server.users


def test_a_submodule_is_no_path_of_this_machine(tmp_path: Path, github_server: GitServer) -> None:
    """A repository that comes from a server cannot have another one of this machine as its part."""
    world = hosted(tmp_path, github_server)
    with_part(world, f"file://{tmp_path}/parts/origin.git")
    with WorkerProcess(world):
        job = world.over(world.ask())
    assert job.status is Status.FAILED and "transport 'file' not allowed" in job.error
    assert world.served == ""
