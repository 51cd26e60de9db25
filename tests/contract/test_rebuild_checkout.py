"""The server's checkout on its way to a commit and back: real repositories, the real program, every refusal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployer.errors import DeployFailed, InvalidInput
from deployer.plan import Text
from deployer.rebuild import requests
from tests.contract.checkout_host import CheckoutHost, Repository, git, isolate, page

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path)
    made.commit({"page": "one\n", ".gitignore": "data\n"})
    return made


@pytest.fixture
def host(tmp_path: Path, repository: Repository) -> Iterator[CheckoutHost]:
    (tmp_path / "srv").mkdir()
    made = CheckoutHost(tmp_path / "srv" / "blog")
    repository.clone(made.path)
    yield made
    made.close()


def written(folder: Path) -> dict[str, bytes]:
    """Every file of the work tree with its contents."""
    files = (path for path in folder.rglob("*") if ".git" not in path.relative_to(folder).parts and path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def failed(host: CheckoutHost) -> None:
    """The deploy ends here without being finished: everything is undone."""
    host.close()


# --- to the commit ----------------------------------------------------------------------------------------------------


def test_the_branch_moves_to_the_remotes_head(host: CheckoutHost, repository: Repository) -> None:
    """What is new is told; branch and upstream stay, other branches are not fetched, tags of the commit are."""
    git(repository.work, "checkout", "--quiet", "-b", "other")
    repository.commit({"elsewhere": "x"})
    git(repository.work, "checkout", "--quiet", "main")
    wanted = repository.commit({"page": "two\n", "new/file": "x"})
    git(repository.work, "tag", "v2")
    git(repository.work, "push", "--quiet", "origin", "v2")
    reply = host.update()
    assert (reply.text("head"), reply.number("behind"), reply.text("stashed")) == (wanted, 1, "")
    assert reply.text("commits") == f"{wanted[:7]} change page new/file"
    assert (host.head(), host.branch(), host.status(), page(host)) == (wanted, "main", "", "two\n")
    assert git(host.path, "describe", "--tags") == "v2"
    assert git(host.path, "rev-parse", "--abbrev-ref", "@{upstream}") == "origin/main"
    assert "other" not in git(host.path, "branch", "--all")
    assert any("origin/main" in line for line in host.printed), "git's output is shown while it runs"
    assert git(host.path, "rev-parse", f"refs/deployer/releases/{host.release}") == wanted


def test_a_tag_that_came_later_is_fetched(host: CheckoutHost, repository: Repository) -> None:
    """`git describe` knows it in the next build, though its commit was there before."""
    repository.commit({"page": "two\n"})
    host.update()
    git(repository.work, "tag", "--annotate", "--message", "two", "v2")
    git(repository.work, "push", "--quiet", "origin", "v2")
    host.update()
    assert git(host.path, "describe") == "v2"


def test_nothing_new_moves_nothing(host: CheckoutHost) -> None:
    """No file is written again when the checkout is at the commit already."""
    before = [(host.path / name).stat().st_mtime_ns for name in ("page", ".git/HEAD", ".git/index")]
    reply = host.update()
    assert (reply.number("behind", -1), reply.text("commits")) == (0, "")
    assert [(host.path / name).stat().st_mtime_ns for name in ("page", ".git/HEAD", ".git/index")] == before


def test_a_force_push_is_followed(host: CheckoutHost, repository: Repository) -> None:
    """What the remote took back is no commit of the server's own; the old head stays reachable."""
    old = repository.commit({"page": "regretted\n"})
    host.update()
    git(repository.work, "reset", "--quiet", "--hard", "HEAD~1")
    wanted = repository.commit({"page": "better\n"})
    host.update()
    assert (host.head(), page(host)) == (wanted, "better\n")
    assert git(host.path, "rev-parse", f"refs/deployer/heads/{host.release}") == old


def test_an_older_commit_is_gone_back_to(host: CheckoutHost, repository: Repository) -> None:
    """A ref that names an earlier commit is a way back; the commits after it are the remote's, so nothing is lost."""
    first = repository.head()
    repository.commit({"page": "two\n", "added": "x"})
    host.update()
    found = host.resolve(first)
    assert (found.text("commit"), found.text("refname")) == (first, "")
    host.update(first, "")
    assert (host.head(), host.branch(), page(host)) == (first, "main", "one\n")
    assert not (host.path / "added").exists()


def test_a_commit_that_was_overtaken_is_still_fetched(host: CheckoutHost, repository: Repository) -> None:
    """The commit that triggered the deploy counts, though its branch has moved on, or was moved away from it."""
    wanted = repository.commit({"page": "triggered\n"})
    git(repository.work, "reset", "--quiet", "--hard", "HEAD~1")
    repository.commit({"page": "moved away\n"})
    host.update(wanted, "refs/heads/main")
    assert (host.head(), page(host)) == (wanted, "triggered\n")


def test_another_branch_is_switched_to(host: CheckoutHost, repository: Repository) -> None:
    """It follows the remote's; the one that was checked out stays where it is."""
    first = host.head()
    git(repository.work, "checkout", "--quiet", "-b", "next")
    wanted = repository.commit({"page": "next\n"})
    found = host.resolve("next")
    assert (found.text("commit"), found.text("refname")) == (wanted, "refs/heads/next")
    host.update(wanted, "refs/heads/next")
    assert (host.branch(), host.head()) == ("next", wanted)
    assert git(host.path, "rev-parse", "main") == first
    assert git(host.path, "rev-parse", "--abbrev-ref", "@{upstream}") == "origin/next"


def test_a_branch_of_another_name_follows_its_upstream(host: CheckoutHost, repository: Repository) -> None:
    """A server's `prod` that tracks `main` is still `prod` after the deploy of `main`."""
    git(host.path, "branch", "--move", "main", "prod")
    wanted = repository.commit({"page": "two\n"})
    assert host.resolve().text("refname") == "refs/heads/main"
    host.update()
    assert (host.branch(), host.head()) == ("prod", wanted)


def test_a_detached_head_stays_detached(host: CheckoutHost, repository: Repository) -> None:
    """A tag moves it; without a ref the remote's own default branch is wanted, and that is a branch again."""
    git(host.path, "checkout", "--quiet", "--detach")
    wanted = repository.commit({"page": "two\n"})
    git(repository.work, "tag", "--annotate", "--message", "two", "v2")
    git(repository.work, "push", "--quiet", "origin", "v2")
    found = host.resolve("v2")
    assert (found.text("commit"), found.text("refname")) == (wanted, "refs/tags/v2")
    host.update(wanted, "refs/tags/v2")
    assert (host.branch(), host.head(), git(host.path, "describe")) == ("", wanted, "v2")
    found = host.resolve()
    assert (found.text("commit"), found.text("refname")) == (wanted, "refs/heads/main")
    host.update()
    assert (host.branch(), host.head()) == ("main", wanted)


def test_a_shallow_clone_stays_shallow(host: CheckoutHost, repository: Repository) -> None:
    """It gets the new commits, and neither the history before it nor tags that would bring that history along."""
    for number in range(3):
        repository.commit({"page": f"{number}\n"})
        git(repository.work, "tag", f"old{number}")
    git(repository.work, "push", "--quiet", "--tags", "origin")
    path = host.path.with_name("shallow")
    repository.clone(path, "--depth=1")
    shallow = CheckoutHost(path)
    repository.commit({"page": "three\n"})
    wanted = repository.commit({"page": "four\n"})
    assert shallow.facts().text("shallow") == "yes"
    assert shallow.update().number("behind") == 2
    assert (shallow.head(), git(path, "rev-list", "--count", "HEAD")) == (wanted, "3")
    git(repository.work, "reset", "--quiet", "--hard", "HEAD~4")
    wanted = repository.commit({"page": "five\n"})
    shallow.update()
    assert (shallow.head(), shallow.status()) == (wanted, "")
    shallow.close()


def test_a_repository_without_commits_and_a_work_tree_are_checkouts(host: CheckoutHost, repository: Repository) -> None:
    """`git init` with a remote, and a linked work tree, whose .git is a file."""
    made, linked = host.path.with_name("made"), host.path.with_name("linked")
    made.mkdir()
    git(made, "init", "--quiet")
    git(made, "remote", "add", "origin", repository.url)
    git(host.path, "worktree", "add", "--quiet", "-b", "side", str(linked))
    wanted = repository.commit({"page": "two\n"})
    for path in (made, linked):
        other = CheckoutHost(path)
        assert other.facts().text("checkout") == "yes"
        other.update(wanted, "refs/heads/main" if path == made else "")
        assert (other.head(), other.status(), page(other)) == (wanted, "", "two\n")
        assert other.branch() == ("main" if path == made else "side")
        other.close()


# --- which commit -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ref",
    [
        "--upload-pack=touch${IFS}hacked",
        "$(touch hacked)",
        "`touch hacked`",
        "-u",
        "a..b",
        "main^{}",
        "x y",
        "*",
        "nowhere",
    ],
)
def test_a_ref_that_is_none_is_refused(host: CheckoutHost, ref: str) -> None:
    """It is wrong input, told before anything is changed, and never becomes an option or a command."""
    before = written(host.path)
    with pytest.raises(InvalidInput, match="ref"):
        host.resolve(ref)
    assert written(host.path) == before
    assert not list(host.path.parent.parent.rglob("hacked"))


def test_refs_are_found_by_name_and_by_hash(host: CheckoutHost, repository: Repository) -> None:
    """A branch comes before a tag of its name; the beginning of a hash is enough for a commit that the checkout has."""
    first = repository.head()
    git(repository.work, "tag", "--annotate", "--message", "x", "main")
    second = repository.commit({"page": "two\n"})
    git(repository.work, "push", "--quiet", "origin", "refs/heads/main", "refs/tags/main")
    wanted = {"main": second, "refs/tags/main": first, "refs/heads/main": second, first[:8]: first, second: second}
    assert {ref: host.resolve(ref).text("commit") for ref in wanted} == wanted
    assert host.resolve(second).text("refname") == "refs/heads/main"


def test_a_commit_that_the_remote_does_not_have_is_refused(host: CheckoutHost) -> None:
    """The checkout is as it was, and the message names the commit."""
    before = host.head()
    with pytest.raises(InvalidInput, match="has no commit 1234567"):
        host.update("1234567" + "0" * 33, "")
    assert (host.head(), host.branch(), host.status()) == (before, "main", "")


# --- what is at the path ----------------------------------------------------------------------------------------------


def test_a_directory_that_is_no_checkout_is_refused(host: CheckoutHost, tmp_path: Path) -> None:
    """Also one that lies within another checkout, where git itself would take that one."""
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "precious").write_text("x")
    inside = host.path / "sub"
    inside.mkdir()
    (inside / "file").write_text("x")
    for path, words in ((plain, "not a git repository"), (inside, "a directory in the checkout")):
        other = CheckoutHost(path, repository=f"file://{tmp_path}/blog.git")
        with pytest.raises(DeployFailed, match=f"is no git checkout .*{words}"):
            other.resolve()
        assert other.facts().text("checkout") == "no"
        other.close()
    assert written(plain) == {"precious": b"x"}


def test_a_checkout_of_another_user_is_refused(host: CheckoutHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """In git's words, which Troubleshooting explains."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(DeployFailed, match="is no git checkout .*dubious ownership"):
        host.resolve()


def test_another_repositorys_checkout_is_refused(host: CheckoutHost) -> None:
    """With both addresses, and without the password that one of them may hold."""
    git(host.path, "remote", "set-url", "origin", "https://anna:secret@example.org/anna/shop.git")
    host.repository = "git@github.com:anna/blog.git"
    with pytest.raises(DeployFailed, match=r"a checkout of https://example\.org/anna/shop\.git, not of") as caught:
        host.resolve()
    assert "secret" not in str(caught.value)
    assert host.facts().text("remote") == "https://example.org/anna/shop.git"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("git@github.com:Anna/blog.git", "https://github.com/anna/blog", True),
        ("https://github.com/anna/blog/", "ssh://git@github.com:22/anna/blog.git", True),
        ("git@github.com-blog:anna/blog.git", "https://github.com/anna/blog", True),
        ("git@blog:anna/blog", "git@github.com:anna/blog", True),
        ("https://github.com/anna/blog", "https://gitlab.com/anna/blog", False),
        ("https://github.com/anna/blog", "https://github.com/anna/blog2", False),
        ("/anna/blog.git", "https://github.com/anna/blog", False),
    ],
)
def test_one_repository_has_many_addresses(host: CheckoutHost, one: str, other: str, same: bool) -> None:
    """ssh and https, with and without .git, and a name that ssh's configuration gives to a server."""
    git(host.path, "remote", "set-url", "origin", one)
    git(host.path, "config", "core.sshCommand", "false")
    git(host.path, "config", "http.proxy", "http://127.0.0.1:9")
    host.repository = other
    with pytest.raises(DeployFailed) as caught:
        host.resolve()
    assert ("cannot ask" in str(caught.value)) is same


def test_without_checkout_and_repository_there_is_nothing_to_deploy(host: CheckoutHost, tmp_path: Path) -> None:
    """The message names both settings; an address that could run a command is none."""
    absent = CheckoutHost(tmp_path / "srv" / "absent")
    with pytest.raises(DeployFailed, match="no rebuild.repository to clone"):
        absent.resolve()
    for address in ("ext::sh -c 'touch hacked'", "--upload-pack=touch hacked", "https://anna:secret@example.org/a"):
        absent.repository = address
        with pytest.raises(InvalidInput, match="no address that can be cloned") as caught:
            absent.resolve()
        assert "secret" not in str(caught.value)
    assert not absent.path.exists()
    absent.close()


# --- what stands in the way -------------------------------------------------------------------------------------------


def test_changed_files_stop_the_deploy_with_their_names(host: CheckoutHost, repository: Repository) -> None:
    """Staged or not; untracked and ignored ones are no changes. Nothing is touched."""
    repository.commit({"page": "two\n"})
    (host.path / "page").write_text("hot fix\n")
    (host.path / "staged é").write_text("x")
    (host.path / "untracked").write_text("x")
    (host.path / "data").write_text("x")
    git(host.path, "add", "staged é")
    before = written(host.path)
    with pytest.raises(DeployFailed, match="were changed there: page, staged é; commit and push them"):
        host.update()
    assert written(host.path) == before
    assert host.facts().text("changed") == " M page\nA  staged é"


def test_stash_puts_changes_away(host: CheckoutHost, repository: Repository) -> None:
    """The reply says how to get them back, and so does git."""
    wanted = repository.commit({"other": "two\n"})
    (host.path / "page").write_text("hot fix\n")
    reply = host.update(stash=True)
    assert (host.head(), page(host), host.status()) == (wanted, "one\n", "")
    git(host.path, "stash", "apply", "--quiet", reply.text("stashed"))
    assert page(host) == "hot fix\n"
    assert "deployer: before" in git(host.path, "stash", "list")


def test_a_failed_deploy_brings_put_away_changes_back(host: CheckoutHost, repository: Repository) -> None:
    """As if nothing had been: the stash is empty again, too."""
    repository.commit({"page": "two\n"})
    (host.path / "page").write_text("hot fix\n")
    host.update_only(stash=True)
    assert page(host) == "two\n"
    failed(host)
    assert (page(host), git(host.path, "stash", "list"), host.status()) == ("hot fix\n", "", " M page")


def test_files_that_git_does_not_know_are_never_overwritten(host: CheckoutHost, repository: Repository) -> None:
    """Neither untracked nor ignored ones, in both kinds of update: the deploy stops with their names."""
    (host.path / "upload").write_text("precious")
    (host.path / "data").write_text("ignored, and precious")
    git(host.path, "commit", "--quiet", "--allow-empty", "--message", "own")
    repository.commit({"upload": "x", "data": "x", "page": "two\n"})
    own = host.head()
    for mode in ("rebase", "exact"):
        if mode == "exact":
            git(host.path, "reset", "--quiet", "--hard", "HEAD~1")
            own = host.head()
        with pytest.raises(DeployFailed, match="in the way of the new commit in .*: data, upload; move them away"):
            host.update(mode=mode)
        assert ((host.path / "upload").read_text(), (host.path / "data").read_text()) == (
            "precious",
            "ignored, and precious",
        )
        assert (host.head(), host.branch(), page(host)) == (own, "main", "one\n")


def test_commits_of_the_servers_own_stop_an_exact_update(host: CheckoutHost, repository: Repository) -> None:
    """They are named, and nothing is lost."""
    repository.commit({"page": "two\n"})
    (host.path / "fix").write_text("x")
    git(host.path, "add", "fix")
    git(host.path, "commit", "--quiet", "--message", "fix it here")
    own = host.head()
    with pytest.raises(DeployFailed, match=f"nowhere else: {own[:7]} fix it here; push them"):
        host.update()
    assert (host.head(), host.branch(), host.status()) == (own, "main", "")
    git(host.path, "push", "--quiet", "origin", "HEAD:refs/heads/saved")
    git(host.path, "fetch", "--quiet", "origin")
    host.update()
    assert page(host) == "two\n"


def test_commits_that_were_deployed_are_not_the_servers_own(host: CheckoutHost, repository: Repository) -> None:
    """They are kept under refs/deployer/, so the branch may leave them."""
    git(host.path, "commit", "--quiet", "--allow-empty", "--message", "own")
    git(host.path, "update-ref", "refs/deployer/releases/20261122T000000Z-aaaaaaa", "HEAD")
    wanted = repository.commit({"page": "two\n"})
    host.update()
    assert host.head() == wanted


def test_a_rebase_carries_the_servers_commits_over(host: CheckoutHost, repository: Repository) -> None:
    """As `git fetch && git rebase` did; with none of its own it is as exact."""
    (host.path / "settings").write_text("of this server\n")
    git(host.path, "add", "settings")
    git(host.path, "commit", "--quiet", "--message", "settings")
    wanted = repository.commit({"page": "two\n"})
    reply = host.update(mode="rebase")
    assert git(host.path, "rev-parse", "HEAD~1") == wanted
    assert (reply.text("head"), host.branch(), host.status()) == (host.head(), "main", "")
    assert (page(host), (host.path / "settings").read_text()) == ("two\n", "of this server\n")


def test_a_rebase_leaves_what_the_remote_took_back(host: CheckoutHost, repository: Repository) -> None:
    """After a force-push only the server's own commits are carried over, not those that the remote dropped."""
    repository.commit({"page": "regretted\n"})
    host.update()
    (host.path / "settings").write_text("x")
    git(host.path, "add", "settings")
    git(host.path, "commit", "--quiet", "--message", "settings")
    git(repository.work, "reset", "--quiet", "--hard", "HEAD~1")
    wanted = repository.commit({"page": "better\n"})
    host.update(mode="rebase")
    assert (git(host.path, "rev-parse", "HEAD~1"), page(host)) == (wanted, "better\n")


def test_a_conflict_leaves_everything_as_it_was(host: CheckoutHost, repository: Repository) -> None:
    """The rebase is gone, and the message has the file's name."""
    (host.path / "page").write_text("mine\n")
    git(host.path, "commit", "--quiet", "--all", "--message", "mine")
    own = host.head()
    repository.commit({"page": "theirs\n"})
    with pytest.raises(DeployFailed, match="do not fit onto .*: conflicts in page; rebase them"):
        host.update(mode="rebase")
    assert (host.head(), host.branch(), host.status(), page(host)) == (own, "main", "", "mine\n")
    assert host.facts().text("interrupted") == ""


def test_a_left_over_rebase_is_no_obstacle(host: CheckoutHost, repository: Repository) -> None:
    """The way before deployer left it after a force-push; what was in the files is kept as a commit."""
    repository.commit({"page": "regretted\n"})
    git(host.path, "pull", "--quiet", "--ff-only")
    git(repository.work, "reset", "--quiet", "--hard", "HEAD~1")
    repository.commit({"page": "better\n"})
    git(host.path, "-c", "rebase.forkPoint=false", "fetch", "--quiet")
    with pytest.raises(AssertionError, match="CONFLICT"):
        git(host.path, "rebase", "--no-fork-point", "origin/main")
    assert host.facts().text("interrupted") == "rebase"
    assert host.facts().text("branch") == "main"
    wanted = repository.commit({"page": "best\n"})
    host.update()
    assert (host.head(), host.branch(), host.status(), page(host)) == (wanted, "main", "", "best\n")
    assert "<<<<<<<" in git(host.path, "show", f"refs/deployer/changes/{host.release}")


def test_a_left_over_rebase_of_own_commits_is_not_thrown_away(host: CheckoutHost, repository: Repository) -> None:
    """An exact update stops at them, and leaves the rebase as it is; one that carries them over begins it anew."""
    (host.path / "page").write_text("mine\n")
    git(host.path, "commit", "--quiet", "--all", "--message", "mine")
    own = host.head()
    repository.commit({"page": "theirs\n"})
    git(host.path, "fetch", "--quiet")
    with pytest.raises(AssertionError, match="CONFLICT"):
        git(host.path, "rebase", "origin/main")
    with pytest.raises(DeployFailed, match=f"nowhere else: {own[:7]} mine"):
        host.update()
    assert host.facts().text("interrupted") == "rebase"
    assert host.facts().text("head") == own
    wanted = repository.commit({"page": "one\n"})
    host.update(mode="rebase")
    assert (git(host.path, "rev-parse", "HEAD~1"), host.branch(), page(host)) == (wanted, "main", "mine\n")


def test_a_merge_that_somebody_has_begun_stops_the_deploy(host: CheckoutHost, repository: Repository) -> None:
    """It is a person's work, unlike a rebase that stopped."""
    git(host.path, "checkout", "--quiet", "-b", "side")
    (host.path / "page").write_text("mine\n")
    git(host.path, "commit", "--quiet", "--all", "--message", "mine")
    git(host.path, "checkout", "--quiet", "main")
    repository.commit({"page": "theirs\n"})
    git(host.path, "pull", "--quiet")
    with pytest.raises(AssertionError, match="CONFLICT"):
        git(host.path, "merge", "side")
    with pytest.raises(DeployFailed, match="a git merge has begun"):
        host.update()


# --- the first clone --------------------------------------------------------------------------------------------------


def test_the_first_deploy_clones(repository: Repository, tmp_path: Path) -> None:
    """Into its place in one step; an empty directory may be there. It is a checkout as git clone makes one."""
    (tmp_path / "srv" / "new").mkdir(parents=True)
    host = CheckoutHost(tmp_path / "srv" / "new", repository=repository.url)
    assert host.facts().text("checkout") == "absent"
    reply = host.update()
    assert (reply.text("head"), reply.text("commits")) == (repository.head(), "")
    assert (host.branch(), host.status(), page(host)) == ("main", "", "one\n")
    wanted = repository.commit({"page": "two\n"})
    assert host.update().number("behind") == 1
    assert host.head() == wanted
    assert git(host.path, "rev-parse", "--abbrev-ref", "@{upstream}") == "origin/main"
    host.close()


def test_a_failed_first_deploy_leaves_the_clone(repository: Repository, tmp_path: Path) -> None:
    """Containers may hold files in it already; the next deploy goes on from it."""
    (tmp_path / "srv").mkdir()
    host = CheckoutHost(tmp_path / "srv" / "new", repository=repository.url)
    host.update_only()
    failed(host)
    assert page(host) == "one\n"
    host.update()
    host.close()


# --- the way back -----------------------------------------------------------------------------------------------------


def test_a_failed_build_brings_the_commit_before_back(host: CheckoutHost, repository: Repository) -> None:
    """Branch and files are as they were; what the build made stays, what it changed in tracked files is kept aside."""
    old = host.head()
    repository.commit({"page": "two\n", "new": "x", "generated": "x"})
    host.update_only()
    (host.path / "page").write_text("changed by the build\n")
    (host.path / "built").write_text("x")
    failed(host)
    assert (host.head(), host.branch(), page(host), host.status()) == (old, "main", "one\n", "?? built")
    assert not (host.path / "new").exists()
    kept = git(host.path, "for-each-ref", "--format=%(refname)", "refs/deployer/changes")
    assert "changed by the build" in git(host.path, "show", kept)


def test_what_a_build_made_in_the_way_back_is_moved_aside(host: CheckoutHost, repository: Repository) -> None:
    """A file that the new commit took out of git, and that its build makes, survives the way back."""
    old = repository.commit({"out/site": "tracked\n"})
    host.update()
    repository.commit({"out/site": None, ".gitignore": "data\nout\n"})
    host.update_only()
    (host.path / "out").mkdir(exist_ok=True)
    (host.path / "out" / "site").write_text("built\n")
    release = host.release
    failed(host)
    assert (host.head(), (host.path / "out" / "site").read_text()) == (old, "tracked\n")
    aside = host.path.parent / ".deployer" / "blog" / "aside" / release / "out" / "site"
    assert aside.read_text() == "built\n"


@pytest.mark.parametrize("detached", [False, True])
def test_the_way_back_from_another_branch(host: CheckoutHost, repository: Repository, *, detached: bool) -> None:
    """What was checked out before is again, a branch that the deploy made is gone, one that it moved is back."""
    old = host.head()
    if detached:
        git(host.path, "checkout", "--quiet", "--detach")
        git(host.path, "branch", "next")
    git(repository.work, "checkout", "--quiet", "-b", "next")
    wanted = repository.commit({"page": "next\n"})
    host.update_only(wanted, "refs/heads/next")
    assert host.branch() == "next"
    failed(host)
    assert (host.head(), host.branch(), page(host)) == (old, "" if detached else "main", "one\n")
    assert git(host.path, "for-each-ref", "--format=%(objectname)", "refs/heads/next") == (old if detached else "")


def test_a_rollback_moves_to_a_deployed_commit(host: CheckoutHost, repository: Repository) -> None:
    """Without network, and back again when the rollback fails."""
    first = host.head()
    second = repository.commit({"page": "two\n"})
    host.update()
    repository.bare.rename(repository.bare.with_name("away"))
    session = host.begin()
    assert session.perform(requests.to_commit(first))[0].text("head") == first
    assert (host.head(), host.branch(), page(host)) == (first, "main", "one\n")
    failed(host)
    assert (host.head(), host.branch(), page(host)) == (second, "main", "two\n")
    session = host.begin()
    with pytest.raises(DeployFailed, match="has lost the commit"):
        session.perform(requests.to_commit("0" * 40))


def test_a_hook_of_the_hosts_own_runs(host: CheckoutHost, repository: Repository) -> None:
    """post-checkout is the user's; its failure is a warning, because the checkout is there."""
    hook = host.path / ".git" / "hooks" / "post-checkout"
    hook.write_text('#!/bin/sh\necho "$2" >>../hook\necho no luck >&2\nexit 1\n')
    hook.chmod(0o755)
    wanted = repository.commit({"page": "two\n"})
    reply = host.update()
    assert "post-checkout" in reply.text("warning")
    assert "no luck" in reply.text("warning")
    assert (host.path.parent / "hook").read_text() == f"{wanted}\n"
    assert host.head() == wanted


def test_a_deploy_that_has_begun_may_take_its_time_to_undo(host: CheckoutHost) -> None:
    """Its host is spared from then on, however quick its commands were: taking containers back is not quick."""
    session = host.open()
    session.perform(requests.lock(30, "test"))
    assert not session._has_ticked
    session.perform(requests.begin(host.release, "", Text(lambda: "app blog\n")))
    assert session._has_ticked
