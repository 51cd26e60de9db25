"""The rules that a single text has to keep: pure functions that return the text as deployer uses it, or refuse it."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = [
    "APP_PATTERN",
    "LONGEST_NAME",
    "SYSTEM_DIRECTORIES",
    "Check",
    "Refused",
    "check_address",
    "check_app",
    "check_host_key",
    "check_image",
    "check_key_file",
    "check_not_empty",
    "check_pattern",
    "check_shared",
    "check_target",
    "check_url",
    "check_user",
    "disjoint",
    "holds_private_key",
    "is_visible",
    "parse_host",
    "parse_jumps",
]

APP_PATTERN = "[a-z0-9][a-z0-9-]{0,62}"
# Patterns stay texts: re compiles them when they are first used, not at every start of the program.
_HOST_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}"
_HOST_TEXT = r"(?s:(?:(?P<user>.*)@)?(?:\[(?P<six>[^\[\]]*)\]|(?P<name>[^\[\]:@]*))(?::(?P<port>.*))?)"
_PUBLIC_KEY = r"(?:^|\s)(?:ssh-|ecdsa-|sk-)\S+\s+AAAA\S*(?:\s|$)"
# The reference grammar of container images: registry, name, tag, digest.
_IMAGE_HOST = r"(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?/"
_IMAGE_NAME = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_IMAGE = (
    rf"(?:{_IMAGE_HOST})?{_IMAGE_NAME}(?:/{_IMAGE_NAME})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[a-z0-9+._-]+:[0-9a-f]{32,128})?"
)
_LONGEST_IMAGE = 512
# A deploy swaps its target for a link: none of these survives that.
SYSTEM_DIRECTORIES = frozenset("bin boot dev etc home lib lib32 lib64 opt proc root run sbin sys tmp usr var".split())
LONGEST_NAME = 255  # bytes in one path component, on every file system that matters
_LONGEST_TARGET = 3500  # bytes; Linux allows 4096, of which the state below .deployer needs up to 550
# Shorter than any private key's body, so that a key pasted without its frame is never taken for a path and printed.
_LONGEST_KEY_PATH = 255

Check = Callable[[str], str]


class Refused(ValueError):
    """A value breaks its rule: ``expected`` completes "must be …"; without ``echo`` the value may not be shown."""

    def __init__(self, expected: str, *, hint: str = "", echo: bool = True) -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint
        self.echo = echo


def check_app(text: str) -> str:
    """An app's name: it becomes a part of paths and of release names."""
    if not re.fullmatch(APP_PATTERN, text):
        raise Refused("a name of 1 to 63 small letters, digits and hyphens that starts with a letter or digit")
    return text


def check_not_empty(text: str) -> str:
    """Any text but the empty one."""
    if not text:
        raise Refused("a text that is not empty")
    return text


def check_target(text: str) -> str:
    """The absolute path on the host that visitors are served from, returned without trailing slashes."""
    if not text.startswith("/"):
        raise Refused("an absolute path on the host, such as /www/my-site")
    if not is_visible(text, spaces=True):
        raise Refused("a path without control characters")
    parts = text.rstrip("/").split("/")[1:]
    if not parts:
        raise Refused(
            "a directory below /", hint="the whole file system cannot be a site; give the site's own directory"
        )
    if any(part in {"", ".", ".."} for part in parts):
        raise Refused("a path without empty, '.' and '..' components")
    if ".deployer" in parts:
        raise Refused("a path outside of .deployer", hint="deployer keeps its own state in directories of that name")
    if len(parts) == 1 and parts[0] in SYSTEM_DIRECTORIES:
        raise Refused(
            "the site's own directory, not one of the system's", hint="a deploy replaces the target by a link"
        )
    if any(len(part.encode("utf-8", "surrogateescape")) > LONGEST_NAME for part in parts):
        raise Refused(f"a path whose components have at most {LONGEST_NAME} bytes")
    if len(text.encode("utf-8", "surrogateescape")) > _LONGEST_TARGET:
        raise Refused(f"a path of at most {_LONGEST_TARGET} bytes")
    return "/" + "/".join(parts)


def check_shared(text: str) -> str:
    """A path inside the site, relative to its root, returned without trailing slashes."""
    bare = _check_inside(text, "a path inside the site, such as uploads")
    if any(len(part.encode("utf-8", "surrogateescape")) > LONGEST_NAME for part in bare.split("/")):
        raise Refused(f"a path whose components have at most {LONGEST_NAME} bytes")
    return bare


def check_pattern(text: str) -> str:
    """A pattern of paths inside the site, relative to its root, returned without trailing slashes."""
    return _check_inside(text, "a pattern of paths inside the site, such as assets/*")


def _check_inside(text: str, expected: str) -> str:
    bare = text.rstrip("/")
    if not bare or bare.startswith("/"):
        raise Refused(f"{expected}, relative to its root")
    if any(part in {"", ".", ".."} for part in bare.split("/")):
        raise Refused(f"{expected}, without empty, '.' and '..' components")
    if not is_visible(bare, spaces=True):
        raise Refused(f"{expected}, without control characters")
    return bare


def disjoint(paths: tuple[str, ...]) -> None:
    """Refuse paths that are named twice, or of which one lies inside another."""
    seen: set[str] = set()
    for path in sorted(paths, key=lambda path: path.split("/")):
        parts = path.split("/")
        above = next((found for length in range(len(parts)) if (found := "/".join(parts[: length + 1])) in seen), "")
        if above:
            fault = f"{path!r} is there twice" if above == path else f"{path!r} lies in {above!r}"
            raise Refused(f"a list of paths of which none is in another ({fault})")
        seen.add(path)


def check_image(text: str) -> str:
    """A container image's reference: ``[registry/]name[:tag][@digest]``. It may never look like an option."""
    if len(text) > _LONGEST_IMAGE or not re.fullmatch(_IMAGE, text):
        raise Refused("a container image such as node:22-alpine, without a scheme, spaces or options")
    return text


def check_url(text: str) -> str:
    """An http or https URL with a host, or the empty text."""
    from urllib.parse import urlsplit

    if not text:
        return text
    try:
        parts = urlsplit(text)
        credentials = "@" in parts.netloc
        complete = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        credentials, complete = "@" in text, False
    if credentials:
        raise Refused(
            "a URL without user name and password", hint="URLs are printed and kept in the journal", echo=False
        )
    if not complete or not is_visible(text) or not text.isascii():
        raise Refused(
            "an http:// or https:// URL with a host, in ASCII without spaces",
            hint="write other characters of a path percent-encoded, and those of a name in their xn-- form",
        )
    return text


def check_address(text: str) -> str:
    """A host name or an IP address; an IPv6 address loses its brackets."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare and _is_ipv6(bare):
        return bare
    if bare != text or not re.fullmatch(_HOST_NAME, text):
        hint = "give user and port by host.user and host.port" if "@" in text or ":" in text else ""
        raise Refused("a host name or an IP address", hint=hint)
    return text


def check_user(text: str) -> str:
    """A login name. It may never look like an option, nor hold a password as URLs do."""
    if ":" in text:
        raise Refused("a user name without a password", hint="log in with a key", echo=False)
    if text.startswith("-") or not is_visible(text):
        raise Refused("a user name without spaces and control characters that does not start with '-'")
    return text


def check_key_file(text: str) -> str:
    """The path of a private key's file; a key itself is refused without being shown."""
    hint = "put the key itself, unchanged, into the variable DEPLOYER_KEY"
    if holds_private_key(text) or not is_visible(text, spaces=True) or len(text) > _LONGEST_KEY_PATH:
        raise Refused("the path of a private key's file, never the key itself", hint=hint, echo=False)
    return text


def check_host_key(text: str) -> str:
    """One line of OpenSSH's known_hosts form (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"), or a bare public key."""
    if not re.search(_PUBLIC_KEY, text):
        raise Refused(
            "a line of known_hosts, or a public key such as 'ssh-ed25519 AAAA…'",
            hint="the server's own is in /etc/ssh/ssh_host_ed25519_key.pub; a fingerprint is not enough",
            echo=False,  # it may be a private key that landed in the wrong field
        )
    return text


def holds_private_key(text: str) -> bool:
    """Whether the text is a key itself instead of the path of one."""
    return "-----BEGIN" in text


def parse_host(text: str) -> dict[str, object]:
    """Split ``[user@]address[:port]`` into the keys of the host's table; parts that are not named are left out.

    ``local`` is this machine. An IPv6 address stands in brackets, as in RFC 3986. Raises Refused.
    """
    if text == "local":
        return {"local": True, "address": ""}
    login, _, bare = text.rpartition("@")
    match = re.fullmatch(_HOST_TEXT, text)
    if not match or _is_ipv6(bare):
        hint = f"write [{bare}]" if _is_ipv6(bare) else ""
        expected = "local, or [user@]address[:port] with an IPv6 address in brackets"
        raise Refused(expected, hint=hint, echo=":" not in login)  # a password may stand there, as in URLs
    user, six, name, port = match.group("user", "six", "name", "port")
    host: dict[str, object] = {"local": False}
    if user is not None:
        host["user"] = check_user(check_not_empty(user))
    host["address"] = check_address(name if six is None else f"[{six}]")
    if port is not None:
        host["port"] = _parse_port(port)
    return host


def parse_jumps(text: str) -> tuple[dict[str, object], ...]:
    """Split ``[user@]host[:port]``, or several of these separated by commas as in ``ssh -J``; spaces may follow commas.

    Raises Refused.
    """
    expected = "[user@]host[:port] with an IPv6 address in brackets, or several of these separated by commas"
    try:
        jumps = tuple(parse_host(part.strip(" \t")) for part in text.split(","))
    except Refused as reason:
        echo = reason.echo and ":" not in text.rpartition("@")[0]  # another part of the text may hold a password
        raise Refused(expected, hint=reason.hint, echo=echo) from None
    if any(jump.pop("local") for jump in jumps):
        raise Refused(f"{expected}, but never local", echo=False)
    return jumps


def _parse_port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise Refused("[user@]address[:port] with a port from 1 to 65535")
    return int(text)


def _is_ipv6(text: str) -> bool:
    from ipaddress import IPv6Address

    try:
        IPv6Address(text)
    except ValueError:
        return False
    return is_visible(text)


def is_visible(text: str, *, spaces: bool = False) -> bool:
    """Whether a text is free of control characters and, unless ``spaces``, of white space.

    Lone surrogates stand for bytes that are not UTF-8; they are no control characters.
    """
    if not spaces and any(character.isspace() for character in text):
        return False
    return all(character.isprintable() or "\udc80" <= character <= "\udcff" for character in text)
