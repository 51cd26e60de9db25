"""A host that is not as it should be: each fault ends with its exit code and one message, and the next run succeeds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.end_to_end.deployment import Deployment, listing, tree
from tests.end_to_end.hosts import NOBODY, ordinary_user, programs_without, wrap_shell


@pytest.mark.parametrize("program", ["tar", "sha256sum", "find", "stat"])
@pytest.mark.parametrize("command", ["run", "plan", "rollback"])
def test_a_missing_program_is_named(site: Deployment, program: str, command: str) -> None:
    """Without tar, or another program that it takes, nothing is begun: exit 1, and the message says what to install."""
    site.files(index="old")
    site.deploy()
    before = listing(site.parent)
    site.variables["PATH"] = programs_without(site.directory / "bin", program)
    site.files(index="new")

    site.command(command).failed(1, f" {program}", "install")

    assert listing(site.parent) == before
    del site.variables["PATH"]
    assert site.deploy()["status"] == "deployed"


def test_a_missing_parent_is_not_made(site: Deployment) -> None:
    """A typing mistake in the target makes no directories: the message gives the command that would."""
    site.files(index="x")
    site.static["target"] = str(site.parent / "missing" / "deeper" / "site")

    site.run().failed(1, str(site.parent / "missing" / "deeper"), "does not exist", "sudo mkdir -p")
    assert list(site.parent.iterdir()) == []

    (site.parent / "missing" / "deeper").mkdir(parents=True)
    assert site.deploy()["status"] == "deployed"


def test_a_parent_that_is_a_file_is_refused(site: Deployment) -> None:
    """The same for a parent that is no directory."""
    site.files(index="x")
    (site.parent / "file").write_text("x")
    site.static["target"] = str(site.parent / "file" / "site")

    site.run().failed(1, str(site.parent / "file"))

    assert (site.parent / "file").read_text() == "x"


def test_a_parent_that_is_not_writable_is_named(open_directory: Path) -> None:
    """An ordinary user who may not write beside the target: exit 1, with the command that lets him."""
    site = Deployment(open_directory)
    site.variables["PATH"] = ordinary_user(open_directory / "bin")
    site.files(index="x")
    site.parent.chmod(0o555)
    try:
        site.run().failed(1, str(site.parent), "cannot write", "sudo chown")
        assert list(site.parent.iterdir()) == []
    finally:
        site.parent.chmod(0o777)

    assert site.deploy()["status"] == "deployed"


@pytest.mark.usefixtures("as_root")
def test_state_of_another_user_is_named(open_directory: Path) -> None:
    """A site that root deployed cannot be deployed by somebody else: exit 1, one message, the site stays."""
    site = Deployment(open_directory)
    site.files(index="root's")
    site.deploy()
    os.chown(site.parent, NOBODY, NOBODY)
    site.variables["PATH"] = ordinary_user(open_directory / "bin")
    site.files(index="nobody's")

    for command in ("run", "plan", "status", "rollback"):
        site.command(command, "--json").failed(1, str(site.root))

    assert site.text("index.html") == "root's"
    del site.variables["PATH"]
    assert site.deploy()["status"] == "deployed"


def test_a_target_that_is_a_file_is_refused(site: Deployment) -> None:
    """A file at the target is not replaced."""
    site.files(index="x")
    site.target.write_text("precious")

    for command in ("run", "plan", "rollback"):
        site.command(command).failed(1, str(site.target), "is a file")
    assert site.target.read_text() == "precious"
    assert [path.name for path in site.parent.iterdir()] == ["site"]

    site.target.unlink()
    assert site.deploy()["status"] == "deployed"


@pytest.mark.parametrize("aim", ["../elsewhere", "missing", "/etc", "releases/1", ".deployer/other/releases/1"])
def test_a_target_that_is_somebody_elses_link_is_refused(site: Deployment, aim: str) -> None:
    """A link that deployer did not make stays as it is, dangling or not; the message says where it leads."""
    site.files(index="x")
    (site.directory / "elsewhere").mkdir()
    site.target.symlink_to(aim)

    for command in ("run", "plan", "rollback"):
        site.command(command).failed(1, str(site.target), aim, "did not make")
    assert str(site.target.readlink()) == aim
    assert [path.name for path in site.parent.iterdir()] == ["site"]

    site.target.unlink()
    assert site.deploy()["status"] == "deployed"


NOISE = """\
printf '%s\\n' 'Welcome to the host! ~ = # . ! ' 'a line without its mark = x y'
head -c 100000 /dev/zero | tr '\\000' x
head -c 100000 /dev/zero | tr '\\000' e >&2
printf '\\033[31mno line break at the end' >&2
printf 'no line break at the end'
"""


def test_noise_of_the_login_shell_is_passed_over(site: Deployment) -> None:
    """100 kB of greetings on both streams, without a line break at their end, change nothing."""
    site.variables["PATH"] = wrap_shell(site.directory / "bin", NOISE)
    site.files(index="old")
    site.deploy()
    site.files(index="new")

    answer = site.deploy()

    assert answer["status"] == "deployed"
    assert site.served() == tree(site.source)
    assert site.answer("rollback")["status"] == "rolled_back"
    assert len(site.answer("releases")["releases"]) == 2
    assert site.is_unlocked()


def test_a_shell_that_ends_at_once_is_reported_with_its_words(site: Deployment) -> None:
    """A login that is switched off says so on standard error: its words are in the message, and it ends with exit 1 or 4."""
    site.files(index="x")
    site.variables["PATH"] = wrap_shell(site.directory / "bin", "echo 'This account is closed.' >&2; exit 1")

    ended = site.run()

    ended.failed(ended.code, "This account is closed.")
    assert ended.code in (1, 4)
    assert list(site.parent.iterdir()) == []


def test_a_program_that_fails_on_the_host_is_reported_with_its_words(site: Deployment) -> None:
    """A tar that breaks in the middle: exit 1, what it said is in the message, nothing is left, the next run succeeds."""
    site.files(index="old")
    site.deploy()
    site.files(index="new")
    programs = programs_without(site.directory / "bin", "tar")
    tar = Path(programs) / "tar"
    tar.write_text(
        "#!/bin/sh\ncase $1 in --version) exit 0 ;; esac\nhead -c 100 >&2; echo 'tar: broken disk' >&2; exit 2\n"
    )
    tar.chmod(0o755)
    site.variables["PATH"] = programs

    site.run().failed(1, "tar: broken disk")

    assert site.text("index.html") == "old"
    assert len(site.releases()) == 1
    assert site.is_unlocked()
    del site.variables["PATH"]
    assert site.deploy()["status"] == "deployed"
