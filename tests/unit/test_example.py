"""examples/blog-site agrees with the product and with itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployer.config import Config, load

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "blog-site"


def _config(folder: str) -> Config:
    """The example's configuration, with a key in the place that it leaves for one."""
    return load(EXAMPLE / folder / "deploy.toml", flags={"host_key": [KEY]}, variables={}, directory=EXAMPLE)


def _yaml(name: str) -> Any:
    return yaml.safe_load((EXAMPLE / name).read_text("utf-8"))


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"


@pytest.mark.parametrize(("folder", "strategy"), [("site", "static"), ("blog", "rebuild")])
def test_both_configurations_are_taken(folder: str, strategy: str) -> None:
    """Both deploy.toml are valid as they are, once the host's key is filled in."""
    assert _config(folder).strategy == strategy


def test_rolled_service_can_roll() -> None:
    """The blog's service has nothing that keeps two containers from running side by side."""
    services = _yaml("blog/docker-compose.yml")["services"]
    for rolled in _config("blog").rebuild.services:
        assert {"ports", "container_name"} & services[rolled.name].keys() == set()


def test_target_is_below_what_the_containers_mount() -> None:
    """nginx mounts the parent of the static target, and serves the target's name in it."""
    target = Path(_config("site").static.target)
    (mount,) = [each for each in _yaml("www/docker-compose.yml")["services"]["www"]["volumes"] if "html" in each]
    assert mount.startswith(f"${{WWW:-{target.parent}}}:/usr/share/nginx/html")
    assert f"root /usr/share/nginx/html/{target.name};" in (EXAMPLE / "www/conf.d/default.conf").read_text("utf-8")


def test_proxy_knows_every_service() -> None:
    """Each Traefik service is a Compose service on the shared network, and each router has one."""
    routers = _yaml("traefik/conf/routers.yml")["http"]
    composed = {name for folder in ("blog", "www") for name in _yaml(f"{folder}/docker-compose.yml")["services"]}
    urls = [server["url"] for each in routers["services"].values() for server in each["loadBalancer"]["servers"]]
    assert {url.removeprefix("http://") for url in urls} == composed
    assert {router["service"] for router in routers["routers"].values()} == routers["services"].keys()


def test_readme_names_every_folder() -> None:
    """The README's table has each folder of the example."""
    named = set(re.findall(r"^\| `(\w+)/` \|", (EXAMPLE / "README.md").read_text("utf-8"), re.MULTILINE))
    assert named == {path.name for path in EXAMPLE.iterdir() if path.is_dir()}
