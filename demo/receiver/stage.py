"""What the receiver's demo plays on: repositories, secrets, receiver.toml and each app's deploy.toml."""

from __future__ import annotations

import secrets
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.git import git
from demo.receiver.process import free_port
from demo.receiver.repositories import Author
from demo.site import front_page_says
from receiver.secrets import hash_password, new_webhook_secret

__all__ = ["RECEIVER_TOML", "Stage", "set_up"]

RECEIVER_TOML = """\
state_dir = "state"
bind = "127.0.0.1:{port}"
public_url = "http://127.0.0.1:{port}"
stop_timeout = 5

[login]
password_hash = {{ file = "secrets/password-hash" }}

[apps.site]
repository = "demo/site"
config = "site.toml"
secrets = [{{ file = "secrets/site" }}]
clone_url = "{folder}/site.git"         # GitHub's part

[apps.service]
repository = "demo/service"
config = "service.toml"
secrets = [{{ file = "secrets/service" }}]
clone_url = "{folder}/service.git"
"""
SITE_TOML = """\
app = "site"
url = "http://127.0.0.1:{web_port}/site/"
host = "local"

[static]
build = "make build"
source = "public"
target = "{folder}/www/site"
"""
SERVICE_TOML = """\
app = "service"
strategy = "rebuild"
url = "http://127.0.0.1:{web_port}/service/"
host = "local"

[rebuild]
path = "{folder}/server/service"
build = "make build"
up = "make up"
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """``secrets`` are the webhooks', by app."""

    folder: Path
    port: int
    web_port: int
    environment: Mapping[str, str]
    secrets: Mapping[str, str]
    password: str
    site: Author
    service: Author

    @property
    def url(self) -> str:
        """The receiver's page."""
        return f"http://127.0.0.1:{self.port}/"

    def clone_service(self) -> None:
        """As a person does once on the server: the checkout, and a file there that is nobody else's."""
        git(self.folder, "clone", "--quiet", str(self.service.origin), str(self.folder / "server" / "service"))
        (self.folder / "server" / "service" / ".env").write_text(f"WWW={self.folder / 'www' / 'service'}\n", "utf-8")

    def heading(self, app: str) -> str:
        """What visitors read on an app's front page. Raises OSError."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.web_port}/{app}/", timeout=5) as answer:
            return front_page_says(answer.read().decode("utf-8"))


def set_up(folder: Path, web_port: int, environment: Mapping[str, str]) -> Stage:
    """Write everything that a person sets up once."""
    stage = Stage(
        folder=folder,
        port=free_port(),
        web_port=web_port,
        environment=environment,
        secrets={app: new_webhook_secret().reveal() for app in ("site", "service")},
        password=secrets.token_urlsafe(9),
        site=Author(folder / "author" / "site", folder / "site.git"),
        service=Author(folder / "author" / "service", folder / "service.git"),
    )
    kept = folder / "secrets"
    kept.mkdir(mode=0o700)
    for name, text in {**stage.secrets, "password-hash": hash_password(stage.password)}.items():
        (kept / name).touch(mode=0o600)
        (kept / name).write_text(f"{text}\n", "utf-8")
    values = {"folder": str(folder), "port": stage.port, "web_port": web_port}
    for name, template in (("receiver", RECEIVER_TOML), ("site", SITE_TOML), ("service", SERVICE_TOML)):
        (folder / f"{name}.toml").write_text(template.format(**values), "utf-8")
    return stage
