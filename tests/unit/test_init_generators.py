"""What init finds out about a site by its files: the generator, what it writes and where, and what a runner needs for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer.init import toolchains
from deployer.init.generators import detect
from deployer.init.site import Site


def make(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return folder


def first(folder: Path, files: dict[str, str]) -> Site:
    return detect(make(folder, files))[0]


SCRIPT = '{"scripts": {"build": "anything"}}'
GENERATORS: list[tuple[dict[str, str], tuple[str, str, str, str]]] = [
    ({"hugo.toml": ""}, ("Hugo", "public", "hugo --minify", "")),
    ({"hugo.yaml": "baseURL: https://a.net/x\npublishDir: out # here\n"}, ("Hugo", "out", "hugo --minify", "https://a.net/x/")),
    ({"hugo.json": '{"baseURL": "https://a.net/", "publishDir": "out"}'}, ("Hugo", "out", "hugo --minify", "https://a.net/")),
    ({"hugo.json": "[broken"}, ("Hugo", "public", "hugo --minify", "")),
    ({"config.toml": "baseurl = 'https://a.net'"}, ("Hugo", "public", "hugo --minify", "https://a.net/")),
    ({"config/_default/hugo.toml": 'baseURL = "https://example.org/"'}, ("Hugo", "public", "hugo --minify", "")),
    ({"_config.yml": "url: https://a.net\nbaseurl: /b"},
     ("Jekyll", "_site", "JEKYLL_ENV=production jekyll build", "https://a.net/b/")),
    ({"_config.yml": "destination: ./dist\nurl: ''", "Gemfile": ""},
     ("Jekyll", "dist", "JEKYLL_ENV=production bundle exec jekyll build", "")),
    ({"vite.config.ts": ""}, ("Vite", "dist", "npx vite build", "")),
    ({"vite.config.js": "export default { root: 'src', build: { outDir: '../www' } }", "package.json": SCRIPT,
      "package-lock.json": ""}, ("Vite", "www", "npm run build", "")),
    ({"vite.config.mts": "// outDir: 'old'\n  outDir: process.env.OUT", "pnpm-lock.yaml": ""},
     ("Vite", "dist", "pnpm exec vite build", "")),
    ({"vite.config.js": "outDir: '../elsewhere'", "package.json": SCRIPT, "yarn.lock": ""},
     ("Vite", "", "yarn run build", "")),
    ({"mkdocs.yml": "site_url: https://a.net/docs/\nsite_dir: 'html'"}, ("MkDocs", "html", "mkdocs build", "https://a.net/docs/")),
    ({"mkdocs.yaml": "site_name: x"}, ("MkDocs", "site", "mkdocs build", "")),
    ({"astro.config.mjs": "export default defineConfig({\n  site: 'https://a.net',\n  base: '/b',\n})",
      "package.json": SCRIPT, "bun.lock": ""}, ("Astro", "dist", "bun run build", "https://a.net/b/")),
    ({"astro.config.ts": "", "vite.config.ts": ""}, ("Astro", "dist", "npx astro build", "")),
    ({"eleventy.config.js": 'return { dir: { input: "src", output: "www" } }'},
     ("Eleventy", "www", "npx @11ty/eleventy", "")),
    ({".eleventy.js": "", "pnpm-lock.yaml": ""}, ("Eleventy", "_site", "pnpm exec eleventy", "")),
    ({"Makefile": ".PHONY: build\nall: build\nbuild test: x\n\ttouch x"}, ("make", "", "make build", "")),
    ({"makefile": "build:: a", "dist/index.html": ""}, ("make", "dist", "make build", "")),
    ({"index.html": ""}, ("plain files", ".", "", "")),
    ({"public/index.html": "", "index.html": ""}, ("plain files", "public", "", "")),
    ({"site/index.html": ""}, ("plain files", "site", "", "")),
    ({"dist/index.html": ""}, ("plain files", "dist", "", "")),
]  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), GENERATORS, ids=lambda value: str(value)[:60])
def test_a_generator_is_told_by_its_files(
    tmp_path: Path, files: dict[str, str], expected: tuple[str, str, str, str]
) -> None:
    """Its name, where it writes the site, the command that builds it, and the URL that it is configured for."""
    site = first(tmp_path, files)
    assert (site.generator, site.source, site.build, site.url) == expected
    assert (tmp_path / site.evidence).is_file()


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"config.toml": 'base_url = "https://a.net"'},  # Zola's
        {"Makefile": "build := x\n# build: y\n\tbuild: z\nbuilder:\n"},
        {"README.md": "hugo.toml"},
    ],
)
def test_nothing_is_found_where_nothing_tells(tmp_path: Path, files: dict[str, str]) -> None:
    """Other tools' files, and makefiles without the target, are no sites."""
    assert detect(make(tmp_path, files)) == ()


def test_all_that_is_found_is_told_in_order(tmp_path: Path) -> None:
    """A repository may have a site, its documentation and a makefile; the site's generator comes first."""
    files = {"Makefile": "build:", "mkdocs.yml": "", "vite.config.js": "", "index.html": ""}
    assert [site.generator for site in detect(make(tmp_path, files))] == ["MkDocs", "Vite", "make"]


@pytest.mark.parametrize("name", ["hugo.toml", "Makefile", "mkdocs.yml"])
def test_files_that_cannot_be_read_are_passed_over(tmp_path: Path, name: str) -> None:
    """A directory of that name, or bytes that are no text, are no reason to fail."""
    (tmp_path / name).mkdir()
    assert detect(tmp_path) == ()
    (tmp_path / name).rmdir()
    (tmp_path / name).write_bytes(b"\xff\xfe\x00build:\n")
    detect(tmp_path)


@pytest.mark.parametrize(
    "base",
    [
        "http://localhost:1313/",
        "https://www.example.com",
        "https://user:password@a.net/",
        "/",
        "ftp://a.net",
        "https://[x",
    ],
)
def test_a_url_that_is_no_place_for_visitors_is_not_proposed(tmp_path: Path, base: str) -> None:
    """Placeholders, other schemes, passwords and broken ones."""
    assert first(tmp_path, {"hugo.toml": f'baseURL = "{base}"'}).url == ""


PACKAGES = [
    ({"package-lock.json": ""}, ["npm ci"]),
    ({}, ["npm install"]),
    ({"pnpm-lock.yaml": ""}, ["npm install --global --force corepack && corepack enable", "pnpm install --frozen-lockfile"]),
    ({"yarn.lock": ""}, ["npm install --global --force corepack && corepack enable", "yarn install --frozen-lockfile"]),
    ({"yarn.lock": "", ".yarnrc.yml": ""},
     ["npm install --global --force corepack && corepack enable", "yarn install --immutable"]),
    ({"bun.lockb": ""}, ["npm install --global bun", "bun install --frozen-lockfile"]),
]  # fmt: skip


@pytest.mark.parametrize(("locks", "commands"), PACKAGES)
def test_packages_are_installed_as_the_lock_file_says(
    tmp_path: Path, locks: dict[str, str], commands: list[str]
) -> None:
    """Each package manager is got and installs exactly what is locked."""
    setup = first(tmp_path, {"vite.config.js": "", **locks}).setup
    assert (setup[0].uses, dict(setup[0].inputs)) == ("actions/setup-node@v6", {"node-version": "lts/*"})
    assert [step.run for step in setup[1:]] == commands


def test_versions_that_the_repository_names_are_used(tmp_path: Path) -> None:
    """Of Node.js by .nvmrc, whose path starts at the repository's top, and of Ruby by .ruby-version."""
    folder = make(
        tmp_path, {".nvmrc": "22", ".ruby-version": "3.3", "vite.config.js": "", "_config.yml": "", "Gemfile": ""}
    )
    jekyll, vite = detect(folder, "web/")
    assert dict(vite.setup[0].inputs) == {"node-version-file": "web/.nvmrc"}
    assert dict(jekyll.setup[0].inputs) == {"bundler-cache": True, "working-directory": "web"}


def test_mkdocs_gets_what_its_requirements_name(tmp_path: Path) -> None:
    """And MkDocs with its commonest theme where there are none."""
    assert first(tmp_path, {"mkdocs.yml": ""}).setup[1].run == "pip install mkdocs mkdocs-material"
    assert (
        first(tmp_path, {"docs/requirements.txt": ""}).setup[1].run == "pip install --requirement docs/requirements.txt"
    )


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("hugo v0.140.1-abc+extended linux/amd64", "0.140.1"),
        ("hugo v0.101.0 linux", "0.152.2"),
        ("nonsense", "0.152.2"),
        (None, "0.152.2"),
    ],
)
def test_hugo_is_installed_in_the_version_that_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, version: str
) -> None:
    """The runner builds with what the author sees; a known one where none is here, or one too old to be found."""
    if said:
        program = tmp_path / "bin" / "hugo"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\necho '{said}'\n", "utf-8")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/nowhere")
    (step,) = toolchains.hugo(tmp_path, "")
    assert step.variables == {"HUGO_VERSION": version}
