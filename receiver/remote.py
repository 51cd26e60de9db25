"""Asking a repository's server with git: which commits its refs point at. Nothing of it is kept on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from deployer.command import quote
from deployer.secret import Secret
from receiver.errors import ReceiverError

__all__ = ["GIT_SECONDS", "RemoteSilent", "RemoteTrouble", "git_variables", "list_refs", "server_of", "shown"]

GIT_SECONDS = 30.0
"""How long a server may take to list its refs."""
LONGEST_WORDS = 300
_PASSED_ON = (
    "HOME",
    "LANG",
    "LOGNAME",
    "PATH",
    "SSH_AUTH_SOCK",
    "TMPDIR",
    "USER",
    *("GIT_SSL_CAINFO", "SSL_CERT_DIR", "SSL_CERT_FILE"),
    *("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "all_proxy", "http_proxy", "https_proxy", "no_proxy"),
)
_LINE = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})\t(\S+)")
_PEELED = "^{}"
_SERVER = re.compile(r"[a-z+]+://(?:[^/@]*@)?([^/]*)|(?:[^/@:]*@)?([^/@:]+):", re.IGNORECASE)
_USER_INFORMATION = re.compile(r"(?<=://)[^/@\s]+@")


class RemoteTrouble(ReceiverError):
    """The repository's server did not list its refs; one sentence without secrets."""


class RemoteSilent(RemoteTrouble):
    """It did not answer in time, and would not for another repository either."""


@contextlib.contextmanager
def git_variables(key: Secret) -> Iterator[dict[str, str]]:
    """The whole environment for a git that talks to a server: it never asks a person, and ``key`` (if any) is its identity.

    The key is in a file that only we can read, for as long as the block lasts. A server's host key must be known already:
    in ``.ssh/known_hosts`` of HOME or of this account, or in the machine's own.
    """
    variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    variables |= {
        "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",  # not ext::, which runs a program
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    options = [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={_known_hosts(variables.get('HOME', ''))}",
        "ConnectTimeout=10",
        "LogLevel=ERROR",
    ]
    if not key:
        yield variables | {"GIT_SSH_COMMAND": _ssh(options)}
        return
    with tempfile.TemporaryDirectory(prefix="deployer-key-") as folder:
        file = Path(folder, "key")
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as stream:  # noqa: PTH123  # a descriptor has no path
            # Line ends at the end of a secret do not count, but OpenSSH wants one.
            stream.write(key.reveal() + "\n")
        options += ["IdentitiesOnly=yes", "IdentityAgent=none"]
        yield variables | {"GIT_SSH_COMMAND": f"{_ssh(options)} -i {quote(str(file))}"}


def _known_hosts(home: str) -> str:
    """A service's HOME is often another than the one of its account, which is the only one that ssh looks at."""
    usual = "~/.ssh/known_hosts"
    # ssh takes quotes for its own, and has no way to write one inside of them.
    return usual if not home or '"' in home else f'{usual} "{home.replace("%", "%%")}/.ssh/known_hosts"'


def _ssh(options: Sequence[str]) -> str:
    return " ".join(["ssh", *(quote(f"-o{option}") for option in options)])


def list_refs(url: str, refs: Sequence[str], *, key: Secret, seconds: float = GIT_SECONDS) -> dict[str, str]:
    """The commit that each of ``refs`` (full names) points at, on the server at ``url``; one that is not there is left out.

    Of an annotated tag it is the commit and not the tag. Raises RemoteTrouble, and ValueError for what is no full name.
    """
    if bad := [ref for ref in refs if not ref.startswith("refs/")]:
        raise ValueError(f"{bad[0]!r} is no full name of a ref")
    # A name alone does not show what an annotated tag points at.
    names = [*refs, *(ref + _PEELED for ref in refs if ref.startswith("refs/tags/"))]
    with git_variables(key) as variables:
        output = _run(["git", "ls-remote", "--", url, *names], variables, url, seconds)
    found = {name: commit for commit, name in map(_parsed, output.splitlines()) if name}
    # git takes a name for a pattern that fits the end of others, too.
    pairs = ((ref, found.get(ref + _PEELED) or found.get(ref, "")) for ref in refs)
    return {ref: commit for ref, commit in pairs if commit}


def _parsed(line: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line)
    return (match[1], match[2]) if match else ("", "")


def _run(command: Sequence[str], variables: dict[str, str], url: str, seconds: float) -> str:
    try:
        process = subprocess.Popen(
            command,
            cwd="/",
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise RemoteTrouble(f"git cannot be started: {error.strerror}") from None
    with process:
        try:
            output, words = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise RemoteSilent(f"{shown(url)} did not list its refs within {seconds:g} s") from None
        finally:
            # With its helpers: ssh would go on waiting otherwise.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise RemoteTrouble(f"{shown(url)} does not list its refs: {_said(words)}")
    return output.decode("utf-8", "replace")


def server_of(url: str) -> str:
    """Name and port of the server that is asked for ``url``, or what stands there; empty for a path on this machine."""
    found = _SERVER.match(url)
    return (found[1] or found[2] or "").lower() if found else ""


def shown(url: str) -> str:
    """The address without a name or password in it."""
    return _USER_INFORMATION.sub("", url)


def _said(words: bytes) -> str:
    """What git and ssh said, on one line: ssh's reason comes before git's."""
    lines = (line.strip() for line in words.decode("utf-8", "replace").splitlines())
    told = [line.removeprefix("fatal: ") for line in lines if line]
    text = "; ".join(told[:2]) or "it says nothing"
    text = _USER_INFORMATION.sub("", "".join(character if character.isprintable() else " " for character in text))
    return text if len(text) <= LONGEST_WORDS else text[:LONGEST_WORDS] + "…"
