"""What `deployer check` says of the directory that Traefik watches, and of Traefik's answers. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from deployer.config import Config
from deployer.errors import InvalidInput
from deployer.finding import Finding, error, failure, fine, warning
from deployer.plan import Reply
from deployer.rebuild.traefik import check_ready
from deployer.rebuild.watched import ConfigFile, Directory, own_file, read_directory, unusable

__all__ = ["traefik_findings"]

NAME = "traefik"
_OWNER = "sudo chown {user} '{path}'"


def traefik_findings(config: Config, reply: Reply) -> Iterator[Finding]:
    """Everything about Traefik, out of the host's ``proxy_facts`` and ``proxy_mounts``; nothing without [traefik]."""
    if not config.traefik.directory:
        return
    directory = read_directory(reply)
    if directory is None or directory.state in ("absent", "unreadable"):
        mend = "correct traefik.directory (--traefik-directory): it is the directory of Traefik's --providers.file.directory"
        yield error(NAME, unusable(config.traefik.directory, directory), mend)
        return
    if directory.state == "unwritable":
        user = reply.text("user") or "$(id -un)"
        yield error(NAME, unusable(config.traefik.directory, directory), _OWNER.format(user=user, path=directory.path))
    yield from (_unreadable(directory, file) for file in directory.files if file.problem)
    yield from _duplicates(directory)
    yield from _mounts(directory)
    yield from _rolled(config, directory)
    yield from _api(config, directory)


def _unreadable(directory: Directory, file: ConfigFile) -> Finding:
    found = f"{directory.path}/{file.name}: {file.problem}"
    if "{{" in file.text or not file.text:
        return warning(
            NAME, found, "see in Traefik's log whether it reads this file: one that it cannot read freezes all"
        )
    return error(NAME, f"{found}; so Traefik follows no change of any file", f"correct {directory.path}/{file.name}")


def _duplicates(directory: Directory) -> Iterator[Finding]:
    places: dict[str, list[str]] = {}
    for each in directory.definitions():
        places.setdefault(each.name, []).append(each.file.name)
    for name, files in places.items():
        if len(files) > 1:
            found = f"the service {name} is defined in {' and in '.join(files)}; Traefik takes the first"
            yield warning(NAME, found, f"leave one of them in {directory.path}: deployer proxy adopt, or by hand")


def _mounts(directory: Directory) -> Iterator[Finding]:
    for container, path in directory.mounts:
        found = f"{path} is mounted by itself into the container {container}, which does not see it replaced"
        yield error(NAME, found, f"mount the whole directory {directory.path} instead, and create {container} anew")


def _rolled(config: Config, directory: Directory) -> Iterator[Finding]:
    own = directory.file(own_file(config.app))
    ready = []
    for service in config.rebuild.services:
        try:
            names = check_ready(directory, own_file(config.app), service.name, service.port)
        except InvalidInput as reason:
            yield failure(NAME, reason, "deployer proxy adopt")
        else:
            ready.append(f"{', '.join(names)} to {service.name}:{service.port}")
    if ready and own and not own.problem:
        yield fine(NAME, f"{directory.path}/{own.name} sends {'; '.join(ready)}")


def _api(config: Config, directory: Directory) -> Iterator[Finding]:
    traefik = config.traefik
    if not traefik.api or directory.api == "tool":
        return
    if directory.api == "ok":
        yield fine(NAME, f"version {directory.version or 'unknown'} answers at {traefik.api}")
        return
    reasons = {"down": "does not answer", "401": "wants a password", "403": "refuses to answer"}
    reason = reasons.get(directory.api, f"answers with status {directory.api}")
    found = f"Traefik's API {reason} at {traefik.api} on the host"
    mend = "start Traefik with --api.insecure=true and publish its port on loopback only (127.0.0.1:8080:8080)"
    if traefik.entry_point:
        yield warning(NAME, f"{found}: {traefik.entry_point} is asked instead, which promises less", mend)
    else:
        yield error(NAME, found, f"{mend}; or give traefik.entry_point (--traefik-entry-point)")
