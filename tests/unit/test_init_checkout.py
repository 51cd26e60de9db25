"""What ``init`` reads out of a repository that a server builds."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer.init.checkout import Buildable, Rollable, find_buildable

BLOG = """
services:
  blog:
    image: main:latest
    expose: [8080]
  page:
    build: .
    labels: ["traefik.http.services.page.loadbalancer.server.port=3000"]
  plain: {image: plain}
  bot: {image: bot, container_name: the-bot}
  open: {image: open, ports: ["80:80"]}
  db: {image: docker.io/library/mongo:6}
"""


def repository(folder: Path, **files: str) -> Buildable:
    """What is found in a folder with these files; ``__`` in a name is a slash, ``_`` a dot."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return find_buildable(folder)


def test_an_empty_folder_tells_nothing(tmp_path: Path) -> None:
    """Then all commands have to be given."""
    assert repository(tmp_path) == Buildable()


def test_a_makefile_builds_and_brings_up(tmp_path: Path) -> None:
    """Its targets come before what the Compose file could do."""
    found = repository(tmp_path, Makefile="VERSION := 1\nbuild up: x\n\ttrue\n", compose_yml=BLOG)
    assert (found.build, found.up) == ("make build", "make up")
    assert found.evidence == ("Makefile", "compose.yml")


def test_compose_alone_does_both(tmp_path: Path) -> None:
    """With the file's name where Compose would not find it by itself."""
    found = repository(tmp_path, docker__compose_yaml=BLOG)
    assert found.build == "docker compose -f docker/compose.yaml build"
    assert found.up == "docker compose -f docker/compose.yaml up -d"
    assert found.compose_file == ""


def test_nothing_is_built_without_a_build_section(tmp_path: Path) -> None:
    """All its images are somebody else's."""
    assert repository(tmp_path, compose_yml="services: {web: {image: nginx}}").build == ""


def test_of_several_files_one_is_named(tmp_path: Path) -> None:
    """The host would not know which is meant; the one at the top wins by itself."""
    assert repository(tmp_path, docker__compose_yml=BLOG, deploy__compose_yml=BLOG).compose_file == "docker/compose.yml"
    assert repository(tmp_path, compose_yml=BLOG).compose_file == ""


def test_services_that_could_roll(tmp_path: Path) -> None:
    """Without a name or port of their own, and no database; with the port where a label or `expose` tells it."""
    found = repository(tmp_path, compose_yml=BLOG).rollable
    assert found == (Rollable("blog", "8080"), Rollable("page", "3000"), Rollable("plain"))


@pytest.mark.parametrize("text", ["services: [", "services: {a: 1, b: [x]}", "- x", "services:\n", "\0", "{{ x }}: {"])
def test_what_is_no_compose_file_has_no_services(text: str, tmp_path: Path) -> None:
    """The server will say what is wrong with it."""
    assert repository(tmp_path, compose_yml=text).rollable == ()
