"""What a workflow run left behind: which run counts, which of its artifacts, and fetching that.

A run counts when the configured workflow has ended in success, for exactly the commit, after a push to the repository
itself. What a fork, a pull request or another workflow has built is somebody else's word.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from receiver.config import Artifact
from receiver.github.calls import Caller, Errand
from receiver.github.download import download
from receiver.github.paths import repository_path
from receiver.github.trouble import GitHubTrouble, NoSuchRun

__all__ = ["Found", "Run", "choose_artifact", "choose_run", "fetch_artifact"]

_WORKFLOWS = ".github/workflows/"
_PER_PAGE = 100


class _Repository(msgspec.Struct):
    full_name: str


class Run(msgspec.Struct, frozen=True):
    """A workflow run, as the API describes it."""

    id: int
    event: str
    head_sha: str
    conclusion: str | None
    repository: _Repository
    head_repository: _Repository | None = None
    path: str = ""


class _Runs(msgspec.Struct):
    workflow_runs: list[Run]


class _Origin(msgspec.Struct):
    id: int | None = None
    head_sha: str | None = None


class Found(msgspec.Struct, frozen=True):
    """An artifact, as the API describes it; ``digest`` is that of its archive."""

    id: int
    name: str
    size_in_bytes: int
    expired: bool
    digest: str | None = None
    workflow_run: _Origin | None = None


class _Artifacts(msgspec.Struct):
    artifacts: list[Found]


def fetch_artifact(
    caller: Caller, repository: str, commit: str, artifact: Artifact, run_id: int, to: Path, largest: int
) -> int:
    """Download the archive into the file ``to``, which only we can read. Returns the run's id.

    ``run_id`` (0: none) is looked at first, and what is known of the commit otherwise. Raises NoSuchRun or GitHubTrouble.
    """
    errand = Errand(
        f"the artifact {artifact.name} of {repository} cannot be fetched",
        f"the runs and artifacts of {repository} may not be read",
        "it needs the permission Actions: read",
    )
    place = f"{repository_path(repository)}/actions"
    run = _find_run(caller, errand, place, repository, commit, artifact, run_id)
    query = {"name": artifact.name, "per_page": _PER_PAGE}
    found = caller.ask(errand, "GET", f"{place}/runs/{run.id}/artifacts", _Artifacts, parameters=query)
    chosen = choose_artifact(found.artifacts, artifact.name, run, largest)
    location = caller.location(errand, f"{place}/artifacts/{chosen.id}/zip")
    download(location, to, largest, chosen.digest or "", errand.failure, plain=caller.is_plain)
    return run.id


def _find_run(
    caller: Caller, errand: Errand, place: str, repository: str, commit: str, artifact: Artifact, run_id: int
) -> Run:
    hinted = caller.find(errand, f"{place}/runs/{run_id}", Run) if run_id else None
    if run := choose_run([hinted] if hinted else [], repository, commit, artifact.workflow):
        return run
    query = {"head_sha": commit, "event": "push", "status": "success", "per_page": _PER_PAGE}
    known = caller.ask(errand, "GET", f"{place}/runs", _Runs, parameters=query)
    if run := choose_run(known.workflow_runs, repository, commit, artifact.workflow):
        return run
    raise NoSuchRun(
        f"{repository} has no successful run of {artifact.workflow} for a push of {commit[:12]}, or none yet",
    )


def choose_run(runs: list[Run], repository: str, commit: str, workflow: str) -> Run | None:
    """The newest of ``runs`` that counts."""

    def own(place: _Repository | None) -> bool:
        return place is not None and place.full_name.lower() == repository.lower()

    fitting = (
        run
        for run in runs
        if (run.conclusion, run.event, run.head_sha) == ("success", "push", commit)
        and run.path.partition("@")[0] == _WORKFLOWS + workflow
        and own(run.repository)
        and own(run.head_repository)
    )
    return max(fitting, key=lambda run: run.id, default=None)


def choose_artifact(artifacts: list[Found], name: str, run: Run, largest: int) -> Found:
    """The newest artifact of that exact name: a run that was repeated may have several. Raises GitHubTrouble."""
    named = [each for each in artifacts if each.name == name and _is_of(each, run)]
    if not named:
        raise GitHubTrouble(f"the run {run.id} left no artifact called {name}")
    usable = [each for each in named if not each.expired]
    if not usable:
        raise GitHubTrouble(f"the artifact {name} of the run {run.id} has expired", hint="run the workflow again")
    newest = max(usable, key=lambda each: each.id)
    if newest.size_in_bytes > largest:
        raise GitHubTrouble(
            f"the artifact {name} of the run {run.id} has {newest.size_in_bytes} bytes; {largest} may be fetched"
        )
    return newest


def _is_of(artifact: Found, run: Run) -> bool:
    """Where the answer names the run it must be the right one."""
    origin = artifact.workflow_run or _Origin()
    return origin.id in {None, run.id} and origin.head_sha in {None, run.head_sha}
