"""Kills at every moment of an update, other people's git beside it, and the shells that a host may have."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployer.errors import DeployerError, DeployFailed
from deployer.rebuild import requests
from deployer.rebuild.credential import Credential
from tests.conftest import need
from tests.contract.checkout_host import CheckoutHost, Repository, git, isolate, page

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "srv").mkdir()
    return isolate(tmp_path, monkeypatch)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path)
    made.commit({"page": "one\n", "gone": "x"} | {f"many/{number}": "one\n" for number in range(300)})
    return made


@pytest.fixture
def host(tmp_path: Path, repository: Repository) -> Iterator[CheckoutHost]:
    made = CheckoutHost(tmp_path / "srv" / "blog")
    repository.clone(made.path)
    yield made
    made.close()


def changed(repository: Repository, turn: int) -> str:
    """A commit that changes, adds and removes files."""
    files: dict[str, str | None] = {f"many/{number}": f"{turn}\n" for number in range(300)}
    files |= {f"new{turn}/{number}": f"{turn}\n" for number in range(100)} | {"page": f"{turn}\n"}
    if turn == 2:
        files["gone"] = None
    return repository.commit(files)


def owner(host: CheckoutHost) -> int:
    """The process id of the host's shell that has the lock."""
    (file,) = host.path.parent.glob(".deployer/blog/state/lock/*/owner")
    return int(file.read_text().split()[0])


def programs_in(folder: Path) -> list[int]:
    """The processes of git that were given the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if os.path.basename(words[0]) == b"git" and os.fsencode(folder) in words:
                found.append(int(entry.name))
    return found


def start(host: CheckoutHost, commit: str, mode: str = "exact") -> threading.Thread:
    """The update, in a thread that takes its failure for granted."""
    session = host.begin()
    request = requests.update(host.release, commit, "refs/heads/main", mode, "", Credential(host.secrets), stash=False)

    def run() -> None:
        with contextlib.suppress(DeployerError):
            session.perform(request)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def slow_checkout(home: Path, folder: Path) -> Path:
    """Every file that git checks out waits a little, and the first one long, which is time for whatever the test does.

    The file that is returned shows that it has begun.
    """
    begun = folder / "begun"
    program = folder / "slow"
    program.write_text(f"#!/bin/sh\n[ -e {begun} ] || {{ touch {begun}; sleep 30; }}\nsleep 0.05\ncat\n")
    program.chmod(0o755)
    with (home / ".gitconfig").open("a") as file:
        file.write(f'[filter "slow"]\n\tsmudge = {program}\n\tclean = cat\n')
    return begun


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.exists()


@pytest.mark.parametrize("git_too", [True, False])
def test_a_kill_while_files_are_written(
    host: CheckoutHost, repository: Repository, home: Path, tmp_path: Path, *, git_too: bool
) -> None:
    """Files of both commits and git's lock are left, or git goes on alone: the next deploy gets there all the same."""
    repository.commit({".gitattributes": "slow/* filter=slow\n"})
    host.update()
    first = host.head()
    wanted = repository.commit({f"slow/{number}": "x" for number in range(20)} | {"page": "two\n", "gone": None})
    begun = slow_checkout(home, tmp_path)
    thread = start(host, wanted)
    wait_for(begun)
    os.kill(owner(host), signal.SIGKILL)
    if git_too:
        for pid in programs_in(host.path):
            os.kill(pid, signal.SIGKILL)
        assert (host.path / ".git" / "index.lock").exists()
    thread.join(60)
    session = host.open()
    session.perform(requests.lock(30, "test"))
    assert (host.head(), host.branch(), host.status(), page(host)) == (first, "main", "", "one\n")
    assert not (host.path / "slow").exists() or not list((host.path / "slow").iterdir())
    host.update()
    assert (host.head(), host.status(), page(host)) == (wanted, "", "two\n")


def test_a_kill_beside_an_ignored_file(host: CheckoutHost, repository: Repository) -> None:
    """Before git has refused to overwrite it, and with the note of an update under way: it is nobody's to remove."""
    repository.commit({".gitignore": "data\n"})
    host.update()
    (host.path / "data").write_text("precious")
    changed(repository, 2)
    wanted = repository.commit({"data": "x"})
    for pause in (0.05, 0.1, 0.15, 0.2, 0.3):
        thread = start(host, wanted)
        time.sleep(pause)
        with contextlib.suppress(ValueError, ProcessLookupError):
            os.kill(owner(host), signal.SIGKILL)
        host.close()
        thread.join(60)
        host.open().perform(requests.lock(30, "test"))
        assert (host.path / "data").read_text() == "precious"
        assert host.status() == ""


def test_a_kill_during_the_fetch(host: CheckoutHost, repository: Repository, tmp_path: Path) -> None:
    """What runs of it is ended by the next deploy, which fetches anew."""
    wanted = changed(repository, 2)
    program = tmp_path / "slow"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nsleep 30 & wait\n")
    program.chmod(0o755)
    git(host.path, "config", "remote.origin.uploadpack", str(program))
    thread = start(host, wanted)
    wait_for(tmp_path / "begun")
    os.kill(owner(host), signal.SIGKILL)
    host.close()
    thread.join(60)
    git(host.path, "config", "--unset", "remote.origin.uploadpack")
    host.update()
    assert (host.head(), host.status()) == (wanted, "")
    assert programs_in(host.path) == []


def test_a_kill_during_a_rebase(host: CheckoutHost, repository: Repository, home: Path, tmp_path: Path) -> None:
    """The server's commits are there, on their branch; the next deploy carries them over."""
    repository.commit({".gitattributes": "slow/* filter=slow\n"})
    host.update()
    (host.path / "slow").mkdir()
    for number in range(6):
        (host.path / "slow" / str(number)).write_text("mine")
        git(host.path, "add", "slow")
        git(host.path, "commit", "--quiet", "--message", f"own {number}")
    own = host.head()
    wanted = repository.commit({"page": "two\n"})
    begun = slow_checkout(home, tmp_path)
    thread = start(host, wanted, "rebase")
    wait_for(begun)
    os.kill(owner(host), signal.SIGKILL)
    for pid in programs_in(host.path):
        os.kill(pid, signal.SIGKILL)
    thread.join(60)
    host.open().perform(requests.lock(30, "test"))
    assert (host.head(), host.branch(), host.status(), page(host)) == (own, "main", "", "one\n")
    host.update(mode="rebase")
    assert (git(host.path, "rev-parse", "HEAD~6"), host.status(), page(host)) == (wanted, "", "two\n")


def test_random_kills_converge(host: CheckoutHost, repository: Repository) -> None:
    """Healing leaves the commit before and the files that git does not know; the next deploy gets there."""
    (host.path / "untracked").write_text("precious")
    dice = random.Random(4)
    for turn in range(2, 7):
        before, wanted = host.head(), changed(repository, turn)
        thread = start(host, wanted)
        time.sleep(dice.uniform(0, 0.35))
        with contextlib.suppress(ProcessLookupError):
            os.kill(owner(host), signal.SIGKILL)
        if turn % 2:
            for pid in programs_in(host.path):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        thread.join(60)
        host.open().perform(requests.lock(30, "test"))
        assert (host.head(), host.branch(), host.status()) == (before, "main", "?? untracked")
        host.update()
        assert (host.head(), host.branch(), host.status()) == (wanted, "main", "?? untracked")
        assert page(host) == f"{turn}\n"
    assert (host.path / "untracked").read_text() == "precious"


def test_a_first_clone_that_was_killed_leaves_nothing(repository: Repository, home: Path, tmp_path: Path) -> None:
    """The place is empty until the whole checkout is there."""
    repository.commit({".gitattributes": "slow/* filter=slow\n"} | {f"slow/{number}": "x" for number in range(20)})
    begun = slow_checkout(home, tmp_path)
    host = CheckoutHost(tmp_path / "srv" / "new", repository=repository.url)
    session = host.begin()
    request = requests.update(
        host.release,
        repository.head(),
        "refs/heads/main",
        "exact",
        host.repository,
        Credential(host.secrets),
        stash=False,
    )

    def run() -> None:
        with contextlib.suppress(DeployerError):
            session.perform(request)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(begun)
    (file,) = (tmp_path / "srv" / ".deployer" / "new" / "state" / "lock").glob("*/owner")
    os.kill(int(file.read_text().split()[0]), signal.SIGKILL)
    thread.join(60)
    assert not host.path.exists()
    host.update()
    assert (host.head(), host.status()) == (repository.head(), "")
    assert list((tmp_path / "srv" / ".deployer" / "new" / "state").glob("broken.*")) == []
    host.close()


def test_a_lock_that_was_there_before_stops_the_deploy(host: CheckoutHost, repository: Repository) -> None:
    """Somebody works in the checkout, or git was killed by somebody: that is not ours to take away."""
    first = host.head()
    changed(repository, 2)
    lock = host.path / ".git" / "index.lock"
    lock.touch()
    with pytest.raises(DeployFailed, match=r"git is at work in .*index\.lock"):
        host.update()
    assert lock.exists()
    lock.unlink()
    assert (host.head(), host.status()) == (first, "")


def test_who_moved_on_meanwhile_is_left_alone(host: CheckoutHost, repository: Repository) -> None:
    """After a kill a person put the checkout elsewhere by hand: healing does not take that back."""
    wanted = changed(repository, 2)
    session, _ = host.update_only(wanted)
    assert host.head() == wanted
    os.kill(owner(host), signal.SIGKILL)
    session.close()
    git(host.path, "commit", "--quiet", "--allow-empty", "--message", "by hand")
    own = host.head()
    host.open().perform(requests.lock(30, "test"))
    assert host.head() == own


def test_a_checkout_that_is_gone_keeps_no_deploy_from_going_on(host: CheckoutHost, repository: Repository) -> None:
    """After a kill a person removed it, to begin anew: there is nothing to bring back, and the next deploy clones."""
    wanted = changed(repository, 2)
    session, _ = host.update_only(wanted)
    os.kill(owner(host), signal.SIGKILL)
    session.close()
    shutil.rmtree(host.path)
    host.repository = repository.url
    host.update()
    assert (host.head(), host.status()) == (wanted, "")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB in place of the host's disk."""
    disk = tmp_path / "small"
    disk.mkdir()
    need("root", "to mount a small disk", present=os.geteuid() == 0)
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    can = subprocess.run(command, capture_output=True, check=False).returncode == 0
    need("mount", "to mount a small disk", present=can)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_takes_nothing_away(small_disk: Path, repository: Repository) -> None:
    """It fills up while files are written: they go again, what was there is whole, and the message says why."""
    path = small_disk / "blog"
    repository.clone(path)
    host = CheckoutHost(path)
    first = host.head()
    dice = random.Random(4)
    repository.commit(
        {f"big/{number}": dice.randbytes(1500).hex() for number in range(700)}
        | {f"many/{number}": "two\n" for number in range(300)}
    )
    with pytest.raises(DeployFailed, match="the disk of .* on the host is full: free some space"):
        host.update()
    assert (host.head(), host.branch(), host.status(), page(host)) == (first, "main", "", "one\n")
    assert not (path / "big").exists()
    host.close()


# --- shells -----------------------------------------------------------------------------------------------------------


# The other tests use the shell that is this machine's sh.
@pytest.mark.parametrize("tools", sorted({"dash", "bash", "busybox"} - {Path("/bin/sh").resolve().name}))
def test_every_shell_tells_the_same_story(
    tmp_path: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch, tools: str
) -> None:
    """A clone, an update, a refusal, a rebase, changes put away, a failed deploy and a rollback."""
    program = need(tools, "to be a host's shell")
    folder = tmp_path / "programs"
    folder.mkdir()
    if tools == "busybox":
        subprocess.run([program, "--install", "-s", str(folder)], check=True, capture_output=True)
        (folder / "git").symlink_to(need("git", "to have a checkout"))
        monkeypatch.setenv("PATH", str(folder))
    else:
        (folder / "sh").symlink_to(program)
        monkeypatch.setenv("PATH", str(folder), prepend=":")
    host = CheckoutHost(tmp_path / "srv" / "story", repository=repository.url)
    host.update()
    first = host.head()
    second = repository.commit({"page": "two\n", "added": "x"})
    (host.path / "added").write_text("precious")
    with pytest.raises(DeployFailed, match="in the way .*: added;"):
        host.update()
    (host.path / "added").unlink()
    (host.path / "gone").write_text("changed")
    with pytest.raises(DeployFailed, match="were changed there: gone;"):
        host.update()
    host.update_only(stash=True)
    host.close()
    assert (host.head(), host.status(), (host.path / "gone").read_text()) == (first, " M gone", "changed")
    host.update(stash=True)
    assert (host.head(), host.status()) == (second, "")
    (host.path / "own").write_text("x")
    git(host.path, "add", "own")
    git(host.path, "commit", "--quiet", "--message", "own's %s $(id)")
    with pytest.raises(DeployFailed, match=r"own's %s \$\(id\)"):
        host.update()
    third = repository.commit({"page": "three\n"})
    host.update(mode="rebase")
    assert (git(host.path, "rev-parse", "HEAD~1"), page(host)) == (third, "three\n")
    git(host.path, "update-ref", "refs/deployer/releases/x", "HEAD")
    host.begin().perform(requests.to_commit(first))
    assert (host.head(), page(host), host.status()) == (first, "one\n", "")
    host.close()
    assert page(host) == "three\n"
