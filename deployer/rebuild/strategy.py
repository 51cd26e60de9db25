"""The rebuild strategy: from configuration and the host's facts to a plan. Running it is the engine's work."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from deployer.config import Config, Secrets
from deployer.errors import DeployFailed
from deployer.parallel import together
from deployer.plan import Plan, Reply, Request, Step, Text
from deployer.ports import Answer, Reporter
from deployer.rebuild import requests
from deployer.rebuild.credential import Credential
from deployer.rebuild.facts import Facts, read_facts
from deployer.rebuild.host import program
from deployer.rebuild.services import cautions, read_services
from deployer.rebuild.space import check_space
from deployer.rebuild.steps import Ending, check_rolled
from deployer.release import ReleaseName, new_name

__all__ = ["RebuildStrategy"]

LOCK, FACTS, RESOLVED = 1, 2, 3
"""Which replies to the opening tell of what was healed, have the facts, and name the commit where that is asked early."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The commit to deploy, 40 hex digits, and the branch or tag that it is the head of (refs/…; empty: none)."""

    commit: str
    refname: str


class RebuildStrategy:
    """Bring ``config.rebuild.path`` to a commit, build it there, and replace what runs.

    ``label`` tells other deployers whose lock it is, ``log`` gives the output so far to keep on the host, ``environment``
    may name the commit that triggered a GitHub workflow.
    """

    build_summary = ""
    scan_summary = ""

    def __init__(
        self,
        config: Config,
        credentials: Secrets,
        reporter: Reporter,
        *,
        label: str,
        environment: Mapping[str, str],
        log: Callable[[], str],
    ) -> None:
        self._config = config
        self._credentials = credentials
        self._reporter = reporter
        self._label = label
        self._environment = environment
        self._log = log

    @property
    def program(self) -> str:
        """The host's side, as POSIX shell text."""
        return program()

    def build(self) -> None:
        """Nothing to build here: the server builds."""

    def scan(self) -> Callable[[], None]:
        """Nothing to read here."""
        return lambda: None

    def opening(self, *, alone: bool, patient: bool = True) -> tuple[Request, ...]:
        """Lock and look; what is to do, if anything, only the answers say, from one host or several."""
        asked = opening(self._config, self._label, patient=patient)
        # A round trip less, where what is asked for does not depend on the host.
        return (*asked, self._resolve(early=True)) if alone and self._is_known_how_to_ask() else asked

    def decide(self, answers: tuple[Answer, ...]) -> tuple[Plan, ...]:
        """A plan for each host. The first host's remote says which commit is wanted, on all of them."""
        config = self._config
        facts = [read_facts(answer.replies[FACTS], answer.host) for answer in answers]
        for each in facts:
            check_host(config, each)
            _check_checkout(config, each)
        wanted = self._wanted(answers[0], facts[0])
        unchanged = [_is_unchanged(each, wanted) for each in facts]
        if all(unchanged):
            together([partial(answer.session.perform, requests.conclude()) for answer in answers])
            return tuple(Plan(each.live, each.live, commit=wanted.commit) for each in facts)
        newest = max(each.newest for each in facts)
        name = new_name(max(each.now for each in facts), newest, wanted.commit, "")
        return tuple(
            _nothing(each, wanted) if same else self._plan(each, wanted, name, answer.replies[LOCK].every("healed"))
            for each, same, answer in zip(facts, unchanged, answers, strict=True)
        )

    def _wanted(self, answer: Answer, facts: Facts) -> _Wanted:
        rebuild, environment = self._config.rebuild, self._environment
        commit, repository = environment.get("GITHUB_SHA", ""), environment.get("GITHUB_REPOSITORY", "")
        remote = (facts.remote or rebuild.repository).removesuffix("/").removesuffix(".git")
        # GitHub's names know no capitals.
        same = remote.replace(":", "/").lower().endswith(f"/{repository.lower()}")
        if not rebuild.ref and commit and repository and same:
            name = environment.get("GITHUB_REF", "")
            return _Wanted(commit, name if name.startswith(("refs/heads/", "refs/tags/")) else "")
        reply = answer.replies[RESOLVED] if len(answer.replies) > RESOLVED else None
        if reply is None or not reply.text("commit"):
            (reply,) = answer.session.perform(self._resolve(facts.remote))
        return _Wanted(reply.text("commit"), reply.text("refname"))

    def _resolve(self, remote: str = "", *, early: bool = False) -> Request:
        rebuild = self._config.rebuild
        return requests.resolve(rebuild.ref, rebuild.repository, self._credential(remote), early=early)

    def _is_known_how_to_ask(self) -> bool:
        """Whether the remote has to be asked, and no secret is for a server that only the checkout names."""
        rebuild, secrets = self._config.rebuild, self._credentials
        triggered = not rebuild.ref and self._environment.get("GITHUB_SHA")
        return not triggered and bool(rebuild.repository or not (secrets.repository_key or secrets.github_token))

    def _credential(self, remote: str) -> Credential:
        return Credential(self._credentials, self._config.rebuild.repository or remote)

    def _plan(self, facts: Facts, wanted: _Wanted, name: ReleaseName, healed: tuple[str, ...]) -> Plan:
        config, rebuild, release = self._config, self._config.rebuild, name.identifier
        record = Text(lambda: _record(config, name, wanted))
        credential = self._credential(facts.remote)
        fetch = requests.update(
            release, wanted.commit, wanted.refname, rebuild.update, rebuild.repository, credential, stash=rebuild.stash
        )
        fetch = replace(fetch, heard=partial(tell, self._reporter, facts))
        start = requests.begin(release, facts.live, record, commit=wanted.commit)
        step = Step("fetch", movement(facts, wanted.commit), (start, fetch))
        ending = Ending(config, self._reporter, facts, release, wanted.commit, self._log)
        return ending.complete((step, ending.built()), (*healed, *_cautions(config, facts)))


def opening(config: Config, label: str, *, patient: bool) -> tuple[Request, ...]:
    """Name the deploy, take the lock, ask for the facts."""
    traefik, rebuild = config.traefik, config.rebuild
    return (
        requests.site(config.app, rebuild.path, secrets.token_hex(6), label),
        requests.lock(config.lock_wait if patient else 0, label),
        requests.facts(rebuild.compose_file, traefik.directory, traefik.api),
    )


def check_host(config: Config, facts: Facts) -> None:
    """Raise DeployFailed when the host cannot run what the checkout's Compose file says."""
    place = f"{facts.host}: " if facts.host else ""
    if config.rebuild.roll and not facts.compose_file and facts.checkout == "yes":
        message = f"{place}{facts.path} has no Compose file, so there is nothing to roll"
        raise DeployFailed(message, hint="Name it as rebuild.compose_file, or take rebuild.roll away.")
    if not facts.compose_file:
        return
    if facts.docker != "ok":
        message, hint = _DOCKER[facts.docker]
        raise DeployFailed(f"{place}{message}", hint=hint)
    if config.rebuild.roll and not facts.compose:
        message = f"{place}Docker Compose is not installed on the host"
        raise DeployFailed(message, hint="Install it: https://docs.docker.com/compose/install/")


_DOCKER = {
    "none": ("Docker is not installed on the host", "Install it: https://docs.docker.com/engine/install/"),
    "down": ("the Docker engine does not run on the host", "Start it: sudo systemctl start docker"),
    "denied": (
        "the user may not use the Docker engine on the host",
        "Let it: sudo usermod -aG docker USER. That is as much as root's rights.",
    ),
}


def _check_checkout(config: Config, facts: Facts) -> None:
    place = f"{facts.host}: " if facts.host else ""
    if facts.changed and not config.rebuild.stash:
        listed = "\n".join(f"  {line}" for line in facts.changed)
        message = f"{place}{facts.path} has local changes to {len(facts.changed)} tracked files"
        hint = f"{listed}\nCommit them, undo them with git checkout, or put them away with --stash."
        raise DeployFailed(message, hint=hint)
    services = {service.name: service for service in read_services(facts.rendered)}
    if services:
        check_rolled(config, services)
    check_space(facts.reply, services.values(), [service.name for service in config.rebuild.services], facts.host)


def _cautions(config: Config, facts: Facts) -> tuple[str, ...]:
    rolled = [service.name for service in config.rebuild.services]
    return cautions(read_services(facts.rendered), rolled, facts.reply.every("unset"))


def movement(facts: Facts, commit: str) -> str:
    """What becomes of the checkout when it is brought to ``commit``, for people."""
    if facts.checkout == "absent":
        return f"clone the repository to {facts.path}, at {commit[:7]}"
    since = f" from {facts.head[:7]}" if facts.head not in ("", commit) else ""
    return f"bring {facts.path}{since} to {commit[:7]}"


def tell(reporter: Reporter, facts: Facts, reply: Reply) -> None:
    """Say what came with the update of the checkout: the commits, and what was put away for it."""
    place = f"{facts.host}: " if facts.host else ""
    commits = reply.text("commits").splitlines()
    for line in commits:
        reporter.note(f"{place}{line}")
    if (more := reply.number("behind", 0) - len(commits)) > 0:
        reporter.note(f"{place}and {more:,} commits before these")
    if stash := reply.text("stashed"):
        reporter.note(f"{place}local changes are put away; get them back in {facts.path} with: git stash apply {stash}")


def _is_unchanged(facts: Facts, wanted: _Wanted) -> bool:
    """Whether the live release is the wanted one, and runs as it was left."""
    if not facts.live or facts.live_commit != wanted.commit or facts.live_head != facts.head or facts.changed:
        return False
    if facts.rendered_hash != facts.live_hash:
        return False
    running: dict[str, set[str]] = {}
    for container in facts.containers:
        if container.is_well:
            running.setdefault(container.service, set()).add(container.image)
    return all(running.get(service) == {image} for service, image in facts.live_images)


def _nothing(facts: Facts, wanted: _Wanted) -> Plan:
    conclude = Step("finish", "unlock", (requests.conclude(),))
    return Plan(facts.live, facts.live, commit=wanted.commit, confirm=(conclude,))


def _record(config: Config, name: ReleaseName, wanted: _Wanted) -> str:
    about = {"identifier": name.identifier, "commit": wanted.commit, "time": str(name.time)}
    if config.rebuild.no_rollback_past:
        about["no_rollback_past"] = "yes"
    return "".join(f"{key} {value}\n" for key, value in about.items())
