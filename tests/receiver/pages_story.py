"""A week of a small receiver, as the screenshots in docs/images show it."""

from __future__ import annotations

from receiver.store import Job, Source, Status
from receiver.store.jobs import request
from receiver.store.queueing import Request
from tests.receiver.pages_parts import Place, chart_points, result

__all__ = ["APPS", "tell"]

APPS = """
[apps.docs]
repository = "octo/handbook"
config = "deploy.toml"
secrets = [{ file = "secret" }]
[apps.api]
repository = "octo/api"
config = "deploy.toml"
secrets = [{ file = "secret" }]
"""
_HOUR = 3_600.0
_DAY = 24 * _HOUR
_COMMITS = "0c1d2e3f 7f247f91 a90b3c4d 5e6f7081 c2d3e4f5 91a2b3c4".split()


def _commit(number: int) -> str:
    return (_COMMITS[number % len(_COMMITS)] * 5)[:40]


def tell(place: Place) -> dict[str, Job]:
    """Let it all happen. Returns the jobs that are worth a look."""
    place.see_worker()
    place.deployed("docs", _commit(4), "20261110T101500Z-c2d3e4f", ago=5 * _DAY, took=3.1)
    for number, days in enumerate((6, 4, 2)):
        place.deployed(
            "blog", _commit(number), f"2026112{number}T08011{number}Z-{_COMMITS[number][:7]}", ago=days * _DAY
        )
    place.deliver("blog", "refs/heads/try-columns", _commit(5), ignored="no pattern of the app fits the ref")
    place.deployed("site", _commit(1), "20261127T190300Z-7f247f9", ago=_DAY, took=4.2)
    place.deliver("site", event="ping", ref="", commit="", ignored="a ping deploys nothing")
    failed = _failed(place)
    live = place.deployed(
        "blog", _commit(3), "20261129T064210Z-5e6f708", ago=2 * _HOUR, took=41.0,
        result=result(
            probe={"requests": 240, "dropped": 2, "p50_ms": 3.4, "p99_ms": 14.8, "longest_gap_ms": 180.2},
            probe_chart=chart_points((101, 102)),
            notes=["2 requests were dropped, and probe.budget is 2"],
        ),
    )  # fmt: skip
    _log(place, live)
    running = _running(place)
    request(place.database, Request("site", "refs/heads/main", Source.MANUAL, forced=True, requested_by="mona"))
    return {"failed": failed, "live": live, "running": running}


def _failed(place: Place) -> Job:
    place.deliver("docs", commit=_commit(2))
    error = (
        "the health gate failed: https://example.org/docs/ answered 502, expected 200\n"
        "  Look at the failed release, which is kept: deployer logs"
    )
    job = place.end(
        place.run("docs"), Status.FAILED, commit=_commit(2), exit_code=5, error=error, release="20261110T101500Z-c2d3e4f",
        result=result(status="rolled_back", notes=[], changes=[]),
    )  # fmt: skip
    place.move(job, 5 * _HOUR, 31.0)
    return place.job(job.id)


def _log(place: Place, job: Job, *, until: str = "") -> None:
    log = place.log(job.id)
    log.write("attempt", f"blog at {job.commit[:7] or 'the head of main'}, attempt 1")
    for name, summary, said, seconds in (
        ("connect", "connect to local", (), 0.41),
        ("lock", "take the lock", (), 0.02),
        (
            "build",
            "make build",
            (
                "python -m blog build --out public",
                "rendered 1,532 pages",
                "\x1b[33mskipped\x1b[0m 3 drafts",
                "compressed 84 images",
            ),
            6.3,
        ),
        ("upload", "12 files, 48 kB", (), 0.84),
        ("switch", "20261129T064210Z-5e6f708 goes live", (), 0.03),
        ("gate", "https://example.org/blog/ answers 200", (), 1.2),
    ):
        log.write("step", summary, name=name)
        for text in said:
            log.write("output", text)
        if name == until:
            log.close()
            return
        log.write("done", "", name=name, seconds=seconds)
    log.write("warning", "2 requests were dropped, and probe.budget is 2")
    log.write("end", "20261129T064210Z-5e6f708 is live")
    log.close()


def _running(place: Place) -> Job:
    place.deliver("api", commit=_commit(5))
    job = place.run("api")
    place.move(job, -30, 42)
    _log(place, job, until="build")
    return place.job(job.id)
