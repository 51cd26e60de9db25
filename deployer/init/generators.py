"""Which generator makes the site in a folder: found by its configuration file, with its own defaults and settings."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deployer.init import toolchains
from deployer.init.makefile import find_makefile, has_target, read_text
from deployer.init.packages import build_command
from deployer.init.site import Site, Step

__all__ = ["detect"]

_BUILT = ("public", "site", "dist", "_site", "build", "output", "html", "docs/_build/html")
_SCRIPTS = "js mjs cjs ts mts cts".split()
_PLACEHOLDERS = ("localhost", "127.0.0.1", "example.com", "example.org", "example.net")


@dataclass(frozen=True, slots=True)
class _Generator:
    """``files`` are patterns of its configuration; ``must_say`` is a setting that tells it from another tool's.

    ``output``, ``root``, ``url`` and ``path`` name the settings that say where the site is written and where it is served.
    """

    name: str
    files: tuple[str, ...]
    default_output: str
    build: Callable[[Path], str]
    setup: Callable[[Path, str], tuple[Step, ...]]
    must_say: str = ""
    output: str = ""
    root: str = ""
    url: str = ""
    path: str = ""
    history: bool = False


def _either(stem: str, endings: list[str]) -> tuple[str, ...]:
    return tuple(f"{stem}.{ending}" for ending in endings)


def _constant(command: str) -> Callable[[Path], str]:
    return lambda _folder: command


def _script(program: str, arguments: str = "", *, package: str = "") -> Callable[[Path], str]:
    return lambda folder: build_command(folder, program, arguments, package=package)


_DATA = ["toml", "yaml", "yml", "json"]
_HUGO = _Generator(
    "Hugo",
    _either("hugo", _DATA) + _either("config/_default/hugo", _DATA),
    "public",
    _constant("hugo --minify"),
    toolchains.hugo,
    output="publishDir",
    url="baseURL",
    history=True,  # for the dates that it takes from Git
)
# Other tools have a config.toml, too.
_OLD_HUGO_FILES = _either("config", _DATA) + _either("config/_default/config", _DATA)
# Where several are there, the earlier builds the site: the later are used by it, or for a part of the repository.
_GENERATORS = (
    _HUGO,
    _Generator("Hugo", _OLD_HUGO_FILES, "public", _HUGO.build, _HUGO.setup,
               must_say="baseURL", output="publishDir", url="baseURL", history=True),
    _Generator("Jekyll", ("_config.yml", "_config.yaml", "_config.toml"), "_site", toolchains.jekyll_build,
               toolchains.ruby, output="destination", url="url", path="baseurl"),
    _Generator("MkDocs", ("mkdocs.yml", "mkdocs.yaml"), "site", _constant("mkdocs build"), toolchains.mkdocs,
               output="site_dir", url="site_url"),
    _Generator("Astro", _either("astro.config", _SCRIPTS), "dist", _script("astro", "build"), toolchains.node,
               output="outDir", url="site", path="base"),
    _Generator("Eleventy", (".eleventy.js", *_either("eleventy.config", _SCRIPTS)), "_site",
               _script("eleventy", package="@11ty/eleventy"), toolchains.node, output="output"),
    _Generator("Vite", _either("vite.config", _SCRIPTS), "dist", _script("vite", "build"), toolchains.node,
               output="outDir", root="root"),
)  # fmt: skip


def detect(folder: Path, prefix: str = "") -> tuple[Site, ...]:
    """Everything that could be what makes the site in ``folder``, the likeliest first; empty when nothing tells.

    ``prefix`` is the folder's path in its repository, empty or with a slash behind.
    """
    found: dict[str, Site] = {}
    for generator in _GENERATORS:
        site = _of_generator(generator, folder, prefix)
        if site:
            found.setdefault(site.generator, site)
    return (*found.values(), *_of_makefile(folder), *(() if found else _of_plain_files(folder)))


def _of_generator(generator: _Generator, folder: Path, prefix: str) -> Site | None:
    for name in generator.files:
        text = read_text(folder / name)
        text = _as_lines(text) if text and name.endswith(".json") else text
        if text is None or (generator.must_say and not _has_setting(text, generator.must_say)):
            continue
        quoted = name.rpartition(".")[2] in _SCRIPTS
        return Site(
            generator.name,
            name,
            source=_output(generator, text, quoted=quoted),
            build=generator.build(folder),
            url=_url(generator, text, quoted=quoted),
            setup=generator.setup(folder, prefix),
            history=generator.history,
        )
    return None


def _of_makefile(folder: Path) -> tuple[Site, ...]:
    name, text = find_makefile(folder)
    if not has_target(text, "build"):
        return ()
    source = next((built for built in _BUILT if (folder / built / "index.html").is_file()), "")
    return (Site("make", name, source=source, build="make build"),)


def _of_plain_files(folder: Path) -> tuple[Site, ...]:
    for name in (*_BUILT, "."):
        index = posixpath.normpath(f"{name}/index.html")
        if (folder / index).is_file():
            return (Site("plain files", index, source=name),)
    return ()


def _as_lines(text: str) -> str:
    """JSON's own settings, one a line."""
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    found = settings.items() if isinstance(settings, dict) else ()
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in found if isinstance(value, str))


def _output(generator: _Generator, text: str, *, quoted: bool) -> str:
    """The directory that the site is written to, relative to the folder; the empty text when it lies outside."""
    root = _setting(text, generator.root, quoted=quoted) or "."
    given = _setting(text, generator.output, quoted=quoted) or generator.default_output
    path = posixpath.normpath(posixpath.join(root, given))
    return "" if path.startswith(("/", "..")) or path == "." else path


def _url(generator: _Generator, text: str, *, quoted: bool) -> str:
    base, path = (_setting(text, name, quoted=quoted) for name in (generator.url, generator.path))
    try:
        parts = urlsplit(base)
    except ValueError:
        return ""
    named = parts.scheme in {"http", "https"} and parts.hostname and not parts.hostname.endswith(_PLACEHOLDERS)
    if not named or parts.query or parts.fragment or "@" in parts.netloc:
        return ""
    return "/".join(part for part in (base.rstrip("/"), path.strip("/")) if part) + "/"


def _setting(text: str, name: str, *, quoted: bool) -> str:
    """The value that a configuration gives ``name`` in any of TOML, YAML, JSON and JavaScript; empty when none is found.

    Good enough for a proposal, which people see before it is used. Programs' values count only as ``quoted`` texts.
    """
    if not name:
        return ""
    bare = "" if quoted else r"|([A-Za-z0-9_.~/][A-Za-z0-9_.~:/%-]*)[^\S\n]*(?:#.*)?"
    value = rf"""(?:"([^"\n]*)"|'([^'\n]*)'{bare})"""
    ending = "" if quoted else r"[^\S\n]*(?:[,}#].*)?$"
    before = r"(?:[^\n#/]*[\s{,])?" if quoted else r"[^\S\n]*[{]?[^\S\n]*"
    match = re.search(
        rf"^{before}[\"']?{name}[\"']?[^\S\n]*[:=][^\S\n]*{value}{ending}", text, re.MULTILINE | re.IGNORECASE
    )
    return next((group for group in match.groups() if group), "") if match else ""


def _has_setting(text: str, name: str) -> bool:
    return re.search(rf"^[\s{{]*[\"']?{name}[\"']?\s*[:=]", text, re.MULTILINE | re.IGNORECASE) is not None
