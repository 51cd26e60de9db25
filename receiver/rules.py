"""Whether a job still has something to do, and what follows when it fails: values in, values out."""

from __future__ import annotations

from collections.abc import Callable

from receiver.store import Head, Job, LiveApp, Status

__all__ = ["MOST_ATTEMPTS", "retry_after", "what_is_due"]

MOST_ATTEMPTS = 5
_LIVE = frozenset({Status.SUCCEEDED, Status.UNCHANGED})
_LOCKED, _UNREACHABLE, _INTERRUPTED = 3, 4, 130


def what_is_due(
    job: Job, commit: str, head: Head | None, live: LiveApp | None, is_ancestor: Callable[[str, str], bool]
) -> Status | None:
    """How ``job``, whose ref points at ``commit`` now, ends without a deploy; None: it is to be deployed.

    ``head`` is what became of the ref's newest commit, ``live`` what was put live last. A branch may go back (somebody has
    force-pushed it), but from one ref to another only ancestry tells what is newer, and the order of arrival tells nothing.
    ``is_ancestor(old, new)`` is asked only where it matters.
    """
    if job.forced:
        return None
    if head is not None and head.commit == commit and head.status in _LIVE:
        return Status.UNCHANGED
    if live is None or not live.commit or live.ref in {"", job.ref}:
        return None
    return Status.SUPERSEDED if live.commit != commit and is_ancestor(commit, live.commit) else None


def retry_after(exit_code: int, attempt: int) -> float | None:
    """Seconds until a job that ended so may try again; None: it has failed.

    What was interrupted goes on; a lock or a host that cannot be reached may pass. A build or a gate that failed would fail
    again, and a state that is unknown needs a person.
    """
    if attempt >= MOST_ATTEMPTS:
        return None
    match exit_code:
        case code if code == _INTERRUPTED:
            return 0.0
        case code if code in {_LOCKED, _UNREACHABLE}:
            return float(10 * 3 ** (attempt - 1))
        case _:
            return None
