"""``deployer init --strategy rebuild`` from outside: by flags and at a terminal, until the written file is taken."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.end_to_end.deployment import Deployment
from tests.end_to_end.terminal import Terminal

REQUIREMENT = "git+https://github.com/o/deployer@0123456"
WORKFLOW = ".github/workflows/deploy.yml"
REBUILD = ("--strategy=rebuild", "--path=apps/blog")
COMPOSE = "services:\n  blog: {image: main, expose: [80]}\n  db: {image: mongo, container_name: db}\n"


@pytest.fixture
def site(tmp_path: Path) -> Deployment:
    """A repository on GitHub with a Makefile and a Compose file, and no configuration."""
    need("git", "to have a repository")
    found = Deployment(tmp_path / "place")
    found.configured = False
    found.working_directory = tmp_path / "place" / "repository"
    found.working_directory.mkdir()
    for arguments in (("init", "-q", "-b", "main"), ("remote", "add", "origin", "git@github.com:owner/blog.git")):
        subprocess.run(["git", "-C", str(found.working_directory), *arguments], check=True)
    (found.working_directory / "Makefile").write_text("build:\n\ttrue\nup:\n\ttrue\n")
    (found.working_directory / "docker-compose.yml").write_text(COMPOSE)
    return found


def written(site: Deployment) -> dict[str, Any]:
    return tomllib.loads((site.working_directory / "deploy.toml").read_text("utf-8"))


def pinned(site: Deployment) -> tuple[str, ...]:
    """A server that is not asked, because its key is given."""
    key = site.directory / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return ("--host=anna@example.org", f"--host-key={key.with_suffix('.pub').read_text().strip()}")


def test_flags_make_a_file_and_a_workflow(site: Deployment) -> None:
    """The commands are the Makefile's; the workflow checks out, installs and deploys, and builds nothing itself."""
    roll = ("--roll=blog:80", "--traefik-directory=proxy/conf", "--traefik-api=http://127.0.0.1:8080")
    repository = "--repository=https://github.com/owner/blog.git"
    ran = site.command("init", *REBUILD, *pinned(site), *roll, repository, f"--deployer={REQUIREMENT}", "--json")
    assert ran.code == 0, ran.err
    assert ran.json == {"app": "blog", "generator": None, "written": ["deploy.toml", WORKFLOW], "left_alone": []}
    found = written(site)
    assert found["strategy"] == "rebuild"
    assert found["rebuild"] == {
        "path": "apps/blog",
        "repository": "https://github.com/owner/blog.git",
        "build": "make build",
        "up": "make up",
        "roll": ["blog:80"],
    }
    assert found["traefik"] == {"directory": "proxy/conf", "api": "http://127.0.0.1:8080"}
    assert "static" not in found
    workflow = (site.working_directory / WORKFLOW).read_text("utf-8")
    assert "run: deployer run" in workflow
    assert "DEPLOYER_GITHUB_TOKEN: ${{ github.token }}" in workflow
    assert "fetch-depth" not in workflow


def test_what_is_not_there_is_not_run(site: Deployment) -> None:
    """Without Makefile and Compose file both commands are none, whatever their defaults; no token is sent for nothing."""
    for name in ("Makefile", "docker-compose.yml"):
        (site.working_directory / name).unlink()
    ran = site.command("init", *REBUILD, *pinned(site), f"--deployer={REQUIREMENT}")
    assert ran.code == 0, ran.err
    assert written(site)["rebuild"] == {"path": "apps/blog", "build": "", "up": ""}
    assert "DEPLOYER_GITHUB_TOKEN" not in (site.working_directory / WORKFLOW).read_text("utf-8")


def test_what_is_missing_is_named(site: Deployment) -> None:
    """The path on the server is nobody's guess."""
    site.command("init", "--strategy=rebuild", "--host=local").failed(2, "--path")
    assert not (site.working_directory / "deploy.toml").exists()


def test_a_file_that_is_there_stays(site: Deployment) -> None:
    """Only the workflow is added to it."""
    text = 'app = "blog"\nstrategy = "rebuild"\nhost = "anna@example.org"\n[rebuild]\npath = "blog"\n'
    (site.working_directory / "deploy.toml").write_text(text)
    ran = site.command("init", f"--deployer={REQUIREMENT}")
    assert ran.code == 0, ran.err
    assert (site.working_directory / "deploy.toml").read_text() == text
    assert "needs" not in (site.working_directory / WORKFLOW).read_text("utf-8").replace("It needs one secret", "")


def test_a_person_is_asked_for_services_and_traefik(site: Deployment) -> None:
    """What the files tell is proposed; a wrong answer is asked for again; the database is not asked about."""
    command = [sys.executable, "-m", "deployer", "init", "--strategy=rebuild", "--host=local"]
    with Terminal(command, directory=site.working_directory, environment=site.environment()) as terminal:
        terminal.answer("Name of the app [blog]:", "")
        terminal.answer("Checkout on the server, from the login's home or absolute [blog]:", "apps/blog")
        terminal.answer("Repository to clone there, where there is no checkout yet (- for none)", "-")
        terminal.answer("Command that builds, on the server (- for none) [make build]:", "")
        terminal.answer("Command that brings it up, on the server (- for none) [make up]:", "")
        terminal.answer("Port of blog in its container", "http")
        terminal.expect("it must be SERVICE:PORT")
        terminal.answer("Port of blog in its container, to replace it without downtime (empty: with a gap) [80]:", "")
        terminal.answer("Directory on the server that Traefik's file provider watches (empty: none):", "proxy/conf")
        terminal.answer("URL of Traefik's API, as the server reaches it [http://127.0.0.1:8080]:", "")
        terminal.answer("URL that visitors use (empty for none):", "")
        terminal.expect("deployer run")
        assert terminal.ended() == 0, terminal.said
    found = written(site)
    assert found["rebuild"] == {"path": "apps/blog", "build": "make build", "up": "make up", "roll": ["blog:80"]}
    assert found["traefik"] == {"directory": "proxy/conf", "api": "http://127.0.0.1:8080"}


def test_the_other_strategy_is_pointed_to(site: Deployment) -> None:
    """Whoever does not know of it, and has a Makefile that brings something up, is told."""
    (site.working_directory / "public").mkdir()
    ran = site.command("init", "--host=local", "--target=/www/x", "--source=public", "--no-workflow")
    assert ran.code == 0, ran.err
    assert "deployer init --strategy rebuild" in ran.err
