"""The steps of a deploy that a run and a rollback share: from the new containers to the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from deployer.config import Config
from deployer.errors import DeployFailed
from deployer.plan import Plan, Reply, Request, Step, Text
from deployer.ports import Reporter
from deployer.rebuild import requests
from deployer.rebuild.facts import Facts
from deployer.rebuild.images import told_images
from deployer.rebuild.services import Service, obstacles, read_services
from deployer.rebuild.traefik import own_file, template_for

__all__ = ["Ending", "check_rolled"]


@dataclass(slots=True)
class Rendered:
    """The Compose project as the host renders it once checkout and images are there."""

    config: Config
    services: dict[str, Service] = field(default_factory=dict)

    def hear(self, reply: Reply) -> None:
        """Take the reply to ``images`` or ``render``. Raises DeployFailed when that Compose file cannot be rolled."""
        self.services = {service.name: service for service in read_services(reply.text("rendered"))}
        check_rolled(self.config, self.services)


class Ending:
    """Everything behind the fetching of ``release``, on a host with these ``facts``.

    ``reporter`` is told what becomes of images, ``log`` gives the output so far, ``rollback`` says that the release is a
    kept one.
    """

    def __init__(
        self,
        config: Config,
        reporter: Reporter,
        facts: Facts,
        release: str,
        commit: str,
        log: Callable[[], str],
        *,
        rollback: bool = False,
    ) -> None:
        self._config = config
        self._reporter = reporter
        self._facts = facts
        self._release = release
        self._commit = commit
        self._log = log
        self._rollback = rollback
        self._rendered = Rendered(config)

    def built(self) -> Step:
        """Build, and note and tag what that made."""
        rebuild = self._config.rebuild
        images = requests.images(self._release, self._rolled(), self._hear_images)
        if not rebuild.build:
            return Step("images", "note the images", (images,))
        build = requests.command("build", rebuild.build_timeout, Text(lambda: rebuild.build))
        return Step("build", rebuild.build, (build, images))

    def brought_back(self, images: tuple[str, ...]) -> Step:
        """The images that the release was kept with: texts ``SERVICE IDENTIFIER``."""
        use = requests.use_images(self._release, lambda reply: None if reply.every("missing") else self._tell(images))
        render = requests.render(self._rolled(), self._rendered.hear)
        return Step("images", f"the images of {self._release}", (use, render))

    def _rolled(self) -> tuple[str, ...]:
        return tuple(service.name for service in self._config.rebuild.services)

    def _hear_images(self, reply: Reply) -> None:
        self._rendered.hear(reply)
        self._tell(reply.every("image"))

    def _tell(self, images: tuple[str, ...]) -> None:
        for line in told_images(self._facts, images):
            self._reporter.note(line)

    def complete(self, prepare: tuple[Step, ...], warnings: tuple[str, ...] = ()) -> Plan:
        """The plan that begins with ``prepare``."""
        rebuild, previous = self._config.rebuild, self._facts.live
        log = Step("log", "keep the output on the host", (requests.log(self._release, Text(self._log)),))
        ending = (log, self._finish())
        back = Step("roll back", f"bring {previous or 'what was there'} back", (requests.revert(),))
        one_way = "it is past a one-way migration (rebuild.no_rollback_past)" if rebuild.no_rollback_past else ""
        return Plan(
            release=self._release,
            previous=previous,
            commit=self._commit,
            prepare=(*prepare, *self._before_up()),
            approach=self._approach(),
            switch=self._switch(),
            confirm=(Step("accept", "note it as live", (self._accept(),)), *(() if rebuild.roll else ending)),
            rest=(self._retire(), *ending) if rebuild.roll else (),
            revert=(log, back),
            warnings=(*warnings, *self._facts.reply.every("warning")),
            patient=True,
            one_way="" if self._rollback else one_way,
        )

    def _before_up(self) -> tuple[Step, ...]:
        text = self._config.rebuild.before_up
        return (Step("before up", text, (self._command("before_up", text),)),) if text and not self._rollback else ()

    def _approach(self) -> tuple[Step, ...]:
        config, rendered = self._config, self._rendered
        if not config.rebuild.roll:
            return ()
        names = ", ".join(self._rolled())
        begin = requests.start(Text(lambda: start_text(config, rendered.services)))
        return (Step("start", f"new containers of {names} beside the old ones", (*self._proxy(), begin)),)

    def _proxy(self) -> tuple[Request, ...]:
        traefik = self._config.traefik
        if not traefik.directory:
            return ()
        template = template_for(self._config, self._facts.reply)
        file, body = own_file(self._config.app), Text(lambda: template)
        return (requests.proxy(file, traefik.api, traefik.entry_point, traefik.timeout, body),)

    def _switch(self) -> Step:
        rebuild = self._config.rebuild
        after = (self._command("after_up", rebuild.after_up),) if rebuild.after_up and not self._rollback else ()
        if rebuild.roll:
            return Step("switch", "cut over to the new containers", (requests.cut(), *after))
        up = requests.up(rebuild.up_timeout, Text(lambda: rebuild.up or "true"))
        return Step("switch", rebuild.up or "nothing to bring up", (up, *after))

    def _command(self, what: str, text: str) -> Request:
        return requests.command(what, self._config.rebuild.up_timeout, Text(lambda: text))

    def _accept(self) -> Request:
        return requests.accept(commit=self._commit, rollback=self._rollback)

    def _retire(self) -> Step:
        drain = self._config.rebuild.drain
        return Step("retire", f"drain for {drain} s, remove the old containers", (requests.retire(drain),))

    def _finish(self) -> Step:
        keep = self._config.rebuild.keep
        return Step("finish", f"keep {keep} releases, unlock", (requests.finish(keep),))


def check_rolled(config: Config, services: dict[str, Service]) -> None:
    """Raise DeployFailed when a service that is to be rolled is unknown or cannot roll."""
    for rolled in config.rebuild.services:
        service = services.get(rolled.name)
        if service is None:
            known = ", ".join(sorted(services)) or "none"
            message = f"rebuild.roll names {rolled.name}, which is no service of the Compose file"
            raise DeployFailed(message, hint=f"Its services: {known}")
        if found := obstacles(service):
            message = f"{rolled.name} cannot be replaced without downtime: {found[0]}"
            rest = [*found[1:], f"Or take {rolled.name} out of rebuild.roll: then `up` replaces it, with a gap."]
            raise DeployFailed(message, hint="\n".join(rest))


def start_text(config: Config, services: dict[str, Service]) -> str:
    """The arguments of ``start``: one a line."""
    rebuild = config.rebuild
    path, host = "/", ""
    if config.health_url:
        parts = urlsplit(config.health_url)
        path, host = (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), parts.netloc
    lines = [str(rebuild.drain), str(len(rebuild.services))]
    for rolled in rebuild.services:
        replicas = services[rolled.name].replicas
        settings = (rebuild.roll_batch, rebuild.settle, path, host, int(config.health.timeout), replicas)
        lines += [rolled.name, str(rolled.port), *map(str, settings)]
    return "".join(f"{line}\n" for line in lines)
