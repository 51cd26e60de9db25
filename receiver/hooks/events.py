"""Events out of payloads: their shape must match their name, and only what is needed is taken from them.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

__all__ = ["EVENTS", "Event", "MalformedPayload", "parse_event"]

LONGEST_REF = 1_000
_NOTHING = re.compile(r"0{40}|0{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")
# What git check-ref-format forbids.
_BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|\.$|/$")


class MalformedPayload(ValueError):
    """The payload is no event of that name; the message says what is wrong without quoting the payload."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a delivery says. Every text is checked: ``ref`` is a full name, ``commit`` 40 or 64 hex digits, or both empty.

    ``obstacle`` says why it deploys nothing, whoever asks; ``workflow`` is the file name of a run's workflow.
    """

    name: str
    repository: str = ""
    action: str = ""
    ref: str = ""
    commit: str = ""
    obstacle: str = ""
    workflow: str = ""
    run_id: int = 0


class _Repository(msgspec.Struct):
    full_name: str


class _Push(msgspec.Struct):
    ref: str
    before: str
    after: str
    deleted: bool
    repository: _Repository


class _ReleaseFacts(msgspec.Struct):
    tag_name: str
    draft: bool


class _Release(msgspec.Struct):
    action: str
    release: _ReleaseFacts
    repository: _Repository


class _Run(msgspec.Struct):
    id: int
    event: str
    head_sha: str
    conclusion: str | None
    head_branch: str | None
    head_repository: _Repository | None
    repository: _Repository
    path: str = ""  # GitHub's own examples are older than it


class _WorkflowRun(msgspec.Struct):
    action: str
    workflow_run: _Run
    repository: _Repository


class _DeploymentFacts(msgspec.Struct):
    ref: str
    sha: str
    task: str


class _Deployment(msgspec.Struct):
    action: str
    deployment: _DeploymentFacts
    repository: _Repository


class _Ping(msgspec.Struct):
    hook_id: int
    zen: str | None = None
    repository: _Repository | None = None


class _Any(msgspec.Struct):
    repository: _Repository | None = None
    action: str = ""


def parse_event(name: str, payload: bytes) -> Event:
    """The event called ``name`` (header X-GitHub-Event) in a JSON payload. Raises MalformedPayload."""
    kind, read = EVENTS.get(name, (_Any, _read_any))
    try:
        payload.decode()  # msgspec looks only at the texts that it takes
        facts: object = msgspec.json.decode(payload, type=kind)
    except msgspec.ValidationError as error:
        raise MalformedPayload(f"the payload is no {_shown(name)} event: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MalformedPayload("the payload is not JSON in UTF-8") from None
    except RecursionError:
        raise MalformedPayload("the payload is nested too deeply") from None
    event: Event = read(name, facts)
    return event


def _shown(name: str) -> str:
    return name if name.isidentifier() and name.isascii() and len(name) < 50 else "known"


def _read_push(name: str, push: _Push) -> Event:
    gone = push.deleted or _NOTHING.fullmatch(push.after) is not None
    return Event(
        name,
        _repository(push.repository),
        ref=_ref(push.ref),
        commit="" if gone else _commit(push.after),
        obstacle="the ref was deleted" if gone else "",
    )


def _read_release(name: str, event: _Release) -> Event:
    published = event.action == "published" and not event.release.draft
    return Event(
        name,
        _repository(event.repository),
        _action(event.action),
        ref=_ref(f"refs/tags/{event.release.tag_name}"),
        obstacle="" if published else "only a published release is deployed",
    )


def _read_workflow_run(name: str, event: _WorkflowRun) -> Event:
    run, repository = event.workflow_run, _repository(event.repository)
    branch = run.head_branch or ""
    return Event(
        name,
        repository,
        _action(event.action),
        ref=_ref(f"refs/heads/{branch}") if branch else "",
        commit=_commit(run.head_sha),
        obstacle=_obstacle(event.action, run, repository),
        workflow=run.path.rpartition("@")[0].rpartition("/")[2] if "@" in run.path else run.path.rpartition("/")[2],
        run_id=run.id,
    )


def _obstacle(action: str, run: _Run, repository: str) -> str:
    """A fork's run is somebody else's code; one that a pull request or a person has started is not what was pushed."""
    own = run.head_repository is not None and run.head_repository.full_name.lower() == repository.lower()
    if action != "completed":
        return "the run is not completed"
    if run.conclusion != "success":
        return "the run was no success"
    if not own or run.repository.full_name.lower() != repository.lower():
        return "the run is of another repository, such as a fork"
    return "" if run.event == "push" and run.head_branch else "the run was not started by a push to a branch"


def _read_deployment(name: str, event: _Deployment) -> Event:
    """Deployments that deployer itself records have a task of their own: they must not start the next one."""
    facts = event.deployment
    asked = event.action == "created" and facts.task == "deploy"
    full = facts.ref if facts.ref.startswith("refs/") else f"refs/heads/{facts.ref}"
    return Event(
        name,
        _repository(event.repository),
        _action(event.action),
        ref=_ref(full),
        commit=_commit(facts.sha),
        obstacle="" if asked else "only a created Deployment with the task `deploy` is carried out",
    )


def _read_ping(name: str, event: _Ping) -> Event:
    return Event(name, _repository(event.repository) if event.repository else "", obstacle="a ping deploys nothing")


def _read_any(_name: str, event: _Any) -> Event:
    repository = _repository(event.repository) if event.repository else ""
    return Event("unknown", repository, obstacle="events of this name are not known")


def _repository(repository: _Repository) -> str:
    if not _REPOSITORY.fullmatch(repository.full_name):
        raise MalformedPayload("repository.full_name is not OWNER/NAME")
    return repository.full_name


def _action(text: str) -> str:
    if not (text.isidentifier() and text.isascii() and len(text) < 50):
        raise MalformedPayload("action is no word")
    return text


def _ref(name: str) -> str:
    if not name.startswith(("refs/heads/", "refs/tags/")) or len(name) > LONGEST_REF or _BAD_REF.search(name):
        raise MalformedPayload("the ref is no branch or tag that git would accept")
    return name


def _commit(text: str) -> str:
    if not _COMMIT.fullmatch(text):
        raise MalformedPayload("a commit is not 40 or 64 hex digits")
    return text


EVENTS: dict[str, tuple[type, Callable[..., Event]]] = {
    "push": (_Push, _read_push),
    "release": (_Release, _read_release),
    "workflow_run": (_WorkflowRun, _read_workflow_run),
    "deployment": (_Deployment, _read_deployment),
    "ping": (_Ping, _read_ping),
}
"""The shape of each event that counts, and what is taken from it."""
