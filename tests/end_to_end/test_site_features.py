"""What a site may be made of, and what happens around a deploy: archives, a build in a container, the hook afterwards."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.end_to_end.deployment import Deployment
from tests.end_to_end.site import wait_until
from tests.sshd import sshd_for_tests

PAGES = {"index.html": b"<h1>hello</h1>", "css/site.css": b"p { margin: 0 }", "bin/tool": b"#!/bin/sh\n"}


def make_tar(path: Path, pages: dict[str, bytes], mode: str = "w:gz") -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in pages.items():
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(data), 0o4755 if name.startswith("bin/") else 0o600
            archive.addfile(about, io.BytesIO(data))


def make_zip(path: Path, pages: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in pages.items():
            about = zipfile.ZipInfo(name)
            about.external_attr = (0o755 if name.startswith("bin/") else 0o644) << 16
            archive.writestr(about, data)


@pytest.fixture
def temporary(site: Deployment) -> Path:
    """The only place for temporary files that the commands have: what they leave there is found."""
    directory = site.directory / "temporary"
    directory.mkdir()
    site.variables["TMPDIR"] = str(directory)
    return directory


# --- archives --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["site.tar.gz", "site.tar", "site.zip"])
def test_a_source_that_is_an_archive(site: Deployment, temporary: Path, name: str) -> None:
    """Its contents are the site, however often it is packed anew; nothing of it stays here."""
    archive = site.directory / name
    make = make_zip if name.endswith(".zip") else make_tar
    make(archive, PAGES)
    site.static |= {"source": name, "exclude": ["css"]}
    answer = site.deploy()
    assert answer["files_total"] == 2
    assert site.served() == {
        b"index.html": ("644", PAGES["index.html"]),
        b"bin": ("755", b""),
        b"bin/tool": ("755", PAGES["bin/tool"]),
    }
    make(archive, PAGES)
    assert site.deploy()["status"] == "unchanged"
    make(archive, PAGES | {"index.html": b"new"})
    answer = site.deploy()
    assert (answer["status"], answer["files_uploaded"]) == ("deployed", 1)
    assert site.text("index.html") == "new"
    assert list(temporary.iterdir()) == []


def test_an_archive_that_the_build_makes(site: Deployment, temporary: Path) -> None:
    """It is looked for after the build, and `plan` says that it will be unpacked."""
    site.write("index.html", "built")
    site.static |= {"source": "out/site.tgz", "build": "mkdir -p out && tar -C public -czf out/site.tgz ."}
    site.deploy()
    assert site.text("index.html") == "built"
    plan = site.command("plan", "--verbose")
    assert "unpack and hash" in plan.err
    assert list(temporary.iterdir()) == []


def test_an_archive_over_ssh(tmp_path: Path) -> None:
    """While the connection is made, the archive is unpacked."""
    with sshd_for_tests(tmp_path, host_key_types=("ed25519",)) as sshd:
        site = Deployment(tmp_path, sshd=sshd)
        make_tar(site.directory / "site.tar.gz", PAGES)
        site.static["source"] = "site.tar.gz"
        site.deploy()
        assert site.text("index.html") == "<h1>hello</h1>"


@pytest.mark.parametrize("name", ["../../evil.html", "/tmp/evil.html"])
def test_an_archive_that_leads_out(site: Deployment, temporary: Path, name: str) -> None:
    """Exit code 2 and the member's name; the host is not touched and nothing is left behind."""
    make_tar(site.directory / "site.tar.gz", PAGES | {name: b"evil"})
    site.static["source"] = "site.tar.gz"
    site.run().failed(2, "static.source", repr(name), "site.tar.gz")
    assert list(temporary.iterdir()) == []
    assert list(site.parent.iterdir()) == []


def test_an_archive_that_is_a_bomb(site: Deployment, temporary: Path) -> None:
    """A gigabyte of zeros ends at the bound, long before the disk is full."""
    with tarfile.open(site.directory / "site.tar.gz", "w:gz") as archive, open("/dev/zero", "rb") as zeros:  # noqa: PTH123
        about = tarfile.TarInfo("zeros")
        about.size = 300 << 20
        archive.addfile(about, zeros)
    site.static["source"] = "site.tar.gz"
    site.run().failed(2, "'zeros'", "200 times")
    assert list(temporary.iterdir()) == []


def test_an_archive_that_was_cut_off(site: Deployment) -> None:
    """Half a download is no smaller site."""
    archive = site.directory / "site.zip"
    make_zip(archive, PAGES)
    archive.write_bytes(archive.read_bytes()[:-30])
    site.static["source"] = "site.zip"
    site.run().failed(2, "site.zip", "damaged or cut off")


def test_interrupted_while_it_unpacks(site: Deployment, temporary: Path) -> None:
    """What was unpacked until then goes, too."""
    with tarfile.open(site.directory / "site.tar", "w") as archive:
        for number in range(30_000):
            archive.addfile(tarfile.TarInfo(f"{number}.html"))
    site.static["source"] = "site.tar"
    site.configure()
    command = [sys.executable, "-m", "deployer", "run"]
    with subprocess.Popen(command, cwd=site.directory, env=site.environment(), stderr=subprocess.PIPE) as running:
        assert wait_until(lambda: any(temporary.glob("*/1000.html")), 20, step=0.001)
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=20)
    assert (running.returncode, b"Traceback" in said) == (130, False), said
    assert list(temporary.iterdir()) == []
