"""What a workflow has built, from GitHub's signed delivery to visitors: the receiver as a whole, GitHub on loopback."""

from __future__ import annotations

import io
import itertools
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from receiver.alarm import knock
from receiver.store import Job, Status
from tests.github import answer
from tests.receiver.hub import TOKEN, Hub, Storage
from tests.receiver.program import Receiver, free_port
from tests.receiver.worker_parts import World, wait_for

OURS = {"full_name": "octo/blog"}
FORK = {"full_name": "mallory/blog"}
_RUNS = itertools.count(5_000)


@dataclass(frozen=True, slots=True)
class Stage:
    """A receiver, its world and its GitHub."""

    world: World
    receiver: Receiver
    hub: Hub

    def run(self, commit: str, archive: bytes, **changes: object) -> int:
        """A run of build.yml for ``commit`` has left ``archive``. Returns its number."""
        number = next(_RUNS)
        self.hub.add_run(number, commit, **{"repository": OURS, "head_repository": OURS} | changes)
        self.hub.add_artifact(number, archive)
        return number

    def deliver(self, number: int, commit: str, **changes: object) -> dict[str, object]:
        """GitHub tells of that run. Returns what the receiver made of it."""
        facts = {
            "id": number,
            "event": "push",
            "head_sha": commit,
            "conclusion": "success",
            "head_branch": "main",
            "head_repository": OURS,
            "repository": OURS,
            "path": ".github/workflows/build.yml",
        }
        event = {"action": "completed", "workflow_run": facts | changes, "repository": OURS}
        answer = self.receiver.deliver(event, "workflow_run")
        assert answer.status == 202, answer.body
        (fate,) = answer.json["apps"]
        return dict(fate)

    def over(self, fate: Mapping[str, object]) -> Job:
        """The job of a delivery, once it is over."""
        assert fate["verdict"] == "queued", fate
        return self.world.over(int(str(fate["job"])))

    def live(self) -> str:
        """Have something live. Returns it."""
        commit = self.world.origin.commit({"version": "from the repository"})
        text = f"built by the run for {commit}"
        job = self.over(self.deliver(self.run(commit, zipped({"index.html": text})), commit))
        assert job.status is Status.SUCCEEDED, self.world.log(job.id)
        assert self.world.served == text
        return text


def zipped(files: Mapping[str, str], links: Mapping[str, str] | None = None) -> bytes:
    """An archive with these files and symbolic links."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        for name, target in (links or {}).items():
            member = zipfile.ZipInfo(name)
            member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(member, target)
    return made.getvalue()


def bomb() -> bytes:
    """A third of a megabyte that would become three hundred."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("index.html", "w") as member,
    ):
        for _ in range(300):
            member.write(bytes(1 << 20))
    return made.getvalue()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One receiver with both of its programs, whose app is deployed by runs of build.yml."""
    folder, port = tmp_path_factory.mktemp("receiver"), free_port()
    (folder / "token").write_text(TOKEN)
    with Storage() as storage, Hub(storage) as hub:
        world = World(
            folder,
            build="exit 9",  # nothing is built here
            top=f'bind = "127.0.0.1:{port}"',
            app='events = ["workflow_run"]\nartifact = { workflow = "build.yml", name = "site" }',
            rest=f'[github]\napi_url = "{hub.url}"\ntoken = {{ file = "token" }}\nrecords = false',
        )
        with Receiver(folder, "run", port=port) as receiver:
            yield Stage(world, receiver, hub)
        world.database.close()


def test_what_a_run_has_built_goes_live(stage: Stage) -> None:
    """The artifact of the delivery's run is what visitors get; the place of archives is not shown the token."""
    text = stage.live()
    job, *_ = stage.world.all_jobs()
    live = stage.world.live()
    assert live is not None and (live.commit, live.release) == (job.commit, job.release) and job.commit in text
    assert "artifact fetch site of build.yml" in stage.world.log(job.id)
    assert all("authorization" not in asked.headers for asked in stage.hub.storage.asked)
    assert TOKEN not in stage.world.log(job.id) + stage.receiver.log


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"head_repository": FORK}, "the run is of another repository, such as a fork"),
        ({"repository": FORK}, "the run is of another repository, such as a fork"),
        ({"event": "pull_request"}, "the run was not started by a push to a branch"),
        ({"conclusion": "failure"}, "the run was no success"),
        ({"path": ".github/workflows/other.yml"}, "another workflow's run"),
    ],
)
def test_a_run_of_something_else_is_ignored(stage: Stage, changes: dict[str, object], reason: str) -> None:
    """A fork's run, a pull request's, one that failed and another workflow's are recorded, and lead to no job."""
    commit = stage.world.origin.commit({"version": "ignored"})
    number = stage.run(commit, zipped({"index.html": "from a fork"}))
    before = len(stage.world.all_jobs())
    fate = stage.deliver(number, commit, **changes)
    assert (fate["verdict"], fate["reason"]) == ("ignored", reason)
    assert len(stage.world.all_jobs()) == before


def test_a_delivery_is_only_a_hint(stage: Stage) -> None:
    """A delivery that claims a run as ours is not believed where GitHub says that it is a fork's."""
    text = stage.live()
    commit = stage.world.origin.commit({"version": "claimed"})
    number = stage.run(commit, zipped({"index.html": "from a fork"}), head_repository=FORK)
    job = stage.over(stage.deliver(number, commit))
    assert (job.status, stage.world.served) == (Status.SUPERSEDED, text)
    assert job.error == "the workflow run for this commit has not succeeded; its own delivery deploys it"


REFUSED = {
    "parent": (zipped({"index.html": "x", "../../outside": "x"}), "leads out of it with '..'"),
    "absolute": (zipped({"index.html": "x", "/tmp/outside": "x"}), "is an absolute path"),
    "link": (
        zipped({"index.html": "x"}, {"passwd": "/etc/passwd"}),
        "is a link to '/etc/passwd', which leads out of it",
    ),
    "link-out": (zipped({"index.html": "x"}, {"up": "../../../receiver.toml"}), "which leads out of it"),
    "through-a-link": (
        zipped({"index.html": "x", "in/file": "x"}, {"in": "/tmp"}),
        "is a link to '/tmp', which leads out of it",
    ),
    "bomb": (b"", "200 times"),
    "no-archive": (b"this is no zip", "damaged"),
    "empty": (zipped({}), "holds no files"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_bad_archive_changes_nothing(stage: Stage, kind: str) -> None:
    """What leads out of the archive, or is no site: the job has failed with one sentence, the old release serves."""
    text = stage.world.served or stage.live()
    archive, words = REFUSED[kind]
    commit = stage.world.origin.commit({"version": kind})
    job = stage.over(stage.deliver(stage.run(commit, archive or bomb()), commit))
    assert (job.status, job.commit, stage.world.served) == (Status.FAILED, commit, text)
    sentence = job.error.splitlines()[0]
    assert sentence.startswith("static.source: ") and words in sentence
    assert not list(stage.world.folder.rglob("outside")) and not Path("/tmp/outside").exists()
    assert not list((stage.world.state / "scratch").rglob("*.zip"))


def test_a_head_that_has_moved_on_waits_for_its_own_run(stage: Stage) -> None:
    """The run of an older push deploys nothing by itself; the run of the head does, whichever is told of first."""
    text = stage.live()
    older = stage.world.origin.commit({"version": "older"})
    run = stage.run(older, zipped({"index.html": "older"}))
    newer = stage.world.origin.commit({"version": "newer"})
    job = stage.over(stage.deliver(run, older))
    assert (job.status, job.commit, stage.world.served) == (Status.SUPERSEDED, newer, text)
    fate = stage.deliver(stage.run(newer, zipped({"index.html": "newer"})), newer)
    assert (stage.over(fate).status, stage.world.served) == (Status.SUCCEEDED, "newer")


def test_the_run_of_the_head_is_found_by_an_older_delivery(stage: Stage) -> None:
    """Where the head's run has ended already, the delivery for the older one deploys the head."""
    older = stage.world.origin.commit({"version": "older"})
    run = stage.run(older, zipped({"index.html": "older"}))
    newer = stage.world.origin.commit({"version": "newer"})
    stage.run(newer, zipped({"index.html": "newest"}))
    job = stage.over(stage.deliver(run, older))
    assert (job.status, job.commit, stage.world.served) == (Status.SUCCEEDED, newer, "newest")


def test_an_archive_that_does_not_arrive_is_fetched_again(stage: Stage) -> None:
    """While its place answers nothing, the job waits and tries again; the old release serves."""
    text = stage.live()
    commit = stage.world.origin.commit({"version": "later"})
    stage.hub.storage.rule = lambda _asked, handler: answer(handler, 503, {})
    fate = stage.deliver(stage.run(commit, zipped({"index.html": "later"})), commit)
    number = int(str(fate["job"]))
    wait_for(lambda: "tries again in 10 s" in stage.world.log(number), "the first attempt's end")
    assert (stage.world.job(number).status, stage.world.served) == (Status.WAITING, text)
    stage.hub.storage.rule = lambda _asked, _handler: False
    with stage.world.database.writing() as connection:
        connection.exec_driver_sql("UPDATE jobs SET due_at = 0")  # nobody has to wait here
    knock(stage.world.state)
    assert (stage.world.succeeded(number).attempt, stage.world.served) == (2, "later")
