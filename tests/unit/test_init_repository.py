"""What init finds out from Git: the remote in all its forms, the branch, the top; and where deployer itself came from."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from pathlib import Path

import pytest

from deployer.init import origin
from deployer.init.interview import proposed_name
from deployer.init.places import find_places
from deployer.init.repository import Remote, look, parse_remote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=trunk")
    return folder


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/owner/site",
        "https://github.com/owner/site.git",
        "https://github.com/owner/site/",
        "https://token@github.com/owner/site.git",
        "https://user:token@github.com:443/owner/site.git",
        "http://GitHub.com/owner/site",
        "git@github.com:owner/site.git",
        "github.com:owner/site",
        "git@github.com:/owner/site.git",
        "ssh://git@github.com/owner/site.git",
        "ssh://git@ssh.github.com:443/owner/site.git",
        "git://github.com/owner/site.git",
    ],
)
def test_every_form_of_a_github_remote_is_understood(url: str) -> None:
    """Owner and name, without any password; everybody may clone by https."""
    remote = parse_remote(url)
    assert remote and (remote.owner, remote.name, remote.is_github) == ("owner", "site", True)
    assert remote.url == "https://github.com/owner/site"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("git@gitlab.com:group/sub/site.git", Remote("gitlab.com", "group/sub", "site")),
        ("ssh://git@example.org:2222/site.git", Remote("example.org", "", "site")),
        ("server:site", Remote("server", "", "site")),
        ("/srv/git/site.git", None),
        ("../site", None),
        ("file:///srv/git/site.git", None),
        ("https://github.com/", None),
        ("", None),
    ],
)
def test_other_remotes_are_not_taken_for_github(url: str, expected: Remote | None) -> None:
    """Other servers' names count for the app's name; paths on this machine are no remotes."""
    remote = parse_remote(url)
    assert remote == expected
    assert remote is None or not remote.is_github


def test_a_folder_without_git_has_nothing(tmp_path: Path) -> None:
    """No top and no remote; the branch is Git's usual one."""
    found = look(tmp_path)
    assert (found.top, found.remote, found.branch) == (None, None, "main")


def test_github_is_found_among_remotes(repository: Path) -> None:
    """Before servers that run no workflows, and origin before its forks."""
    git(repository, "remote", "add", "origin", "git@gitlab.com:a/mirror.git")
    assert look(repository).remote == Remote("gitlab.com", "a", "mirror")
    git(repository, "remote", "add", "fork", "git@github.com:fork/site.git")
    assert look(repository).remote == Remote("github.com", "fork", "site")
    git(repository, "remote", "set-url", "origin", "https://github.com/owner/site")
    git(repository, "config", "remote.origin.partialclonefilter", "blob:none")  # is said behind the URL
    found = look(repository)
    assert found.remote == Remote("github.com", "owner", "site")
    assert found.top and found.top.samefile(repository)


def test_the_branch_is_the_remotes_default(repository: Path) -> None:
    """As far as Git knows it; else the one that is checked out, even without a commit."""
    git(repository, "remote", "add", "origin", "git@github.com:owner/site.git")
    assert look(repository).branch == "trunk"
    git(repository, "commit", "--quiet", "--allow-empty", "-m", "one")
    git(repository, "update-ref", "refs/remotes/origin/release/1", "HEAD")
    git(repository, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/release/1")
    assert look(repository).branch == "release/1"
    git(repository, "symbolic-ref", "--delete", "refs/remotes/origin/HEAD")
    git(repository, "checkout", "--quiet", "--detach")
    assert look(repository).branch == "main"


def test_git_that_is_not_there_is_no_error(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then there is no repository."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert look(repository).top is None


@pytest.mark.parametrize(
    ("name", "proposed"),
    [
        ("My_Site", "my-site"),
        ("owner.github.io", "owner-github-io"),
        ("--x--", "x"),
        ("ü", ""),
        ("a" * 62 + "-bc", "a" * 62),
        ("", ""),
    ],
)
def test_the_repositorys_name_becomes_the_apps(name: str, proposed: str) -> None:
    """In the letters that an app's name may have."""
    assert proposed_name(name) == proposed


def test_the_workflow_goes_to_the_repositorys_top(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub looks nowhere else; deploy.toml stays with the site, whose folder then gives the name."""
    git(repository, "remote", "add", "origin", "git@github.com:owner/site.git")
    (repository / "web" / "blog").mkdir(parents=True)
    monkeypatch.chdir(repository / "web")
    places = find_places("blog/other.toml")
    assert (places.within, places.name) == ("web/blog", "blog")
    assert places.shown(places.file) == "blog/other.toml"
    assert places.shown(places.workflow) == "../.github/workflows/deploy.yml"
    monkeypatch.chdir(repository)
    assert (find_places("").within, find_places("").name) == ("", "site")


# --- where deployer came from ------------------------------------------------------------------------------------------


class Installed:
    """A distribution as importlib.metadata finds it, with pip's record of where it came from."""

    version = "1.2.3"

    def __init__(self, record: object, package: Path = origin._HERE) -> None:
        self._record = record if isinstance(record, str) or record is None else json.dumps(record)
        self._package = package

    def read_text(self, name: str) -> str | None:
        return self._record if name == "direct_url.json" else None

    def locate_file(self, name: str) -> Path:
        return self._package.parent / name


def requirement_of(monkeypatch: pytest.MonkeyPatch, installed: object) -> str:
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _name: installed)
    return origin.requirement()


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (None, "deployer==1.2.3"),
        ({"url": "https://github.com/o/deployer.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
         f"git+https://github.com/o/deployer@{COMMIT}"),
        ({"url": "ssh://git@github.com/o/deployer", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
         f"git+https://github.com/o/deployer@{COMMIT}"),
        ({"url": "https://example.org/deployer-1.2.3-py3-none-any.whl", "archive_info": {}},
         "https://example.org/deployer-1.2.3-py3-none-any.whl"),
        ({"url": "https://user:password@example.org/deployer.whl", "archive_info": {}}, ""),
        ({"url": "file:///nowhere", "dir_info": {}}, ""),
        ({}, ""),
        ("[", ""),
        ("[]", ""),
    ],
)  # fmt: skip
def test_the_workflow_installs_what_pip_installed(
    monkeypatch: pytest.MonkeyPatch, record: object, expected: str
) -> None:
    """From the same repository at the same commit, the same archive, or the same version of an index."""
    assert requirement_of(monkeypatch, Installed(record)) == expected


def test_a_checkout_counts_by_its_pushed_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that the remote has not cannot be installed by anybody else, and neither can a path."""
    (repository / "deployer").mkdir()
    (repository / "deployer" / "__init__.py").touch()
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "one")
    installed = Installed({"url": repository.as_uri(), "dir_info": {"editable": True}})
    git(repository, "remote", "add", "origin", "/srv/deployer.git")
    git(repository, "update-ref", "refs/remotes/origin/trunk", "HEAD")
    assert requirement_of(monkeypatch, installed) == ""
    git(repository, "remote", "set-url", "origin", "git@github.com:o/deployer.git")
    commit = git(repository, "rev-parse", "HEAD")
    assert requirement_of(monkeypatch, installed) == f"git+https://github.com/o/deployer@{commit}"
    git(repository, "commit", "--quiet", "--allow-empty", "-m", "two")
    assert requirement_of(monkeypatch, installed) == ""


def test_another_installed_deployer_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs is a checkout; a package of the same name from elsewhere would get the server's key."""
    for name in ("here", "there"):
        (tmp_path / name / "deployer").mkdir(parents=True)
        (tmp_path / name / "deployer" / "__init__.py").touch()
    monkeypatch.setattr(origin, "_HERE", tmp_path / "here" / "deployer")
    assert requirement_of(monkeypatch, Installed(None, package=tmp_path / "there" / "deployer")) == ""
    assert requirement_of(monkeypatch, Installed(None, package=tmp_path / "here" / "deployer")) == "deployer==1.2.3"
