"""Which keys to log in with: the one that is configured, else the agent's and the user's own."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deployer.errors import InvalidInput, NoLoginKey
from deployer.secret import Secret
from deployer.transports.host_keys import PublicKey
from deployer.transports.keys import PrivateKey, read_private_key, read_private_key_file

__all__ = ["LoginKey", "login_keys"]

_DEFAULT_FILES = ("id_ed25519", "id_ecdsa", "id_rsa")
_TYPES = ("ssh-ed25519", "ecdsa-sha2-", "ssh-rsa", "sk-")


@dataclass(frozen=True, slots=True)
class LoginKey:
    """A key to log in with, and where it comes from in words."""

    key: paramiko.PKey
    origin: str

    @property
    def public(self) -> PublicKey:
        """Its public half."""
        return PublicKey(self.key.get_name(), self.key.asbytes())

    def __str__(self) -> str:
        return f"{self.public} ({self.origin})"


def login_keys(
    *, file: Path | None = None, text: Secret | None = None, passphrase: Secret | None = None, home: Path | None = None
) -> tuple[LoginKey, ...]:
    """The keys to offer, in order. A file beats a text; only without either, the agent and ``~/.ssh`` are looked at.

    Raises InvalidInput when the configured key cannot be used, or when there is none at all.
    """
    if file is not None:
        return (LoginKey(_loaded(read_private_key_file(file, passphrase)), f"key file {file}"),)
    if text:
        return (LoginKey(_loaded(read_private_key(text, passphrase)), "DEPLOYER_KEY"),)
    found = _agent_keys()
    unusable: list[str] = []
    for name in _DEFAULT_FILES:
        path = (home or Path.home()) / ".ssh" / name
        try:
            key = LoginKey(_loaded(read_private_key_file(path, passphrase)), f"key file {path}")
        except InvalidInput as error:
            if path.exists():
                unusable.append(error.message)
            continue
        if key.public not in {other.public for other in found}:
            found.append(key)
    if not found:
        reasons = "".join(f"; {reason}" for reason in unusable)
        raise NoLoginKey(
            f"there is no key to log in with: none configured, none in an SSH agent, none in ~/.ssh{reasons}",
            hint="Put a private key into DEPLOYER_KEY, or name its file by host.key or --key.",
        )
    return tuple(found)


def _agent_keys() -> list[LoginKey]:
    """The agent's keys. Their signatures are the agent's, so it stays connected as long as they live."""
    try:
        keys = paramiko.Agent().get_keys()
    except (paramiko.SSHException, OSError):
        return []
    return [LoginKey(key, "SSH agent") for key in keys if key.get_name().startswith(_TYPES)]


def _loaded(key: PrivateKey) -> paramiko.PKey:
    """The key in the library's form, never through a file."""
    if isinstance(key, rsa.RSAPrivateKey):
        return paramiko.RSAKey(key=key)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return paramiko.ECDSAKey(vals=(key, key.public_key()))
    text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode("ascii")
    return paramiko.Ed25519Key(file_obj=io.StringIO(text))
