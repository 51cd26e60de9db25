"""What `deployer check` finds on this machine, and how its findings are printed and summed up."""

from __future__ import annotations

import io
import socket
from pathlib import Path
from typing import Any

import pytest

from deployer.checking.here import configuration, name_of_url, resolved, sources
from deployer.config import Config, load
from deployer.errors import ConnectionRefused
from deployer.finding import Finding, State, error, exit_code, failure, fine, warning
from deployer.reporting import print_finding, print_sum


def configured(directory: Path, **flags: Any) -> Config:
    named = {key.replace("__", "."): value for key, value in flags.items()}
    basic = {"app": "blog", "host": ("local",), "static.source": "public", "static.target": "/www/blog"}
    return load(None, flags=basic | named, variables={}, directory=directory)


def test_the_configuration_says_where_it_is_from(tmp_path: Path) -> None:
    """The file, or that there is none, which is no mistake."""
    config = configured(tmp_path)
    assert str(tmp_path / "deploy.toml") in configuration(config, tmp_path / "deploy.toml").found
    assert "no deploy.toml" in configuration(config, None).found


def test_a_server_that_builds_needs_nothing_here(tmp_path: Path) -> None:
    """Its sources are in its own checkout."""
    assert list(sources(configured(tmp_path, strategy="rebuild", rebuild__path="blog"))) == []


def test_a_source_with_files_is_fine(tmp_path: Path) -> None:
    """A directory that is not empty, or an archive."""
    (tmp_path / "public").mkdir()
    (tmp_path / "public/index.html").touch()
    (tmp_path / "site.zip").touch()
    assert [each.state for each in sources(configured(tmp_path))] == [State.OK]
    assert [each.state for each in sources(configured(tmp_path, static__source="site.zip"))] == [State.OK]


def test_a_source_that_nobody_makes_is_an_error(tmp_path: Path) -> None:
    """Missing or empty, a run would refuse it with code 2."""
    (missing,) = sources(configured(tmp_path))
    (tmp_path / "public").mkdir()
    (empty,) = sources(configured(tmp_path))
    (tmp_path / "page.html").touch()
    (odd,) = sources(configured(tmp_path, static__source="page.html"))
    assert (odd.state, odd.code, "no archive" in odd.found) == (State.ERROR, 2, True)
    assert (missing.state, missing.code, "does not exist" in missing.found) == (State.ERROR, 2, True)
    assert (empty.state, empty.code, "is empty" in empty.found) == (State.ERROR, 2, True)


@pytest.mark.parametrize(
    "command",
    [
        "sh build.sh",
        "./make.sh --all",
        "A=1 B='x y' sh -c true",
        "cd docs && make",
        "if true; then make; fi",
        "$MAKE all",
        "(cd docs; make)",
        "it's unbalanced",
        "# only a comment",
    ],
)
def test_a_build_that_can_begin_is_fine(tmp_path: Path, command: str) -> None:
    """Programs in PATH or in the project, what a shell knows by itself, and whatever only a shell can tell."""
    (tmp_path / "make.sh").touch(mode=0o755)
    build, source = sources(configured(tmp_path, static__build=command))
    assert (build.state, build.found) == (State.OK, command)
    assert "the build makes it" in source.found


@pytest.mark.parametrize("command", ["no-such-program build", "A=1 ./not-there.sh", "./not-executable"])
def test_a_build_whose_program_is_missing_is_an_error(tmp_path: Path, command: str) -> None:
    """Its name is told, before the build would fail with code 1."""
    (tmp_path / "not-executable").touch(mode=0o644)
    build, _ = sources(configured(tmp_path, static__build=command))
    assert (build.state, build.code) == (State.ERROR, 1)
    assert command.split()[-1 if "=" in command else 0] in build.found


def test_a_build_image_needs_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The build's own program is in the image, so only what runs the image is looked for, and asked."""
    config = configured(tmp_path, static__build="hugo", static__build_image="hugo:latest")
    engine = tmp_path / "docker"
    engine.write_text("#!/bin/sh\necho 28.0")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert next(sources(config)).state is State.OK
    engine.write_text("#!/bin/sh\necho cannot connect >&2; exit 1")
    assert "does not answer" in next(sources(config)).found
    engine.unlink()
    assert "needs docker or podman" in next(sources(config)).found


def test_names_are_looked_up() -> None:
    """An address needs none, a name shows its addresses, and one that does not exist ends like a run: with code 4."""
    assert resolved("::1", "host.address").found == "::1 is an address"
    assert "127.0.0.1" in resolved("localhost", "host.address").found
    missing = resolved("no-such-name.invalid", "host.address (--host)")
    assert (missing.state, missing.code) == (State.ERROR, 4)
    assert "host.address (--host)" in missing.mend


def test_a_url_without_address_is_a_warning_where_nobody_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With connect_to, deployer itself does not look the name up; else the gate would fail."""

    def nobody(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    url = "https://blog.invalid/"
    assert [each.state for each in name_of_url(configured(tmp_path, url=url))] == [State.ERROR]
    config = configured(tmp_path, url=url, **{"host.connect_to": "127.0.0.1"})
    assert [each.state for each in name_of_url(config)] == [State.WARNING]


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ((), 0),
        ((fine("a", "x"), warning("b", "x", "y")), 0),
        ((error("a", "x", "y"),), 1),
        ((error("a", "x", "y"), error("b", "x", "y", 4)), 4),
        ((error("a", "x", "y", 4), error("b", "x", "y", 2)), 2),
    ],
)
def test_the_exit_code_is_that_of_a_run(findings: tuple[Finding, ...], code: int) -> None:
    """The configuration comes first, then the connection, then everything else; warnings do not count."""
    assert exit_code(findings) == code


def test_an_error_becomes_a_finding() -> None:
    """With its hint as what to do, and its code."""
    finding = failure("login", ConnectionRefused("refused\nthe login", hint="add\nthe key"), "look")
    assert finding.as_json() == {
        "name": "login",
        "host": "",
        "state": "error",
        "found": "refused the login",
        "mend": "add\nthe key",
    }
    assert finding.code == 4
    assert failure("login", ConnectionRefused("refused"), "look").mend == "look"


def test_findings_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """State, name, what was found; below it how to mend it; the host once, in front of its lines."""
    stream = io.StringIO()
    host = {"host": "deploy@a:22"}
    print_finding(fine("config", "good").as_json(), stream, headed=False)
    print_finding(error("login", "bad\x1b[2J", "do\n  this").as_json() | host, stream, headed=True)
    assert stream.getvalue() == (
        "fine     config       good\n"
        "\n"
        "deploy@a:22\n"
        "error    login        bad\\x1b[2J\n"
        "                      > do\n"
        "                      > this\n"
    )


def test_the_sum_counts_what_is_not_fine() -> None:
    """In one line."""
    stream = io.StringIO()
    print_sum([{"state": "ok"}], stream)
    print_sum([{"state": "ok"}, {"state": "error"}, {"state": "warning"}, {"state": "warning"}], stream)
    assert stream.getvalue() == "all is fine\n1 error, 2 warnings\n"
