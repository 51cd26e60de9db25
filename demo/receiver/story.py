"""The acts of the receiver's demo: pushes that deploy themselves, and what does not keep them from it."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from demo import children
from demo.receiver.github import Delivery, push_payload
from demo.receiver.process import Running
from demo.receiver.repositories import Commit
from demo.receiver.stage import RECEIVER_TOML, Stage, set_up
from demo.site import GREETING
from demo.telling import Telling, Unexpected, inherited
from receiver.store import Job, Status

__all__ = ["tell"]

LIVE_SECONDS = 40.0
BUILD_SECONDS = 4


class Story(Telling):
    """One telling: the stage, and what was counted on it."""

    def __init__(self, voice: TextIO, stage: Stage) -> None:
        super().__init__(voice, stage.environment)
        self.stage = stage
        self.receiver = Running(stage.folder, stage.port, stage.environment)
        self.before: dict[str, str] = {}
        self.delivered = 0

    def deliver(self, app: str, commit: Commit, *, told: bool = True) -> Delivery:
        """Deliver a push, and hold the receiver to its answer."""
        payload = push_payload(f"demo/{app}", self.before.get(app, "0" * 40), commit)
        self.before[app] = commit.name
        delivery = Delivery(payload, self.stage.secrets[app])
        self.answer(delivery, "queued", told=told)
        return delivery

    def answer(self, delivery: Delivery, expected: str, *, told: bool = True) -> None:
        """Send a delivery, say what came back, and hold it to that."""
        begun = time.monotonic()
        status, answer = delivery.send(self.stage.port)
        milliseconds = (time.monotonic() - begun) * 1000
        self.delivered += 1
        said = answer["apps"][0]["verdict"] if answer.get("apps") else answer.get("error", "for no app")
        if told:
            self.narrate(f"  POST /hooks/github: {status}, {said} ({milliseconds:.0f} ms)")
        if said != expected:
            raise Unexpected(f"the receiver should have said {expected}")

    def wait_until_live(self, app: str, commit: Commit, page: str) -> Job:
        """Wait for the commit's deploy; visitors must find ``page`` then."""
        self.receiver.wait_for(lambda: self._deployed(app, commit) is not None, f"{app} to be live", LIVE_SECONDS)
        job = self._deployed(app, commit)
        assert job
        found = self.stage.heading(app)
        if found != page:
            raise Unexpected(f'{app} should say "{page}", and says "{found}"')
        return job

    def _deployed(self, app: str, commit: Commit) -> Job | None:
        for job in self.receiver.jobs():
            if job.app == app and job.status is Status.FAILED:
                raise Unexpected(f"job {job.id} of {app} has failed: {job.error}")
            if job.app == app and job.commit == commit.name and job.status is Status.SUCCEEDED:
                return job
        return None

    def report(self, job: Job, page: str) -> None:
        """How long it took since the delivery."""
        first = (self.receiver.first_step(job) - job.created_at) * 1000
        self.narrate(
            f"  job {job.id}: first step after {first:.0f} ms, live after {job.finished_at - job.created_at:.1f} s."
            f' Visitors read: "{page}"'
        )


def tell(folder: Path, voice: TextIO = sys.stdout, *, stay: bool = False) -> None:
    """Play the whole demo in the new, empty ``folder``. Raises Unexpected when anything goes otherwise than it has to."""
    for program in ("git", "make"):
        if shutil.which(program) is None:
            raise Unexpected(f"the demo needs {program}")
    (folder / "home").mkdir()
    (folder / "www").mkdir()
    environment = inherited(folder / "home")
    with children.server("demo.web_server", folder / "www", environment) as web:
        story = Story(voice, set_up(folder, web["port"], environment))
        _introduce(story)
        with story.receiver:
            story.narrate(f"Its page: {story.stage.url}, with the password {story.stage.password}")
            _deliver_nonsense(story, _push_both(story))
            _push_three_times(story)
            _kill_the_worker(story)
            _fail_the_power(story)
            _sum_up(story)
            if stay:
                _stay(story)
            story.narrate("With `make demo-receiver STAY=1` it goes on, for a look at its page.")


def _introduce(story: Story) -> None:
    story.act("Two repositories and a receiver")
    story.narrate("A static site, and a service that is rebuilt by `make build` and `make up`. This is receiver.toml:")
    story.show(RECEIVER_TOML.format(port=story.stage.port, folder="FOLDER", hash="sha256:…"))
    story.narrate("")
    story.narrate("$ receiver run --config receiver.toml")


def _push_both(story: Story) -> Delivery:
    stage = story.stage
    story.act("Push to both")
    stage.site.write_site(1)
    site = stage.site.push("Begin the site")
    stage.service.write_service(1)
    service = stage.service.push("Begin the service")
    stage.clone_service()
    story.narrate("GitHub delivers each push, signed with the webhook's secret; it is answered when it is on disk.")
    story.deliver("site", site)
    story.report(story.wait_until_live("site", site, _site(1)), _site(1))
    delivery = story.deliver("service", service)
    story.report(story.wait_until_live("service", service, _service(1)), _service(1))
    return delivery


def _site(version: int) -> str:
    return f"{GREETING}, version {version}"


def _service(version: int) -> str:
    return f"The service, version {version}"


def _deliver_nonsense(story: Story, earlier: Delivery) -> None:
    story.act("Deliver what must change nothing")
    count = len(story.receiver.jobs())
    secret = story.stage.secrets["site"]
    story.narrate("What was delivered before, with the same id, and under a new one:")
    story.answer(earlier, "repeated")
    story.answer(replace(earlier, id=str(uuid.uuid4())), "repeated")
    story.narrate("About the service, signed with the site's secret, and with one that is nobody's:")
    story.answer(replace(earlier, id=str(uuid.uuid4()), secret=secret), "for no app")
    story.answer(
        replace(earlier, id=str(uuid.uuid4()), secret=secrets.token_hex(16)), "the signature is missing or wrong"
    )
    if len(story.receiver.jobs()) != count:
        raise Unexpected("there should be no new job")


def _push_three_times(story: Story) -> None:
    story.act("Push three times at once")
    count = len(story.receiver.jobs())
    commits = []
    for version in (2, 3, 4):
        story.stage.service.write_service(version)
        commits.append(story.stage.service.push(f"Version {version}"))
    for commit in reversed(commits):  # the newest arrives first
        story.deliver("service", commit, told=False)
    job = story.wait_until_live("service", commits[-1], _service(4))
    story.receiver.wait_for(lambda: all(job.finished_at for job in story.receiver.jobs()), "the queue to be empty", 30)
    deployed = [each for each in story.receiver.jobs()[count:] if each.status is Status.SUCCEEDED]
    story.narrate(
        f"Three deliveries, the newest first, led to {len(deployed)} deploy{'s' * (len(deployed) > 1)}. What counts is the"
        " branch's head at the time, whatever arrives when."
    )
    story.report(job, _service(4))
    if story.stage.heading("service") != _service(4):
        raise Unexpected("an old version went live over a newer one")


def _kill_the_worker(story: Story) -> None:
    story.act("Kill the worker in the middle of a deploy")
    story.stage.site.write_site(2, build_seconds=BUILD_SECONDS)
    commit = story.stage.site.push("Version 2, which takes its time")
    story.deliver("site", commit)
    story.receiver.wait_for(lambda: "build" in _steps(story, "site"), "the build to begin", LIVE_SECONDS)
    story.receiver.kill_worker()
    story.narrate("kill -9, while `make build` runs.")
    story.narrate(f'  visitors read: "{story.stage.heading("site")}"')
    job = story.wait_until_live("site", commit, _site(2))
    story.narrate(f"Nobody did anything. The job was found and carried out again: attempt {job.attempt}.")
    story.report(job, _site(2))
    if job.attempt < 2:
        raise Unexpected("the job should have been begun twice")


def _steps(story: Story, app: str) -> list[str]:
    running = [job for job in story.receiver.jobs() if job.app == app and job.status is Status.RUNNING]
    return story.receiver.steps(running[-1]) if running else []


def _fail_the_power(story: Story) -> None:
    story.act("Push while there is no receiver")
    story.receiver.kill()
    story.stage.service.write_service(5)
    commit = story.stage.service.push("Version 5")
    story.narrate("kill -9 to all of it, then a push: GitHub's delivery finds nobody. $ receiver run, again:")
    story.receiver.start()
    job = story.wait_until_live("service", commit, _service(5))
    story.narrate(f"It has compared the branches with what was deployed: job {job.id} came by {job.source.value}.")
    story.narrate(f'  visitors read: "{_service(5)}"')


def _sum_up(story: Story) -> None:
    story.act("What you saw")
    jobs = story.receiver.jobs()
    deployed = [job for job in jobs if job.status is Status.SUCCEEDED]
    bad = [job for job in jobs if job.status not in {Status.SUCCEEDED, Status.UNCHANGED, Status.SUPERSEDED}]
    probes = [json.loads(job.result).get("probe") or {} for job in deployed if job.result]
    asked, dropped = (sum(int(probe.get(key) or 0) for probe in probes) for key in ("requests", "dropped"))
    story.narrate(
        f"{story.delivered} deliveries, {len(deployed)} deploys, kill -9 to the worker and to all of it, and no push was"
        f" lost. Around the switches, the deploys' probes asked for {asked} pages; {dropped} were dropped."
    )
    if bad:
        raise Unexpected(
            f"jobs ended otherwise than they have to: {[(job.id, job.status.value, job.error) for job in bad]}"
        )


def _stay(story: Story) -> None:
    story.act("Look at its page")
    story.narrate(f"{story.stage.url}, with the password {story.stage.password}. It stays until you press Ctrl-C.")
    signal.pause()
