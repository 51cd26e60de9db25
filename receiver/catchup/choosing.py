"""Which deliveries to ask for again, and which heads to deploy: values in, values out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from receiver.config import App
from receiver.github import Attempt
from receiver.hooks import exact_refs, fits
from receiver.store import Head, Job, Status

__all__ = ["LONGEST_AGO", "MOST_TIMES", "is_missed", "lost", "refs_of_interest"]

MOST_TIMES = 3
"""How often one delivery is asked for again, in all."""
LONGEST_AGO = 3 * 86_400.0
"""Seconds: GitHub keeps what it delivered for three days."""
BRANCHES = 20
"""How many of an app's branches without an exact name are looked at: those that were deployed last."""


def lost(
    attempts: Collection[Attempt], since: float, asked: Mapping[str, int], is_known: Callable[[str], bool]
) -> tuple[Attempt, ...]:
    """The attempts to ask for again, oldest first: the newest of its delivery each, which has failed since ``since``.

    ``asked`` says how often we have asked for which delivery, ``is_known`` whether one has arrived after all (GitHub
    may only have missed the answer). Deliveries that GitHub itself lists as repeated often enough are given up, too.
    """
    newest: dict[str, Attempt] = {}
    repeated: dict[str, int] = {}
    for attempt in sorted(attempts, key=lambda each: (each.delivered_at, each.id)):
        newest[attempt.guid] = attempt
        repeated[attempt.guid] = repeated.get(attempt.guid, 0) + attempt.redelivery
    return tuple(
        attempt
        for guid, attempt in newest.items()
        if attempt.failed
        and attempt.delivered_at.timestamp() >= since
        and max(repeated[guid], asked.get(guid, 0)) < MOST_TIMES
        and not is_known(guid)
    )


def refs_of_interest(app: App, heads: Collection[Head]) -> tuple[str, ...]:
    """The refs whose heads are compared: those with an exact name, and branches that a pattern has brought before.

    ``heads`` are newest first. An app that no push deploys has none: what deploys it is an event that no head shows, and
    what a workflow run has built comes with its delivery.
    """
    if "push" not in app.events or app.artifact is not None:
        return ()
    known = (head.ref for head in heads if head.ref.startswith("refs/heads/") and fits(app, head.ref))
    exact = exact_refs(app)
    return (*dict.fromkeys(exact), *[ref for ref in known if ref not in exact][:BRANCHES])


def is_missed(commit: str, ref: str, heads: Collection[Head], jobs: Collection[Job]) -> bool:
    """Whether nobody has dealt with ``commit`` at ``ref`` yet, and nobody is going to.

    ``jobs`` are the app's newest. A job that failed, or was cancelled, before it knew its commit counts by what it was
    asked for: catch-up tries nothing again.
    """
    if not commit or any(head.ref == ref and head.commit == commit for head in heads):
        return False
    same = [job for job in jobs if job.kind == "deploy" and job.ref == ref]
    return not any(job.status == Status.WAITING or commit in {job.hint, job.commit} for job in same)
