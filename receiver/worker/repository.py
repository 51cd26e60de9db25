"""An app's commits on this machine: a checkout to build in, or only the history to tell what is newer."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from deployer.secret import Secret
from receiver.remote import RemoteTrouble, git_variables, shown
from receiver.worker.remote import GitFailed, Remote, git, said

__all__ = ["Repository"]

LOCAL_SECONDS = 600.0
_WANTED = "refs/receiver/wanted"
_LFS = "filter=lfs"


class Repository:
    """A repository in ``folder`` that only we use. ``whole`` ones have files, others nothing but commits.

    One job of an app runs at a time, so that whatever a killed one has left locked is unlocked.
    """

    def __init__(self, folder: Path, remote: Remote, on_line: Callable[[str], None], *, whole: bool) -> None:
        self._folder = folder
        self._remote = remote
        self._on_line = on_line
        self._whole = whole

    @property
    def folder(self) -> Path:
        """Where the checkout is."""
        return self._folder

    def fetch(self, commit: str, ref: str) -> None:
        """Get ``commit``, which ``ref`` pointed at a moment ago, with its history and the tags in it.

        Raises RemoteTrouble when the server does not give it, GitFailed for a trouble of this machine.
        """
        self._prepare()
        if self._has(commit):
            return
        some = ("--filter=tree:0", "--no-tags") if not self._whole else ()
        last = "it says nothing"
        # Some servers give a commit only as a part of a branch.
        for wanted in (commit, ref):
            arguments = ("fetch", "--no-recurse-submodules", "--no-write-fetch-head", "--force", *some, "origin")
            with self._remote.variables() as variables:
                ended = git(self._folder, (*arguments, f"+{wanted}:{_WANTED}"), variables, self._on_line)
            if ended.status == 0 and self._has(commit):
                return
            last = said(ended) if ended.status else f"{commit[:12]} is not in it"
        raise RemoteTrouble(f"{shown(self._remote.url)} does not give {commit[:12]} of {ref}: {last}")

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether ``new`` has ``old`` in its history. What is not here is nobody's ancestor."""
        # Without the network: history alone has been fetched, and git would go and get a commit that it misses.
        asked = ("-c", "remote.origin.promisor=false", "merge-base", "--is-ancestor", old, new)
        with git_variables(Secret("")) as variables:
            return git(self._folder, asked, variables, seconds=LOCAL_SECONDS).status == 0

    def check_out(self, commit: str, source: Path, *, anew: bool) -> None:
        """Bring the files to ``commit``. Raises GitFailed.

        What a build has left in ``source`` goes, so that nothing old is deployed; other files that the repository ignores
        stay, so that builds find their caches. ``anew``, nothing stays.
        """
        self._locally("checkout", "--quiet", "--force", "--detach", commit)
        self._locally("clean", "-ffdx" if anew else "-ffd", "--quiet")
        if not anew and source.is_relative_to(self._folder) and source != self._folder and source.exists():
            place = str(source.relative_to(self._folder))
            self._locally("--literal-pathspecs", "clean", "-ffdx", "--quiet", "--", place)
        if (self._folder / ".gitmodules").exists():
            self._remotely("submodule", "sync", "--quiet", "--recursive")
            self._remotely("submodule", "update", "--init", "--recursive", "--force")
        if self._uses_lfs(commit):
            self._locally("lfs", "install", "--local", "--skip-repo")
            self._remotely("lfs", "pull", "origin")

    def _uses_lfs(self, commit: str) -> bool:
        places = (".gitattributes", "**/.gitattributes")
        with git_variables(Secret("")) as variables:
            arguments = (
                "grep",
                "--quiet",
                "--fixed-strings",
                _LFS,
                commit,
                "--",
                *(f":(glob){each}" for each in places),
            )
            return git(self._folder, arguments, variables, seconds=LOCAL_SECONDS).status == 0

    def _prepare(self) -> None:
        """A repository that can be used, whatever happened to it before."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._unlock()
        except OSError as error:
            raise GitFailed(f"{self._folder} cannot be used: {error.strerror}") from None
        bare = () if self._whole else ("--bare",)
        try:
            self._locally("init", "--quiet", *bare)
        except GitFailed:
            # A machine that lost its power may have lost a part of it.
            self._forget()
            self._locally("init", "--quiet", *bare)
        self._locally("config", "remote.origin.url", self._remote.url)

    def _forget(self) -> None:
        with contextlib.suppress(OSError):
            shutil.rmtree(self._folder)
            self._folder.mkdir(mode=0o700)

    def _unlock(self) -> None:
        own = self._folder / ".git" if self._whole else self._folder
        for folder, names, files in os.walk(own):
            if "objects" in names and Path(folder) == own:
                names.remove("objects")
            for name in files:
                if name.endswith(".lock"):
                    Path(folder, name).unlink(missing_ok=True)

    def _has(self, commit: str) -> bool:
        """Whether it is here with all that belongs to it: a killed fetch leaves parts, but no ref."""
        return self.is_ancestor(commit, _WANTED)

    def _locally(self, *arguments: str) -> None:
        with git_variables(Secret("")) as variables:
            # Where git-lfs is set up for the whole machine, it would fetch files here, without the credential.
            self._must(arguments, variables | {"GIT_LFS_SKIP_SMUDGE": "1"}, LOCAL_SECONDS)

    def _remotely(self, *arguments: str) -> None:
        with self._remote.variables() as variables:
            self._must(arguments, variables, None)

    def _must(self, arguments: Sequence[str], variables: dict[str, str], seconds: float | None) -> None:
        ended = git(self._folder, arguments, variables, self._on_line, *(() if seconds is None else (seconds,)))
        if ended.status != 0:
            verb = next(each for each in arguments if not each.startswith("-"))
            raise GitFailed(f"git {verb} in {self._folder} {ended.how}: {said(ended)}")
