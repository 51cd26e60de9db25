"""The rules for single texts of the tables that a rebuild needs: paths on the server, Git's names, Compose's names."""

from __future__ import annotations

import re
from collections import Counter

from deployer.config.checks import LONGEST_NAME, SYSTEM_DIRECTORIES, Refused, check_url, is_visible

__all__ = [
    "check_base_url",
    "check_command",
    "check_compose_file",
    "check_ref",
    "check_repository",
    "check_roll",
    "check_server_path",
    "services_once",
    "split_roll",
]

_LONGEST_PATH = 3000  # bytes; Linux allows 4096, of which the home directory and the state in .deployer need a part
_LONGEST_REF = 240  # bytes: the last part of it is a file's name, to which Git adds ".lock"
_PATH_EXPECTED = "a path on the server, absolute or relative to the user's home, such as apps/blog"
_COMPOSE_EXPECTED = "a path inside the checkout, such as docker-compose.yml"
_REPOSITORY_EXPECTED = "an https://, ssh:// or file:// URL, [user@]host:path, or an absolute path on the server"
# What may be a password or a token in a text that is no repository.
_CREDENTIAL = r"@|[?#]|gh[a-z]_|github_pat_|glpat-"
_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_USER = r"[A-Za-z0-9_][A-Za-z0-9._+-]*"
_ADDRESS = rf"(?:{_NAME}|\[[0-9A-Fa-f:.]+\])"
_HTTPS = rf"https://{_ADDRESS}(?::[0-9]{{1,5}})?/[^?#@]+"
_SSH = rf"ssh://(?:{_USER}@)?{_ADDRESS}(?::[0-9]{{1,5}})?/[^?#]+"
_SCP = rf"(?:{_USER}@)?{_ADDRESS}:(?!:|//|-)[^@?#]+"  # a second colon would name one of Git's remote helpers
_FILE = r"file:///[^?#]+"
_SERVICE = r"[A-Za-z0-9._][A-Za-z0-9._-]{0,199}"


def check_server_path(text: str) -> str:
    """A directory on the server, absolute or relative to the user's home, returned without trailing slashes.

    ``~/`` in front says home, too. The file system's root, the system's directories and home itself are refused.
    """
    bare = (text[2:] if text.startswith("~/") else text).rstrip("/")
    absolute = bare.startswith("/")
    parts = _parts(bare.removeprefix("/"), _PATH_EXPECTED)
    if not absolute and parts[0][0] in "~-":
        raise Refused(f"{_PATH_EXPECTED}, that does not start with '~' or '-'")
    if absolute and len(parts) == 1 and parts[0] in SYSTEM_DIRECTORIES:
        raise Refused("a directory of its own, not one of the system's")
    return bare


def check_compose_file(text: str) -> str:
    """The path of a Compose file, relative to the checkout."""
    if text.startswith(("/", "-", "~")) or text.endswith("/"):
        raise Refused(f"{_COMPOSE_EXPECTED}, that does not start with '/', '-' or '~'")
    _parts(text, _COMPOSE_EXPECTED)
    return text


def _parts(path: str, expected: str) -> list[str]:
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise Refused(f"{expected}, without empty, '.' and '..' components")
    if not is_visible(path, spaces=True):
        raise Refused(f"{expected}, without control characters")
    if ".deployer" in parts:
        raise Refused("a path outside of .deployer", hint="deployer keeps its own state in directories of that name")
    if max(map(_size, parts)) > LONGEST_NAME or _size(path) > _LONGEST_PATH:
        raise Refused(f"a path of at most {_LONGEST_PATH} bytes, whose components have at most {LONGEST_NAME}")
    return parts


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def check_command(text: str) -> str:
    """A command for the server's shell: one line, as requests to the host are made of lines."""
    if not is_visible(text.replace("\t", " "), spaces=True):
        raise Refused(
            "a command on one line, without control characters",
            hint="join several commands by &&, or put them into a script of the repository",
        )
    return text


def check_repository(text: str) -> str:
    """What ``git clone`` takes (gitglossary(7), git-clone(1) "GIT URLS"), but nothing that could run a command.

    It never looks like an option, names no remote helper (``ext::``), and has no credentials in it.
    """
    if re.search(r"^[a-z+]+://[^/]*@", text) and not re.fullmatch(rf"{_SSH}", text):
        raise _credentials()
    if re.match(r"[^/]*:[^/]*@", text):  # user:password@host:path
        raise _credentials()
    if re.match("https?://", text) and re.search("[?#]", text):
        raise _credentials()
    forms = (_HTTPS, _SSH, _SCP, _FILE, "/.+")
    spaces = text.startswith("/")
    if not is_visible(text, spaces=spaces) or not any(re.fullmatch(form, text) for form in forms):
        raise Refused(
            _REPOSITORY_EXPECTED,
            hint="such as https://github.com/owner/name.git or git@github.com:owner/name.git",
            echo=not re.search(_CREDENTIAL, text),
        )
    return text


def _credentials() -> Refused:
    return Refused(
        "a repository's URL without user name, password and token",
        hint="put a token into the variable DEPLOYER_GITHUB_TOKEN, or a deploy key into DEPLOYER_REPOSITORY_KEY",
        echo=False,
    )


def check_ref(text: str) -> str:
    """A branch, a tag, a whole ref's name (git-check-ref-format(1)), or a commit by all of its 40 hexadecimal digits."""
    if re.fullmatch("[0-9A-Fa-f]{40}", text):
        return text.lower()
    parts = text.split("/")
    # The names of Git's rules, in their order; "-" in front would be an option.
    broken = (
        any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
        or ".." in text
        or not is_visible(text)
        or bool(re.search(r"[~^:?*\[\\]", text))
        or text.endswith(".")
        or "@{" in text
        or text == "@"
        or text.startswith("-")
    )
    if broken or max(map(_size, parts)) > _LONGEST_REF or _size(text) > _LONGEST_PATH:
        raise Refused(
            "a branch, a tag, or a commit by its 40 digits",
            hint="`git check-ref-format` tells which names Git takes; '-' in front is not taken either",
        )
    return text


def check_roll(text: str) -> str:
    """``SERVICE:PORT``: a service of the Compose file and the port that it listens on inside its container."""
    match = re.fullmatch(rf"({_SERVICE}):([0-9]{{1,5}})", text)
    if not match or not 1 <= int(match[2]) <= 65_535:
        raise Refused("SERVICE:PORT, such as web:80, with a service of the Compose file and a port from 1 to 65535")
    return f"{match[1]}:{int(match[2])}"


def split_roll(text: str) -> tuple[str, int]:
    """Service and port of a text that :func:`check_roll` returned."""
    service, _, port = text.rpartition(":")
    return service, int(port)


def services_once(texts: tuple[str, ...]) -> None:
    """Refuse a service that is named twice."""
    counted = Counter(split_roll(text)[0] for text in texts)
    twice = next((service for service, count in counted.items() if count > 1), "")
    if twice:
        raise Refused(f"a list that names each service once ({twice!r} is there twice)")


def check_base_url(text: str) -> str:
    """An http or https URL that paths are added to, returned without trailing slashes."""
    checked = check_url(text)
    if "?" in checked or "#" in checked:
        raise Refused("an http:// or https:// URL without '?' and '#'")
    return checked.rstrip("/")
