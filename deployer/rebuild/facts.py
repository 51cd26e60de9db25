"""What the host says before a deploy, as values."""

from __future__ import annotations

from dataclasses import dataclass

from deployer.plan import Reply

__all__ = ["Container", "Facts", "read_facts"]


@dataclass(frozen=True, slots=True)
class Container:
    """A container of the Compose project.

    ``image`` is its image's id, ``state`` and ``health`` are Docker's words, ``code`` is what one that ended ended with.
    """

    service: str
    name: str
    identifier: str
    image: str
    state: str
    health: str
    code: str = ""

    @property
    def is_well(self) -> bool:
        """Whether it runs, or has done what it was there for and ended."""
        return self.state == "running" or (self.state == "exited" and self.code == "0")


@dataclass(frozen=True, slots=True)
class Facts:
    """The host before a deploy.

    ``host`` is its name among several (alone: empty), ``now`` its clock in Unix seconds, ``live`` the live release's
    identifier (empty: none), ``checkout`` what is at the path (yes, no, absent, other), ``head`` the commit that is checked
    out, ``changed`` the changes to tracked files as git shows them, ``rendered`` the outline of the Compose file as JSON
    (empty: none, or ``compose_error``), ``docker`` how the engine is (ok, none, down, denied).
    """

    reply: Reply
    host: str
    now: int
    path: str
    live: str
    newest: str
    live_commit: str
    live_head: str
    live_hash: str
    checkout: str
    head: str
    branch: str
    remote: str
    changed: tuple[str, ...]
    docker: str
    compose: str
    compose_file: str
    compose_error: str
    project: str
    rendered: str
    rendered_hash: str
    containers: tuple[Container, ...]
    live_images: tuple[tuple[str, str], ...]


def read_facts(reply: Reply, host: str = "") -> Facts:
    """The reply to ``facts`` of ``host``, which is its name among several."""
    return Facts(
        reply=reply,
        host=host,
        now=reply.number("now"),
        path=reply.text("path"),
        live=reply.text("live"),
        newest=reply.text("newest"),
        live_commit=reply.text("live_commit"),
        live_head=reply.text("live_head"),
        live_hash=reply.text("live_hash"),
        checkout=reply.text("checkout", "no"),
        head=reply.text("head"),
        branch=reply.text("branch"),
        remote=reply.text("remote"),
        changed=tuple(line for line in reply.text("changed").splitlines() if line),
        docker=reply.text("docker", "none"),
        compose=reply.text("compose"),
        compose_file=reply.text("compose_file"),
        compose_error=reply.text("compose_error"),
        project=reply.text("project"),
        rendered=reply.text("rendered"),
        rendered_hash=reply.text("rendered_hash"),
        containers=tuple(_container(text) for text in reply.every("container")),
        live_images=tuple(_pair(text) for text in reply.every("live_image")),
    )


def _container(text: str) -> Container:
    fields = [*text.split(" "), *[""] * 7]
    return Container(*fields[:7])


def _pair(text: str) -> tuple[str, str]:
    service, _, image = text.partition(" ")
    return service, image.partition(" ")[0]
