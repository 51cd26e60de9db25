"""What `deployer check` says of the checkout on a host and of its remote. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from deployer.command import quote
from deployer.config import Config
from deployer.errors import DeployerError
from deployer.finding import Finding, error, failure, fine, warning
from deployer.plan import Reply
from deployer.premises import Seen, read_about
from deployer.rebuild.facts import Facts

__all__ = ["Remote", "checkout_findings", "remote_finding"]

Remote = Reply | DeployerError | None
"""What the remote said to ``resolve``, or why it did not; None where it was not asked."""
NAMED = 5
"""How many changed files a line names."""


def checkout_findings(config: Config, seen: Seen, facts: Facts) -> Iterator[Finding]:
    """Whether a checkout is there, and what in it would stop a deploy."""
    first = _checkout(config, seen, facts)
    yield first
    if facts.checkout != "yes":
        return
    reply = seen.reply
    if reply.text("lfs") == "missing":
        found = "the repository keeps files in Git LFS, and the host has no git-lfs"
        yield error("checkout", found, "sudo apt-get install git-lfs")
    if kind := reply.text("interrupted"):
        yield _unfinished(seen.place, kind)
    if facts.changed:
        yield _changes(config, seen.place, facts)
    if reply.text("own"):
        yield _own(config, seen.place, reply)


def _checkout(config: Config, seen: Seen, facts: Facts) -> Finding:
    path, word, reply = seen.place, quote(seen.place), seen.reply
    if reply.text("path_is") == "file":
        return error(
            "checkout", f"{path} is a file", f"mv {word} {quote(path + '.old')}, or correct rebuild.path (--path)"
        )
    own = f"sudo chown -R {quote(seen.user)} {word}"
    about = read_about(seen, "checkout_directory")
    if reply.text("path_closed"):
        owner = f", which belongs to {about.owner}" if about else ""
        return error("checkout", f"{seen.user} may not enter {path}{owner}", own)
    if about and about.owner != seen.user and (facts.checkout == "no" or not about.writable):
        return error("checkout", f"{path} belongs to {about.owner}, not to {seen.user}", own)
    if facts.checkout == "yes":
        return _there(path, facts, reply)
    if facts.checkout == "absent":
        return _absent(config, path)
    reason = f": {why}" if (why := reply.text("checkout_reason")) else ""
    return error(
        "checkout",
        f"{path} is no git checkout{reason}",
        f"correct rebuild.path (--path), or mv {word} {quote(path + '.old')}",
    )


def _absent(config: Config, path: str) -> Finding:
    if repository := config.rebuild.repository:
        return fine("checkout", f"{path} is not there yet: the first deploy clones {repository}")
    found = f"there is no checkout at {path}, and no rebuild.repository to clone"
    return error("checkout", found, f"on the host: git clone ADDRESS {quote(path)}; or name it: --repository ADDRESS")


def _there(path: str, facts: Facts, reply: Reply) -> Finding:
    if not facts.remote:
        return error(
            "checkout", f"{path} has no remote", f"on the host: git -C {quote(path)} remote add origin ADDRESS"
        )
    place = f"branch {facts.branch}" if facts.branch else "no branch"
    at = f" at {facts.head[:7]}" if facts.head else ", no commit yet"
    beside = [name for name in ("shallow", "submodules", "lfs") if reply.text(name)]
    also = f" ({', '.join('Git LFS' if name == 'lfs' else name for name in beside)})" if beside else ""
    return fine("checkout", f"{path}, {place}{at}, of {facts.remote}{also}")


def _unfinished(path: str, kind: str) -> Finding:
    mend = f"on the host: git -C {quote(path)} {kind} --abort, or finish it"
    if kind == "rebase":
        found = "a git rebase stopped half-way: the next deploy ends it, and keeps what was done under refs/deployer/changes"
        return warning("unfinished", found, mend)
    return error("unfinished", f"a git {kind} has begun in {path}", mend)


def _changes(config: Config, path: str, facts: Facts) -> Finding:
    names = [line[3:] for line in facts.changed]
    listed = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    found = f"tracked files were changed on the host: {listed}"
    look = f"on the host: git -C {quote(path)} diff"
    if config.rebuild.stash:
        return warning("changes", f"{found}; the next deploy puts that away", look)
    return error("changes", found, f"{look}; commit and push that, undo it with git checkout, or put it away: --stash")


def _own(config: Config, path: str, reply: Reply) -> Finding:
    found = f"{path} has commits that are nowhere else: {reply.text('own')}"
    if config.rebuild.update == "rebase":
        return fine("commits", f"{found}; a deploy carries them over")
    drop = f"git -C {quote(path)} reset --hard HEAD~{reply.number('own_count', 1)}"
    return error("commits", found, f"push them, carry them over (--update rebase), or drop them on the host: {drop}")


def remote_finding(config: Config, facts: Facts, remote: Reply | DeployerError) -> Finding:
    """Whether the remote can be asked from the host, and which commit a deploy would take."""
    if isinstance(remote, DeployerError):
        look = f"on the host: git -C {quote(facts.path)} ls-remote"
        return failure(
            "remote", remote, f"{look}; for a private repository: DEPLOYER_GITHUB_TOKEN or DEPLOYER_REPOSITORY_KEY"
        )
    commit, name = remote.text("commit"), remote.text("refname") or config.rebuild.ref or "HEAD"
    where = facts.remote or config.rebuild.repository
    live = ", which is live" if commit and commit == facts.live_commit else ""
    return fine("remote", f"{where} has {name.removeprefix('refs/heads/')} at {commit[:7]}{live}")
