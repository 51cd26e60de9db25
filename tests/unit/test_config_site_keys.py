"""The keys for what a site keeps, how it is built and what runs afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.config import RetainAssets, checks
from tests.unit.test_config import MINIMAL, load_text, refuse


def test_nothing_is_shared_kept_or_run_by_default(tmp_path: Path) -> None:
    """Each of these features has to be asked for."""
    config = load_text(tmp_path, MINIMAL)
    assert (config.static.shared, config.static.retain_assets) == ((), RetainAssets(patterns=(), days=7))
    assert (config.static.build_image, config.hooks.after, config.hosts[0].jump) == ("", "", ())


def test_the_keys_come_by_file_variable_and_flag(tmp_path: Path) -> None:
    """Lists have an entry a line in variables and repeat as flags."""
    text = MINIMAL + 'shared = ["up/loads/", "data"]\nretain_assets = { patterns = ["assets/*"], days = 3 }\n'
    text += '[hooks]\nafter = "make purge"\n'
    config = load_text(tmp_path, text)
    assert config.static.shared == ("up/loads", "data")
    assert config.static.retain_assets == RetainAssets(patterns=("assets/*",), days=3)
    assert config.hooks.after == "make purge"
    variables = {"DEPLOYER_SHARED": "a b\nc", "DEPLOYER_RETAIN_ASSETS": "*.js\n*.css", "DEPLOYER_RETAIN_DAYS": "30"}
    config = load_text(tmp_path, text, variables=variables, flags={"hooks.after": "", "static.shared": ("x",)})
    assert (config.static.shared, config.hooks.after) == (("x",), "")
    assert config.static.retain_assets == RetainAssets(patterns=("*.js", "*.css"), days=30)


def test_an_environment_overlays_them_key_by_key(tmp_path: Path) -> None:
    """In the table inside the table, too."""
    text = MINIMAL + 'retain_assets = { patterns = ["a/*"], days = 3 }\n'
    text += "[environments.staging.static.retain_assets]\ndays = 1\n"
    config = load_text(tmp_path, text, environment="staging")
    assert config.static.retain_assets == RetainAssets(patterns=("a/*",), days=1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("shared = 'a'", "static.shared must be a list of texts, but is 'a'"),
        (
            "shared = ['']",
            "static.shared must be a path inside the site, such as uploads, relative to its root, but is ''",
        ),
        ("shared = ['/a']", "static.shared must be a path inside the site, such as uploads, relative to its root"),
        (
            "shared = ['a/../b']",
            "static.shared must be a path inside the site, such as uploads, without empty, '.' and",
        ),
        ("shared = ['.']", "static.shared must be a path inside the site, such as uploads, without empty, '.' and"),
        ("shared = ['a//b']", "static.shared must be a path inside the site, such as uploads, without empty, '.' and"),
        ('shared = ["a\\nb"]', "static.shared must be a path inside the site, such as uploads, without control"),
        (
            "shared = ['a/b', 'a b', 'a/']",
            "static.shared must be a list of paths of which none is in another ('a/b' lies in 'a'), but is",
        ),
        (
            "shared = ['a', 'a/']",
            "static.shared must be a list of paths of which none is in another ('a' is there twice), but is",
        ),
        ("retain_assets = ['a']", "static.retain_assets must be a table, such as [static.retain_assets]"),
        ("retain_assets.days = 0", "static.retain_assets.days must be a whole number from 1 to 3650, but is 0"),
        (
            "retain_assets.patterns = ['../a']",
            "static.retain_assets.patterns must be a pattern of paths inside the site",
        ),
        (
            "retain_assets = { pattern = ['a'] }",
            "static.retain_assets.pattern is not a known key; did you mean static.retain_assets.patterns?",
        ),
        ("days = 3", "static.days is not a known key; did you mean static.retain_assets.days?"),
        ("retain_asset = {}", "static.retain_asset is not a known key; did you mean static.retain_assets?"),
        ("after = 'make'", "static.after is not a known key; did you mean hooks.after?"),
        ("build_imgae = 'a'", "static.build_imgae is not a known key; did you mean static.build_image?"),
        (
            "build_image = '--privileged'",
            "static.build_image must be a container image such as node:22-alpine, without",
        ),
    ],
)
def test_bad_values_are_refused(tmp_path: Path, line: str, message: str) -> None:
    """Each names its line, what was expected and the nearest key."""
    assert refuse(tmp_path, MINIMAL + line + "\n").message.startswith(f"deploy.toml:12: {message}")


def test_unknown_hooks_and_wrong_flags_are_named(tmp_path: Path) -> None:
    """As for all other keys."""
    assert refuse(tmp_path, MINIMAL + "[hook]\n").message == (
        "deploy.toml:12: hook is not a known key; did you mean hooks?"
    )
    error = refuse(tmp_path, MINIMAL + "[hooks]\nbefore = ''\n")
    assert (error.message, error.hint) == ("deploy.toml:13: hooks.before is not a known key", "known here: after")
    assert refuse(tmp_path, MINIMAL, flags={"static.shared": ("a", "a/b")}).message.startswith(
        "--shared must be a list"
    )
    assert refuse(tmp_path, MINIMAL, variables={"DEPLOYER_RETAIN_DAYS": "1.5"}).message.startswith(
        "DEPLOYER_RETAIN_DAYS must be a whole number from 1 to 3650"
    )


def test_an_image_needs_a_command_to_run_in_it(tmp_path: Path) -> None:
    """It would be ignored without static.build, and nobody would notice."""
    text = MINIMAL + 'build_image = "node:22"\n'
    error = refuse(tmp_path, text)
    assert error.message == "static.build_image needs a command to run in it"
    assert "--build" in error.hint
    assert load_text(tmp_path, text, flags={"static.build": "make"}).static.build_image == "node:22"
    assert load_text(tmp_path, text, flags={"static.build_image": ""}).static.build_image == ""


@pytest.mark.parametrize(
    "text",
    [
        "node",
        "node:22-alpine",
        "changkun/modern-cpp-tutorial:build-env",
        "localhost:5000/a/b__c/d-e.f:V1.0",
        "[::1]:5000/a",
        "registry.example.org/a@sha256:" + "0a" * 32,
        "a:b@sha256:" + "0a" * 32,
        "sha256:" + "0a" * 32,
        "0a" * 32,
    ],
)
def test_images_are_plain_references(text: str) -> None:
    """Registry, name, tag and digest, and the ids of images that are here."""
    assert checks.check_image(text) == text


@pytest.mark.parametrize(
    "text",
    ["-it", "--rm", "a b", "a\n", "a;b", "$(a)", "docker://a", "https://a/b", "Node", "a/", "/a", "a:", "a:-b", "a@sha256:1",
     "a" * 513, "a..b", "é", "a/-b", "../a", "a=b"],
)  # fmt: skip
def test_bad_images_are_refused(text: str) -> None:
    """Nothing that a container tool could take for an option or for something else than an image."""
    with pytest.raises(checks.Refused):
        checks.check_image(text)


@given(st.text("a-./:@[]A0_ \n", max_size=40))
def test_an_image_never_looks_like_an_option(text: str) -> None:
    """Whatever is accepted is one word that starts with a letter, a digit or a bracket."""
    try:
        image = checks.check_image(text)
    except checks.Refused:
        return
    assert image == text and not image.startswith("-") and not set(image) & set(" \n")


@given(st.lists(st.text("ab/.", max_size=8), max_size=4))
def test_shared_paths_are_safe_and_apart(texts: list[str]) -> None:
    """Relative, without dots, and none above another."""
    try:
        paths = tuple(checks.check_shared(text) for text in texts)
        checks.disjoint(paths)
    except checks.Refused:
        return
    for path in paths:
        assert path == checks.check_shared(path) and not path.startswith("/")
        assert not {"", ".", ".."} & set(path.split("/"))
        assert [other for other in paths if f"{other}/".startswith(f"{path}/")] == [path]
