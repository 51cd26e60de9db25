"""Hosts with other shells and other tools live the same life."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import need
from tests.end_to_end.deployment import Deployment, tree
from tests.end_to_end.hosts import busybox_programs, programs_without


def path_of(kind: str, directory: Path) -> str:
    """A PATH that makes this machine a host of that kind."""
    match kind:
        case "BusyBox":
            return busybox_programs(directory)
        case "without zstd":
            return programs_without(directory, "zstd")
        case "without zstd, python3 and perl":
            return programs_without(directory, "zstd", "python3", "perl")
        case shell:
            program = need(shell, "to be the host's sh")
            path = programs_without(directory, "sh")
            (directory / "sh").symlink_to(program)
            return path


KINDS = ["BusyBox", "without zstd", "without zstd, python3 and perl", "dash", "bash"]
FURTHER_SHELLS = [shell for shell in ("ksh", "mksh", "yash", "zsh") if shutil.which(shell)]


@pytest.mark.parametrize("kind", [*KINDS, *FURTHER_SHELLS])
def test_a_whole_life(tmp_path: Path, kind: str) -> None:
    """Adopt, deploy, do nothing, put right, fail, go back, prune and look, with nothing but this host's programs."""
    site = Deployment(tmp_path)
    site.static["keep"] = 2
    site.variables["PATH"] = path_of(kind, tmp_path / "bin")
    site.target.mkdir()
    (site.target / "index.html").write_text("by hand")
    site.files(index="one", page="page")
    first = site.deploy()
    assert site.served() == tree(site.source)
    assert site.deploy()["status"] == "unchanged"

    assert site.answer("rollback")["release"] == first["previous_release"]
    assert site.served() == {b"index.html": ("644", b"by hand")}

    site.files(index="two", page="page", moved="one")
    second = site.deploy()
    assert (second["files_uploaded"], site.served()) == (3, tree(site.source))
    (site.target / "stray").write_text("x")
    (site.target / "index.html").write_text("hot fix")
    assert "wrote into the live release" in site.run().err
    assert site.served() == tree(site.source)

    for version in ("three", "four"):
        site.files(index=version, page="page")
        site.deploy()
    assert len(site.releases()) == 2
    assert site.answer("rollback")["status"] == "rolled_back"
    assert [each["state"] for each in site.answer("releases")["releases"]] == ["kept", "live"]
    assert site.answer("status")["live_release"] == site.live
    assert site.answer("logs")["journal"]
    assert site.is_unlocked()
