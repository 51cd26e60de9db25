"""The static strategy: from configuration, source and the host's facts to a plan. Running it is the engine's work."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from deployer.config import Config
from deployer.plan import HEAVY_BYTES, Plan, Reply, Request, ServedFile, Step
from deployer.ports import Answer, Reporter
from deployer.release import ReleaseName, new_name, short
from deployer.static import requests
from deployer.static.agreement import agree, level
from deployer.static.archive import is_archive, private_directory, unpack_and_scan
from deployer.static.build import run_build, run_build_in_image
from deployer.static.changes import Base, Changes, compare
from deployer.static.facts import Facts, read_arrived, read_base, read_facts, warnings
from deployer.static.host import program
from deployer.static.limits import check_limits
from deployer.static.manifest import Kind, Manifest
from deployer.static.opening import Opening
from deployer.static.reading import begin
from deployer.static.retain import retain
from deployer.static.shared import below, with_shared
from deployer.static.stream import Text
from deployer.static.uploading import Made, Part, Upload, uploads

__all__ = ["StaticStrategy"]


class StaticStrategy:
    """Deploy ``config.static.source``.

    ``label`` tells other deployers whose lock it is, ``commit`` what is deployed (empty: unknown), ``log`` gives the
    output so far to keep on the host.
    """

    def __init__(
        self,
        config: Config,
        reporter: Reporter,
        *,
        label: str,
        commit: str,
        environment: Mapping[str, str],
        log: Callable[[], str],
    ) -> None:
        self._config = config
        self._reporter = reporter
        self._opening = Opening(config, label)
        self._commit = commit
        self._environment = environment
        self._log = log
        self._source = Path(config.static.source)
        self._wanted = Manifest(())
        self._left_out: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        """The host's side, as POSIX shell text."""
        return program()

    @property
    def build_summary(self) -> str:
        """The build command; empty when there is nothing to build."""
        static = self._config.static
        return f"{static.build} in {static.build_image}" if static.build and static.build_image else static.build

    def build(self) -> None:
        """Run the build command, in its container if it has one."""
        static, directory = self._config.static, self._config.directory
        if image := static.build_image:
            run_build_in_image(static.build, image, directory, self._source, self._environment, self._reporter)
        else:
            run_build(static.build, directory, self._environment, self._reporter)

    @property
    def scan_summary(self) -> str:
        """What is read."""
        source = self._config.static.source
        return f"{'unpack and ' if is_archive(Path(source)) else ''}hash {source}"

    def scan(self) -> Callable[[], None]:
        """Begin to hash the source; the result waits for the end of it. An archive is unpacked then, too."""
        exclude, progress = self._config.static.exclude, lambda size: self._reporter.progress("scan", size, 0)
        if is_archive(archive := self._source):
            self._source = private_directory(self)
            read: Callable[[], Manifest] = partial(unpack_and_scan, archive, self._source, exclude, progress)
        else:
            read = begin(self._source, exclude, progress)

        def wait() -> None:
            self._wanted, self._left_out = with_shared(read(), self._config.static.shared)

        return wait

    def opening(self, *, alone: bool, patient: bool = True) -> tuple[Request, ...]:
        """Lock, facts, and the end when nothing differs: one round trip."""
        return self._opening.requests(self._wanted.digest, alone=alone, patient=patient)

    def decide(self, answers: tuple[Answer, ...]) -> tuple[Plan, ...]:
        """What to send and link on each host, and the steps for it."""
        hosts, healed = self._opening.facts(answers), self._opening.healed(answers)
        if all(facts.unchanged for facts in hosts):
            self._opening.conclude(answers)
            return tuple(map(self._unchanged, agree(hosts), healed))
        said = self._opening.differing(answers)
        hosts = agree(tuple(read_facts(reply, answer.host) for reply, answer in zip(said, answers, strict=True)))
        known: dict[tuple[bytes | None, ...], Base] = {}
        bases = level(hosts, tuple(map(partial(self._base, known), answers, hosts, said)))
        name, adopted = self._names(hosts[0], adopting=any(facts.kind == "directory" for facts in hosts))
        # Hosts that hold the same get the same, which is worked out once.
        made = {id(base): self._release(name, hosts[0], base) for base in bases}
        parts = [Part(*each, made[id(each[2])]) for each in zip(answers, hosts, bases, strict=True)]
        signing = not all(host.local for host in self._config.hosts)
        return tuple(
            self._plan(part.made, adopted, part.facts, texts, upload)
            for part, texts, upload in zip(parts, healed, uploads(self._source, parts, signing=signing), strict=True)
        )

    def _base(self, known: dict[tuple[bytes | None, ...], Base], answer: Answer, facts: Facts, said: Reply) -> Base:
        key = tuple(map(said.raw, ("manifest", "retained", "copying", "arrived644", "arrived755")))
        if key in known:
            return known[key]
        base = read_base(said)
        if base is not None and base.recorded:
            known[key] = base
        if base is None:
            # A damaged manifest means "send more": what is really there is hashed, and only that is linked.
            (again,) = answer.session.perform(requests.inventory(facts.live))
            base = replace(read_base(again) or Base(), arrived=read_arrived(said))
        if not base.recorded and (shared := self._config.static.shared):
            # In a directory that is adopted, they are what the server keeps.
            base = replace(base, entries={path: each for path, each in base.entries.items() if not below(path, shared)})
        return base

    def _names(self, facts: Facts, *, adopting: bool) -> tuple[ReleaseName, str]:
        """The new release, and the directory that an adopted site is kept in: the same on all hosts."""
        adopted, newest = "", facts.newest
        if adopting:
            adopted = newest = new_name(facts.now - 1, newest, "adopted", secrets.token_hex(12)).directory
        return new_name(facts.now, newest, self._commit or self._wanted.digest, secrets.token_hex(12)), adopted

    def _totals(self) -> dict[str, int]:
        return {"files_total": len(self._wanted.files), "files_uploaded": 0, "files_deleted": 0, "bytes_uploaded": 0}

    def _unchanged(self, facts: Facts, healed: tuple[str, ...]) -> Plan:
        return Plan(facts.live, facts.live, self._commit, figures=self._totals(), warnings=healed)

    def _plan(self, made: Made, adopted: str, facts: Facts, healed: tuple[str, ...], upload: Upload) -> Plan:
        target, name, changes = self._config.static.target, made.name, made.changes
        check_limits(facts, changes, made.whole, target, name.directory)
        totals = self._totals() | {"files_uploaded": len(changes.sent), "files_deleted": changes.deleted}
        previous = adopted if facts.kind == "directory" else facts.live
        keep_log = Step("log", "keep the output on the host", (requests.log(name.directory, Text(self._log)),))
        return Plan(
            release=name.directory,
            previous=previous,
            commit=self._commit,
            prepare=upload.steps(facts, self._config.static.shared, self._reporter, totals),
            switch=Step(
                "switch",
                f"put {name.identifier} live",
                (requests.switch(name.directory, previous, commit=self._commit),),
            ),
            confirm=(
                keep_log,
                Step(
                    "finish",
                    f"keep {self._config.static.keep} releases, unlock",
                    (requests.confirm(self._config.static.keep),),
                ),
            ),
            revert=(
                keep_log,
                Step("roll back", f"put {short(previous) or 'nothing'} live again", (requests.revert(),)),
            ),
            changes=changes.listing,
            served=self._served(changes),
            figures=totals,
            heavy=sum(entry.size for entry in changes.sent.values()) >= HEAVY_BYTES,
            warnings=(*healed, *warnings(facts, target), *self._left_out),
        )

    def _release(self, name: ReleaseName, facts: Facts, base: Base) -> Made:
        asked, old = self._config.static.retain_assets, {each.entry.path for each in base.retained}
        own = tuple(entry for path, entry in base.entries.items() if path not in old) if asked.patterns else ()
        retained = retain(own, base.retained, self._wanted, patterns=asked.patterns, days=asked.days, now=facts.now)
        entries = (*self._wanted.entries, *(each.entry for each in retained))
        whole = Manifest(tuple(sorted(entries, key=lambda entry: entry.path))) if retained else self._wanted
        modified = max(name.time, facts.newest_time + 1)
        return Made(name, self._commit, self._wanted, whole, retained, compare(base, whole), modified)

    def _served(self, changes: Changes) -> tuple[ServedFile, ...]:
        changed = {change.path for change in changes.listing if change.action != "remove"}
        return tuple(
            ServedFile(entry.path, entry.digest, entry.size)
            for entry in self._wanted.entries
            if entry.kind == Kind.FILE and entry.path in changed
        )
