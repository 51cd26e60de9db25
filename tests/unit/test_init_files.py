"""What init writes: whole files that never replace any, a deploy.toml that loads, and a workflow that GitHub takes."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deployer.config import Config, load
from deployer.config.keys import KEYS, is_of
from deployer.init import document, workflow
from deployer.init.files import write_new
from deployer.init.generators import detect
from deployer.init.workflow import Workflow
from tests.conftest import need

VALUES = {("app",): "blog", ("static", "source"): "public", ("static", "target"): "/www/blog"}
HOST = {"address": "example.org", "user": "deploy"}
GENERATOR_FILES = [
    "hugo.toml",
    "_config.yml",
    "mkdocs.yml",
    "astro.config.mjs",
    ".eleventy.js",
    "vite.config.ts",
    "index.html",
]


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def read(folder: Path, text: str) -> Config:
    (folder / "deploy.toml").write_text(text, "utf-8")
    return load(folder / "deploy.toml", flags={}, variables={}, directory=folder)


# --- writing -----------------------------------------------------------------------------------------------------------


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    """With the folders above it, readable as any new file, and nothing else stays behind."""
    file = tmp_path / ".github" / "workflows" / "deploy.yml"
    assert write_new(file, "ä\n")
    assert file.read_bytes() == "ä\n".encode()
    assert names(file.parent) == ["deploy.yml"]
    plain = tmp_path / "plain"
    plain.touch()
    assert file.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("taken", ["file", "directory", "link", "dangling link"])
def test_nothing_is_ever_replaced(tmp_path: Path, taken: str) -> None:
    """Whatever has the name keeps it, and a link is not followed."""
    file = tmp_path / "deploy.toml"
    if taken == "file":
        file.write_text("mine", "utf-8")
    elif taken == "directory":
        file.mkdir()
    else:
        file.symlink_to(tmp_path if taken == "link" else tmp_path / "elsewhere")
    before = file.lstat()
    assert not write_new(file, "new")
    assert file.lstat() == before
    assert names(tmp_path) == ["deploy.toml"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_comes_into_being_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Also where the file system has no hard links, and the name is taken at the last moment."""
    file = tmp_path / "deploy.toml"
    link = os.link

    def late(source: Path, target: Path, *, follow_symlinks: bool) -> None:
        target.write_text("mine", "utf-8")
        if not links:
            raise OSError(errno.EPERM, "no links here")
        link(source, target, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "link", late)
    assert not write_new(file, "new")
    assert (file.read_text("utf-8"), names(tmp_path)) == ("mine", ["deploy.toml"])


def test_a_file_system_without_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is written all the same."""

    def refuse(*_arguments: object, **_more: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert write_new(tmp_path / "deploy.toml", "new")
    assert names(tmp_path) == ["deploy.toml"]
    assert (tmp_path / "deploy.toml").read_text("utf-8") == "new"


# --- deploy.toml -------------------------------------------------------------------------------------------------------


def test_the_file_loads_as_what_was_given(tmp_path: Path) -> None:
    """Values of every type and with every sign that TOML treats apart; what is not set is the default."""
    odd = 'a "quoted" \\ path # é \t\x7f\n'
    values = {**VALUES, ("static", "build"): odd, ("static", "keep"): 7, ("static", "exclude"): [".git*", "'"],
              ("health", "timeout"): 2.5, ("static", "retain_assets", "patterns"): ["assets/*"]}  # fmt: skip
    config = read(tmp_path, document.render(values, [{**HOST, "port": 2222, "host_key": "ssh-ed25519 AAAA"}]))
    assert (config.static.build, config.static.keep, config.static.exclude) == (odd, 7, (".git*", "'"))
    assert (config.health.timeout, config.static.retain_assets.patterns) == (2.5, ("assets/*",))
    assert (config.hosts[0].address, config.hosts[0].port, config.hosts[0].host_key) == (
        "example.org",
        2222,
        ("ssh-ed25519 AAAA",),
    )
    assert (config.lock_wait, config.static.source) == (60, str(tmp_path / "public"))


def test_several_hosts_are_a_table_each(tmp_path: Path) -> None:
    """In their order."""
    hosts = [{**HOST, "address": name} for name in ("one.example.org", "two.example.org")]
    assert [host.address for host in read(tmp_path, document.render(VALUES, hosts)).hosts] == [
        "one.example.org",
        "two.example.org",
    ]


def test_only_what_was_given_is_set(tmp_path: Path) -> None:
    """Everything else is a comment."""
    data = tomllib.loads(document.render(VALUES, [HOST]))
    assert {name: table for name, table in data.items() if table} == {
        "app": "blog", "host": HOST, "static": {"source": "public", "target": "/www/blog", "retain_assets": {}},
    }  # fmt: skip


def test_every_key_can_be_switched_on(tmp_path: Path) -> None:
    """Each key that the strategy reads is there, and the file loads with the sign before all of them deleted."""
    text = document.render(VALUES, [HOST])
    switched = re.sub("^#(?! )", "", text, flags=re.MULTILINE)
    read(tmp_path, switched)
    data = tomllib.loads(switched)
    for path in (path for path in KEYS if is_of("static", path)):
        table: Any = data
        for name in path:
            table = table[name]
    config = load(tmp_path / "deploy.toml", environment="staging", flags={}, variables={}, directory=tmp_path)
    assert config.static.target == "/www/blog-staging"


# --- the workflow ------------------------------------------------------------------------------------------------------


def beside(program: str) -> str:
    """A linter of workflows, which pip installs beside the interpreter."""
    found = shutil.which(program, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    need(program, "to check workflows", present=bool(found))
    return str(found)


COMMIT = "0123456789" * 4
ACTION = f"git+https://github.com/o/deployer.git@{COMMIT}"


def workflows(folder: Path) -> Mapping[str, str]:
    """A workflow of every kind of site, and one of a site in a folder of its own, by name."""
    made = {}
    for name in GENERATOR_FILES:
        site_folder = folder / "site" / name.replace(".", "")
        site_folder.mkdir(parents=True)
        (site_folder / name).touch()
        site = detect(site_folder)[0]
        made[site.generator] = Workflow("blog", "main", "git+https://github.com/o/deployer@abc", setup=site.setup)
    odd = 'release/"c++"'
    made["odd"] = Workflow(
        "blog", odd, "deployer==1", folder="a 'b", file="o t.toml", submodules=True, history=True, lacks_setup=True
    )
    made["action"] = Workflow("blog", "main", ACTION, folder="a b", lends_token=True)
    return {name: workflow.render(each) for name, each in made.items()}


def test_github_takes_every_workflow(tmp_path: Path) -> None:
    """By GitHub's own schema."""
    check = beside("check-jsonschema")
    files = []
    for name, text in workflows(tmp_path).items():
        files.append(tmp_path / f"{name}.yml")
        files[-1].write_text(text, "utf-8")
    command = [check, "--builtin-schema", "vendor.github-workflows", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_workflow_is_careless(tmp_path: Path) -> None:
    """No injection, no left credentials, no wide permissions.

    Actions are named by tag, as their own documents do, and a site without lock file has packages without.
    """
    zizmor = beside("zizmor")
    files = []
    for name, text in workflows(tmp_path).items():
        files.append(tmp_path / f"{name}.yml")
        files[-1].write_text(text, "utf-8")
    rules = tmp_path / "zizmor.yml"
    pins = '{config: {policies: {"*": ref-pin}}}'
    rules.write_text(f"rules: {{unpinned-uses: {pins}, adhoc-packages: {{disable: true}}}}", "utf-8")
    command = [zizmor, "--offline", "--no-progress", "--quiet", "--config", str(rules), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_key_is_seen_by_one_step_only(tmp_path: Path) -> None:
    """Nothing that builds or installs has the secret in its environment."""
    for text in workflows(tmp_path).values():
        before, _, after = text.partition("- name: Deploy\n")
        assert "secrets." not in before.partition("jobs:")[2]
        assert after.count("${{ secrets.SERVER_KEY }}") == 1
        assert "permissions:\n  contents: read\n" in before


def test_a_branchs_name_is_no_pattern(tmp_path: Path) -> None:
    """And a site that is not at the repository's top is deployed from its folder."""
    text = workflows(tmp_path)["odd"]
    assert "    branches: [" + json.dumps(r'release/"c\+\+"') + "]\n" in text
    assert 'working-directory: "a \'b"' in text
    assert 'DEPLOYER_CONFIG: "o t.toml"' in text
    assert "submodules:" in text
    assert "fetch-depth: 0" in text
    assert "# What the build needs" in text


def test_a_commit_on_github_is_used_as_an_action(tmp_path: Path) -> None:
    """Pinned by its whole commit; the file is named, because the job's folder is not the action's."""
    text = workflows(tmp_path)["action"]
    assert f"uses: o/deployer@{COMMIT}\n" in text
    assert 'config: "a b/deploy.toml"\n' in text
    assert "github-token: ${{ github.token }}\n" in text
    assert "  deployments: write" in text
    assert "pipx" not in text
