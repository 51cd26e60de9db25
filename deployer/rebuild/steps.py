"""The steps of a deploy that a run and a rollback share: from the new containers to the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from deployer.config import Config
from deployer.errors import DeployFailed
from deployer.plan import Plan, Reply, Request, Step, Text
from deployer.rebuild import requests
from deployer.rebuild.facts import Facts
from deployer.rebuild.services import Service, obstacles, read_services
from deployer.rebuild.traefik import own_file, template_for
from deployer.release import short

__all__ = ["Ending", "Rendered"]


@dataclass(slots=True)
class Rendered:
    """The Compose project as the host renders it once checkout and images are there."""

    services: dict[str, Service] = field(default_factory=dict)

    def hear(self, reply: Reply) -> None:
        """Take the reply to ``render``. Raises DeployFailed when the Compose file is not usable."""
        if error := reply.text("compose_error"):
            raise DeployFailed(error)
        self.services = {service.name: service for service in read_services(reply.text("rendered"))}


@dataclass(frozen=True, slots=True)
class Ending:
    """Everything behind the preparation of ``release``, on a host with these ``facts``."""

    config: Config
    facts: Facts
    release: str
    previous: str
    commit: str
    log: Callable[[], str]
    rollback: bool = False

    def complete(self, prepare: tuple[Step, ...], warnings: tuple[str, ...] = ()) -> Plan:
        """The plan that begins with ``prepare``."""
        rebuild = self.config.rebuild
        rolled = bool(rebuild.roll)
        keep_log = Step("log", "keep the output on the host", (requests.log(self.release, Text(self.log)),))
        one_way = "it is past a one-way migration (rebuild.no_rollback_past)" if rebuild.no_rollback_past else ""
        rendered = Rendered()
        return Plan(
            release=self.release,
            previous=self.previous,
            commit=self.commit,
            prepare=(*prepare, *self._last_preparations(rendered)),
            approach=self._approach(rendered) if rolled else (),
            switch=self._switch(),
            confirm=(*self._retirement(), keep_log, self._finish()),
            revert=(
                keep_log,
                Step("roll back", f"bring {short(self.previous) or 'what was there'} back", (requests.revert(),)),
            ),
            warnings=(*warnings, *self.facts.reply.every("warning")),
            patient=True,
            one_way=one_way if not self.rollback else "",
        )

    def _last_preparations(self, rendered: Rendered) -> tuple[Step, ...]:
        rebuild = self.config.rebuild
        steps = []
        if rebuild.roll:
            steps.append(Step("render", "see what Compose would run", (requests.render(self._judge(rendered)),)))
        if rebuild.before_up and not self.rollback:
            steps.append(Step("before up", rebuild.before_up, (self._command("before_up", rebuild.before_up),)))
        return tuple(steps)

    def _judge(self, rendered: Rendered) -> Callable[[Reply], None]:
        def hear(reply: Reply) -> None:
            rendered.hear(reply)
            check_rolled(self.config, rendered.services)

        return hear

    def _approach(self, rendered: Rendered) -> tuple[Step, ...]:
        names = ", ".join(service.name for service in self.config.rebuild.services)
        begin = requests.start(Text(lambda: start_text(self.config, rendered.services)))
        return (Step("start", f"new containers of {names} beside the old ones", (*self._proxy(), begin)),)

    def _proxy(self) -> tuple[Request, ...]:
        traefik = self.config.traefik
        if not traefik.directory:
            return ()
        template = template_for(self.config, self.facts.reply)
        return (
            requests.proxy(
                own_file(self.config.app), traefik.api, traefik.entry_point, traefik.timeout, Text(lambda: template)
            ),
        )

    def _switch(self) -> Step:
        rebuild = self.config.rebuild
        after = (self._command("after_up", rebuild.after_up),) if rebuild.after_up and not self.rollback else ()
        if rebuild.roll:
            return Step("switch", "cut over to the new containers", (requests.cut(), *after))
        return Step("switch", rebuild.up or "nothing to bring up", (self._up(), *after))

    def _up(self) -> Request:
        rebuild = self.config.rebuild
        return requests.up(rebuild.up_timeout, Text(lambda: rebuild.up or "true"))

    def _command(self, what: str, text: str) -> Request:
        return requests.command(what, self.config.rebuild.up_timeout, Text(lambda: text))

    def _retirement(self) -> tuple[Step, ...]:
        rebuild = self.config.rebuild
        accept = requests.accept(commit=self.commit, rollback=self.rollback)
        if not rebuild.roll:
            return (Step("accept", "note it as live", (accept,)),)
        summary = f"drain for {rebuild.drain} s, remove the old containers"
        return (Step("retire", summary, (accept, requests.retire(rebuild.drain))),)

    def _finish(self) -> Step:
        keep = self.config.rebuild.keep
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
