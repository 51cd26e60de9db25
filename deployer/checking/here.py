"""What `deployer check` looks at on this machine: the configuration, the source and its build, the names."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from deployer.child import without_secrets
from deployer.command import first_word, quote
from deployer.config import Config
from deployer.errors import DeployerError
from deployer.finding import Finding, error, failure, fine, warning
from deployer.static.archive import is_archive
from deployer.static.container import Engine, container_for

__all__ = ["configuration", "name_of_url", "resolved", "sources"]

# What a shell knows by itself (POSIX, Shell Command Language, sections 2.4 and 2.14): no file has these names.
_SHELLS_OWN = frozenset(
    "! { } ( : . [ break case cd command continue do eval exec exit export false for if read readonly return set shift"
    " test times trap true type ulimit umask unset until wait while".split()
)


def configuration(config: Config, file: Path | None) -> Finding:
    """Where the configuration is from; it was read without an error."""
    environment = f", environment {config.environment}" if config.environment else ""
    if file is None:
        return fine("config", f"{config.app}, from flags and variables: no deploy.toml in this directory or above it")
    return fine("config", f"{config.app}, from {file}{environment}")


def sources(config: Config) -> Iterator[Finding]:
    """Whether there is something here to deploy, or a command that makes it; the server's own checkout is not here."""
    if config.strategy != "static":
        return
    build, source = config.static.build, Path(config.static.source)
    if build:
        yield _build(config)
    try:
        there = is_archive(source) or (source.is_dir() and any(source.iterdir()))
    except OSError as reason:
        yield error("source", f"{source} cannot be read: {reason.strerror}", f"ls -ld {quote(str(source))}", code=2)
        return
    if there:
        yield fine("source", str(source))
    elif build:
        yield fine("source", f"{source} is not there yet: the build makes it")
    else:
        what = (
            "is empty" if source.is_dir() else "is no directory and no archive" if source.exists() else "does not exist"
        )
        found = f"{source} {what}"
        yield error("source", found, "make it first, or let static.build make it: --build, --source", code=2)


def _build(config: Config) -> Finding:
    command = config.static.build
    if image := config.static.build_image:
        return _build_in_container(config, image)
    word = first_word(command)
    if not word or word in _SHELLS_OWN or _found(word, config.directory):
        return fine("build", command)
    return error(
        "build", f"there is no program {word} here, which the build begins with", f"install {word}, or correct --build"
    )


def _build_in_container(config: Config, image: str) -> Finding:
    """As far as it can be known without starting one."""
    mend = "mend that, or build here: without --build-image"
    try:
        container_for(config.directory, Path(config.static.source))
        Engine.find(without_secrets(os.environ))
    except DeployerError as reason:
        return failure("build", reason, mend)
    return fine("build", f"{config.static.build}, in a container of {image}")


def _found(word: str, directory: Path) -> bool:
    if "/" not in word:
        return shutil.which(word) is not None
    return os.access(directory / Path(word).expanduser(), os.X_OK)


def resolved(name: str, key: str) -> Finding:
    """Whether a host's name has an address; ``key`` says which setting it is from."""
    try:
        ip_address(name)
    except ValueError:
        pass
    else:
        return fine("dns", f"{name} is an address")
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as reason:
        why = getattr(reason, "strerror", None) or str(reason)
        return error("dns", f"{name} has no address: {why}", f"getent ahosts {quote(name)}; check {key}", code=4)
    addresses = dict.fromkeys(str(address[0]) for *_, address in found)
    return fine("dns", f"{name} is {', '.join(addresses)}")


def name_of_url(config: Config) -> Iterator[Finding]:
    """The names of the URLs that gate and probe ask; only visitors need them where each host has a ``connect_to``."""
    elsewhere = all(host.connect_to for host in config.hosts)
    names = dict.fromkeys(
        urlsplit(url).hostname or "" for url in (config.url, config.health_url, config.probe_url) if url
    )
    for name in names:
        finding = resolved(name, "url")
        if finding.code and elsewhere:
            yield warning("dns", f"{finding.found} (deployer itself uses connect_to)", finding.mend)
        elif finding.code:
            yield error("dns", finding.found, finding.mend)
        else:
            yield finding
