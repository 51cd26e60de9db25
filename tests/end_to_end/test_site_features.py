"""What a site may be made of, and what happens around a deploy: archives, a build in a container, the hook afterwards."""

from __future__ import annotations

import io
import os
import secrets
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from tests.dockerd import dockerd_for_tests
from tests.end_to_end.deployment import Deployment
from tests.end_to_end.site import wait_until
from tests.end_to_end.tools import link_tools
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
    ended, said = interrupted(site, lambda: any(temporary.glob("*/1000.html")))
    assert (ended, "Traceback" in said) == (130, False), said
    assert list(temporary.iterdir()) == []


# --- a build in a container ------------------------------------------------------------------------------------------

ENGINE = """#!/bin/sh
echo "$@" >>"${0%/*}/asked"
case $1 in
--version) echo "Docker version 28" ;;
info) echo "28 [name=seccomp]" ;;
run) for command; do :; done; exec sh -c "$command" ;;
esac
"""


@pytest.fixture
def engine(site: Deployment) -> Path:
    """A program called docker that notes what it is asked and runs the command right here; returns the notes."""
    tools = site.directory / "tools"
    tools.mkdir()
    (tools / "docker").write_text(ENGINE)
    (tools / "docker").chmod(0o755)
    site.variables["PATH"] = f"{tools}:{site.environment()['PATH']}"
    return tools / "asked"


@pytest.fixture(scope="module")
def real_engine() -> Iterator[None]:
    """A Docker engine of the tests' own, which clients find by their environment."""
    with dockerd_for_tests() as running, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DOCKER_HOST", running.host)
        yield


@pytest.fixture
def image(real_engine: None) -> Iterator[str]:
    """An image of BusyBox alone."""
    files = io.BytesIO()
    with tarfile.open(fileobj=files, mode="w") as archive:
        archive.add(need("busybox", "to make an image"), "bin/busybox")
        for name in ("sh", "id", "sleep", "touch"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        temporary = tarfile.TarInfo("tmp")
        temporary.type, temporary.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(temporary)
    name = f"deployer-test:{secrets.token_hex(4)}"
    subprocess.run(["docker", "import", "-", name], input=files.getvalue(), capture_output=True, check=True)
    yield name
    subprocess.run(["docker", "image", "rm", "--force", name], capture_output=True, check=True)


def containers() -> str:
    """The names of all containers of builds, ended ones too."""
    listed = ["docker", "ps", "--all", "--filter", "name=deployer-build-", "--format", "{{.Names}}"]
    return subprocess.run(listed, capture_output=True, text=True, check=True).stdout


def interrupted(site: Deployment, ready: Callable[[], object]) -> tuple[int, str]:
    """Begin `deployer run`, and send SIGTERM when it is so far; the exit code and what was said."""
    site.configure()
    command = [sys.executable, "-m", "deployer", "run"]
    with subprocess.Popen(
        command, cwd=site.directory, env=site.environment(), stderr=subprocess.PIPE, text=True
    ) as running:
        came = wait_until(ready, 60, step=0.001)
        began = time.monotonic()
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=60)
    assert came, said
    assert time.monotonic() - began < 25  # five, where nothing else runs; what is interrupted would take minutes
    return running.returncode, said


def test_a_build_in_an_image(site: Deployment, engine: Path) -> None:
    """Its lines are shown, its files deployed, and `plan` runs nothing."""
    site.static |= {"build": "echo building; echo built > public/index.html", "build_image": "hugo:1"}
    site.write("index.html", "old")
    assert site.command("plan").code == 0
    assert not engine.exists()
    ended = site.run()
    assert ended.code == 0, ended.err
    assert "building" in ended.err
    assert "in hugo:1" in ended.err
    assert site.text("index.html") == "built\n"


def test_a_build_image_without_an_engine(site: Deployment) -> None:
    """Exit code 1, and what to install."""
    site.static |= {"build": "true", "build_image": "hugo:1"}
    tools = link_tools(site.directory / "tools")
    site.run(PATH=str(tools)).failed(1, "docker", "podman", "Install")


def test_interrupting_a_build_in_an_image(site: Deployment, engine: Path) -> None:
    """The container is killed by name, for its client may not have passed the signal on."""
    site.static |= {"build": "touch begun; sleep 301", "build_image": "hugo:1"}
    code, said = interrupted(site, (site.directory / "begun").exists)
    assert code == 130, said
    *_, run, kill = engine.read_text().splitlines()
    assert kill == f"kill {next(word[7:] for word in run.split() if word.startswith('--name='))}"


def test_a_build_in_a_real_container(site: Deployment, image: str) -> None:
    """What it makes belongs to the caller, and the container is gone."""
    site.static |= {"build": "id -u > public/index.html; [ ! -e /etc/passwd ]", "build_image": image}
    site.deploy()
    assert site.text("index.html") == f"{os.getuid()}\n"
    assert (site.source / "index.html").stat().st_uid == os.getuid()
    assert containers() == ""
    site.static["build"] = "echo 'no such page'; exit 3"
    site.run().failed(1, "exit code 3", "no such page")
    site.static["build_image"] = "deployer-test-none:1"
    site.run().failed(1, "'deployer-test-none:1'", "cannot be pulled")
    assert containers() == ""


@pytest.mark.parametrize("manners", ["", "trap '' TERM; "])
def test_interrupting_a_real_container(site: Deployment, image: str, manners: str) -> None:
    """It ends soon, also when it does not listen."""
    build = f"{manners}touch public/begun; while :; do sleep 0.1; done"
    site.static |= {"build": build, "build_image": image}
    code, said = interrupted(site, (site.source / "begun").exists)
    assert code == 130, said
    assert wait_until(lambda: containers() == "", 30)


# --- the hook --------------------------------------------------------------------------------------------------------


@pytest.fixture
def purged(site: Deployment) -> Path:
    """What the site's hook writes, one line for each time that it runs."""
    told = "$DEPLOYER_STATUS $DEPLOYER_RELEASE $DEPLOYER_PREVIOUS_RELEASE $DEPLOYER_HOSTS ${DEPLOYER_KEY-none}"
    site.settings["hooks"] = {"after": f'echo purging; echo "{told}" >> purged'}
    site.variables["DEPLOYER_KEY"] = "not for the hook"
    (site.directory / "purged").touch()
    return site.directory / "purged"


def test_the_hook_runs_behind_what_changed_something(site: Deployment, purged: Path) -> None:
    """After a deploy and a rollback; not after a dry run, with nothing to do, or after a failure."""
    site.files(index="one")
    assert site.command("plan").code == 0
    first = site.deploy()["release"]
    assert purged.read_text().splitlines() == [f"deployed {first}  local none"]
    site.deploy()
    site.files(index="two")
    site.run("--build", "false").failed(1, "false")
    second = site.run()
    assert second.json["status"] == "deployed"
    assert "purging" in second.err
    site.answer("rollback")
    assert purged.read_text().splitlines()[1:] == [
        f"deployed {second.json['release']} {first} local none",
        f"rolled_back {first} {second.json['release']} local none",
    ]


def test_a_failed_hook_changes_nothing(site: Deployment) -> None:
    """The exit code stays 0 and the answer the same; people get a warning, also when they want quiet."""
    site.settings["hooks"] = {"after": "echo no such zone; exit 9"}
    site.files(index="one")
    ended = site.run("--quiet")
    assert (ended.code, ended.json["status"], ended.json["error"]) == (0, "deployed", None)
    assert "warning: hooks.after" in ended.err
    assert "exit code 9 (no such zone)" in ended.err


def test_interrupting_the_hook(site: Deployment) -> None:
    """It ends, and the deploy stays what it was: done."""
    site.settings["hooks"] = {"after": "touch hooked; sleep 301"}
    site.files(index="one")
    code, said = interrupted(site, (site.directory / "hooked").exists)
    assert (code, "was interrupted" in said) == (0, True), said
    assert site.text("index.html") == "one"
    assert site.is_unlocked()
