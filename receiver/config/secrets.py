"""The secrets that receiver.toml names, read once at the start and at each reload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deployer.secret import Secret
from receiver.config.model import App, ReceiverConfig, SecretSource
from receiver.errors import InvalidConfig

__all__ = ["SecretBox", "Secrets", "read_secrets"]


class SecretBox:
    """Encrypts secrets for receiver.toml and decrypts them: Fernet tokens (AES-128-CBC with HMAC-SHA256).

    ``keys`` are Fernet keys, newest first: each decrypts, the first encrypts.
    """

    def __init__(self, keys: tuple[Secret, ...]) -> None:
        self._keys = keys

    def encrypt(self, secret: Secret) -> str:
        """The text for ``{ encrypted = "…" }``. Raises InvalidConfig without a usable key."""
        from cryptography.fernet import Fernet

        if not self._keys:
            raise InvalidConfig("there is no secrets_key to encrypt with", hint="make one: receiver secret new --key")
        return Fernet(_usable(self._keys[0])).encrypt(secret.reveal().encode()).decode()

    def decrypt(self, token: str, place: str) -> Secret:
        """The secret of ``place``. Raises InvalidConfig."""
        from cryptography.fernet import Fernet, InvalidToken, MultiFernet

        if not self._keys:
            raise InvalidConfig(f"{place} is encrypted, and there is no secrets_key")
        try:
            return Secret(MultiFernet([Fernet(_usable(key)) for key in self._keys]).decrypt(token.encode()).decode())
        except InvalidToken:
            raise InvalidConfig(f"{place} cannot be decrypted with any of the keys in secrets_key") from None


def _usable(key: Secret) -> bytes:
    from cryptography.fernet import Fernet

    text = key.reveal().encode()
    try:
        Fernet(text)
    except ValueError:
        raise InvalidConfig("secrets_key holds a line that is no key", hint="receiver secret new --key") from None
    return text


@dataclass(frozen=True, slots=True)
class Secrets:
    """Every secret of one configuration. ``webhook`` has each app's, newest first; ``variables`` its environment."""

    webhook: Mapping[str, tuple[Secret, ...]]
    variables: Mapping[str, Mapping[str, Secret]]
    deploy_keys: Mapping[str, Secret]
    box: SecretBox
    password_hash: Secret
    oauth_secret: Secret
    github_key: Secret
    github_token: Secret

    def all(self) -> Iterator[Secret]:
        """Each of them, for what must not be said in any log."""
        for secrets in self.webhook.values():
            yield from secrets
        yield from self.deploy_keys.values()
        yield from (self.password_hash, self.oauth_secret, self.github_key, self.github_token)


def read_secrets(config: ReceiverConfig, variables: Mapping[str, str]) -> Secrets:
    """Read what ``config`` names; ``variables`` is the environment. Raises InvalidConfig: no secret is optional."""
    keys = _read(config.secrets_key, "secrets_key", variables, SecretBox(()))
    box = SecretBox(tuple(Secret(line.strip()) for line in keys.reveal().splitlines() if line.strip()))

    def read(source: SecretSource | None, place: str) -> Secret:
        return _read(source, place, variables, box)

    login = config.login
    return Secrets(
        webhook={
            name: tuple(read(source, f"apps.{name}.secrets[{at}]") for at, source in enumerate(app.secrets))
            for name, app in config.apps.items()
        },
        variables={name: _variables(name, app, variables, box) for name, app in config.apps.items()},
        deploy_keys={
            name: read(app.deploy_key, f"apps.{name}.deploy_key") for name, app in config.apps.items() if app.deploy_key
        },
        box=box,
        password_hash=read(login.password_hash if login else None, "login.password_hash"),
        oauth_secret=read(login.github.client_secret if login and login.github else None, "login.github.client_secret"),
        github_key=read(config.github.private_key, "github.private_key"),
        github_token=read(config.github.token, "github.token"),
    )


def _variables(name: str, app: App, variables: Mapping[str, str], box: SecretBox) -> dict[str, Secret]:
    return {
        key: Secret(value) if isinstance(value, str) else _read(value, f"apps.{name}.variables.{key}", variables, box)
        for key, value in app.variables.items()
    }


def _read(source: SecretSource | None, place: str, variables: Mapping[str, str], box: SecretBox) -> Secret:
    if source is None:
        return Secret("")
    secret = _fetch(source, place, variables, box)
    if not secret:
        raise InvalidConfig(f"{place} is empty")
    return secret


def _fetch(source: SecretSource, place: str, variables: Mapping[str, str], box: SecretBox) -> Secret:
    if source.env:
        if source.env not in variables:
            raise InvalidConfig(f"{place}: the environment has no variable {source.env}")
        return Secret(variables[source.env].rstrip("\r\n"))
    if source.encrypted:
        return box.decrypt(source.encrypted, place)
    try:
        return Secret(Path(source.file).read_text("utf-8").rstrip("\r\n"))
    except OSError as error:
        raise InvalidConfig(f"{place}: {source.file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidConfig(f"{place}: {source.file} is not UTF-8 text") from None
