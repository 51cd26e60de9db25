"""Private keys: mending what copy and paste did to them, reading them, and saying what is wrong with the others.

Everything happens in memory; no message ever shows a part of a key. Formats: OpenSSH's own (its PROTOCOL.key), PKCS #8
(RFC 5958) and the older PEM forms (RFC 1421), with or without a passphrase.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

from deployer.errors import InvalidInput
from deployer.secret import Secret

__all__ = ["PrivateKey", "mend", "read_private_key", "read_private_key_file"]

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
"""The keys that can log in."""

_MAKE_ONE = "Make a new one with `ssh-keygen -t ed25519` and add its .pub file to the server's authorized_keys."
_BEGIN = re.compile(r"-----\s*BEGIN ([A-Z0-9 ]+?)\s*-----")
_KINDS = {"OPENSSH PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"}
# The two header fields that an encrypted key of the older form has.
_FIELDS = re.compile(r"\s*(Proc-Type:\s*4,\s*ENCRYPTED)\s*(DEK-Info:\s*[A-Z0-9-]+,\s*[0-9A-Fa-f]+)")
_PUBLIC = re.compile(
    r"(ssh-(rsa|ed25519|dss)|ecdsa-sha2-\S+|sk-\S+@openssh\.com) AAAA|-+ ?BEGIN [A-Z0-9 ]*(PUBLIC KEY|CERTIFICATE)"
)
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_LIMIT = 64 * 1024  # bytes; the longest real key, RSA of 16384 bits, has 13 KB


def read_private_key_file(path: Path, passphrase: Secret | None = None) -> PrivateKey:
    """The private key in a file. Raises InvalidInput that names the file and what is wrong with it."""
    origin = f"the key file {path}"
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(_LIMIT + 1)
    except FileNotFoundError as error:
        raise InvalidInput(f"{origin} does not exist") from error
    except OSError as error:
        raise InvalidInput(f"cannot read {origin}: {error.strerror}") from error
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"  # as Windows' editors save it
    return read_private_key(Secret(data.decode(encoding, "replace")), passphrase, origin)


def read_private_key(
    text: Secret, passphrase: Secret | None = None, origin: str = "the key in DEPLOYER_KEY"
) -> PrivateKey:
    """The private key in a text, mended first. A passphrase that the key does not need is not an error.

    Raises InvalidInput that says what is wrong: of another kind, cut off, damaged, or its passphrase missing or wrong.
    """
    pem = mend(text.reveal(), origin).encode("ascii")
    load: Callable[[bytes, bytes | None], object] = load_ssh_private_key if b"OPENSSH" in pem else load_pem_private_key
    try:
        key = _decrypted(load, pem, passphrase, origin)
    except UnsupportedAlgorithm:
        raise InvalidInput(f"{origin} is of a type that is not supported, or damaged", hint=_MAKE_ONE) from None
    except (ValueError, TypeError, IndexError):
        # The cause is left out: nobody promises that its text is free of key material.
        raise InvalidInput(
            f"{origin} is damaged or was cut off: its contents do not make a private key",
            hint="Copy the whole file again.",
        ) from None
    return _supported(key, origin)


def _decrypted(
    load: Callable[[bytes, bytes | None], object], pem: bytes, passphrase: Secret | None, origin: str
) -> object:
    try:
        return load(pem, None)
    except TypeError:  # what `cryptography` raises for a key that needs a passphrase
        if not passphrase:
            raise InvalidInput(
                f"{origin} is protected by a passphrase, and none was given",
                hint="Put it into DEPLOYER_KEY_PASSPHRASE, or load the key into an SSH agent.",
            ) from None
    try:
        return load(pem, passphrase.reveal().encode("utf-8"))
    except ValueError:
        raise InvalidInput(
            f"the passphrase does not open {origin}", hint="Check DEPLOYER_KEY_PASSPHRASE (or the key is damaged)."
        ) from None


def _supported(key: object, origin: str) -> PrivateKey:
    if isinstance(key, ec.EllipticCurvePrivateKey) and not isinstance(key.curve, _CURVES):
        raise InvalidInput(f"{origin} is on the curve {key.curve.name}, which SSH does not know", hint=_MAKE_ONE)
    if not isinstance(key, PrivateKey):
        kind = type(key).__name__.removesuffix("PrivateKey")
        raise InvalidInput(f"{origin} is a {kind} key, which is not supported", hint=_MAKE_ONE)
    return key


def mend(text: str, origin: str = "the key") -> str:
    r"""The key's text in its exact form: header, Base64 in lines, footer, newline at the end.

    Mends CRLF, a missing final newline, indentation and other pasted white space, quotes and text around the key, and
    newlines that became ``\n`` or spaces. Raises InvalidInput when the text holds no whole private key.
    """
    text = text.replace("\\r", "").replace("\\n", "\n").replace("\ufeff", "").replace("\u00a0", " ")
    begin = _BEGIN.search(text)
    if not begin or begin[1] not in _KINDS:
        raise _no_key(text, begin[1] if begin else "", origin)
    kind = begin[1]
    end = re.search(rf"-----\s*END {kind}\s*-----", text[begin.end() :])
    if not end:
        raise InvalidInput(
            f"{origin} was cut off: it has no line `-----END {kind}-----`",
            hint="Copy the whole file, the last line included.",
        )
    body = text[begin.end() : begin.end() + end.start()]
    fields = _FIELDS.match(body)
    head = f"{fields[1]}\n{fields[2]}\n\n" if fields else ""
    base = "".join(body[fields.end() if fields else 0 :].split())
    _check_base64(base, origin)
    lines = "\n".join(base[start : start + 64] for start in range(0, len(base), 64))
    return f"-----BEGIN {kind}-----\n{head}{lines}\n-----END {kind}-----\n"


def _check_base64(base: str, origin: str) -> None:
    try:
        base64.b64decode(base, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(
            f"{origin} is damaged or was cut off: between its first and last line is something that is not Base64",
            hint="Copy the whole file again.",
        ) from None


def _no_key(text: str, kind: str, origin: str) -> InvalidInput:
    """Why this is no private key that we can read."""
    stripped = text.strip().strip("'\"")
    if not stripped:
        return InvalidInput(f"{origin} is empty")
    if stripped.startswith("PuTTY-User-Key-File"):
        hint = (
            "Convert it: `puttygen KEY.ppk -O private-openssh -o KEY`, or in PuTTYgen: Conversions, Export OpenSSH key."
        )
        return InvalidInput(f"{origin} is in PuTTY's own format (.ppk)", hint=hint)
    if _PUBLIC.match(stripped) or "PUBLIC KEY" in kind or kind == "CERTIFICATE":
        hint = "Give the private one: the file of the same name without .pub."
        return InvalidInput(f"{origin} is a public key", hint=hint)
    if "PRIVATE KEY" in kind:
        return InvalidInput(f"{origin} is a key of the kind {kind}, which is not supported", hint=_MAKE_ONE)
    if stripped.startswith(("/", "~", "./")) and "\n" not in stripped:
        hint = "Put the file's contents into it, or name the file by host.key or --key."
        return InvalidInput(f"{origin} is the name of a file, not a key", hint=hint)
    hint = "A private key starts with a line like `-----BEGIN OPENSSH PRIVATE KEY-----`; copy the whole file."
    return InvalidInput(f"{origin} is not a private key", hint=hint)
