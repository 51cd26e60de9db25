"""Servers that people really have: each lives the same life, over a real sshd whose sessions see nothing but that server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from tests.conftest import need
from tests.end_to_end.deployment import Deployment, tree
from tests.end_to_end.site import wait_until
from tests.end_to_end.small_root import Server, serve, site_on
from tests.nginx import Nginx
from tests.relay import Relay
from tests.sshd import Sshd

EXCHANGING = ("perl", "python3", "exch")
SERVERS = {
    "Debian with dash": Server(),
    "Alpine": Server("Alpine"),
    "no zstd": Server(without=("zstd",)),
    "no zstd, perl and python": Server(without=("zstd", *EXCHANGING)),
    "a user without root": Server(user="deploy"),
    "noexec home and tmp": Server(user="deploy", noexec=True),
    "Alpine, noexec home and tmp": Server("Alpine", user="deploy", noexec=True),
    "Alpine, no home and no tmp": Server("Alpine", user="deploy", bare=True),
    "www on tmpfs": Server(user="deploy", www="tmpfs"),
    "Alpine, www on ext4": Server("Alpine", user="deploy", www="ext4"),
    "www is a link": Server(user="deploy", www="link"),
}

# Mounts one directory in a place that nobody else sees, as `volumes: ["/www/site:/usr/share/nginx/html:ro"]` does.
CONTAINER = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'

FACTS = """\
id -un; readlink -f /bin/sh; command -v {lacking} | wc -l
echo runs: $({{ printf '#!/bin/sh\\necho ran' >a && chmod +x a && ./a; cp a /tmp/a && /tmp/a; }} 2>/dev/null)
echo mounted: $(grep ' /www ' /proc/mounts | cut -d' ' -f3)
"""


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    """Each kind of server."""
    return SERVERS[request.param]


@pytest.fixture
def running(server: Server, tmp_path: Path) -> Iterator[tuple[Path, Sshd]]:
    """That server's root directory and sshd."""
    with serve(server, tmp_path) as started:
        yield started


@pytest.fixture
def site(running: tuple[Path, Sshd], tmp_path: Path) -> Deployment:
    """A site on that server."""
    return site_on(*running, tmp_path)


def on_the_host(sshd: Sshd, command: str) -> str:
    """What a command says there, logged in as deployer does."""
    known = sshd.directory / "known_hosts"
    known.write_text(sshd.pin() + "\n")
    options = ["-F", "none", "-i", str(sshd.key_file), "-p", str(sshd.port), "-o", f"UserKnownHostsFile={known}"]
    ssh = [need("ssh", "to log in"), *options, f"{sshd.user}@127.0.0.1", command]
    return subprocess.run(ssh, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout.strip()


def test_each_server_is_what_its_name_says(server: Server, running: tuple[Path, Sshd]) -> None:
    """The user, the shell, the programs that are missing, where programs may run, and what ``/www`` is: told by itself."""
    alpine = server.system == "Alpine"
    lacking = ("bash", "dash", "perl", "python3", "zstd", "rsync", "/usr/bin/env") if alpine else server.without

    told = on_the_host(running[1], FACTS.format(lacking=" ".join(lacking) or "nothing-of-this-name")).splitlines()

    mounted = server.www if server.www in ("tmpfs", "ext4") else ""
    runs = "" if server.noexec or server.bare else "ran ran"
    assert told[:1] + told[2:] == [server.user, "0", f"runs: {runs}".strip(), f"mounted: {mounted}".strip()]
    assert told[1].rpartition("/")[2] == ("busybox" if alpine else "dash")


def first_version(site: Deployment) -> None:
    """Files that the second version keeps, changes, moves, removes or makes a program of."""
    site.write("index.html", "one")
    site.write("same.css", "same")
    site.write("img/old name.png", b"\x89PNG" * 500)
    site.write("gone/page.html", "page")
    site.write("run.cgi", "#!/bin/sh\n")


def second_version(site: Deployment) -> None:
    """See :func:`first_version`."""
    site.write("index.html", "two")
    (site.source / "img/old name.png").rename(site.source / "img/new name.png")
    (site.source / "gone/page.html").unlink()
    (site.source / "gone").rmdir()
    site.write("new/page.html", "new page")
    (site.source / "run.cgi").chmod(0o755)


def copied_by_hand(site: Deployment) -> None:
    """The target as ``scp`` left it, with files of whoever deploys now."""
    owner = site.parent.stat()
    site.target.mkdir()
    (site.target / "index.html").write_text("by hand")
    (site.target / "same.css").write_text("same")
    for path in (site.target, *site.target.iterdir()):
        os.chown(path, owner.st_uid, owner.st_gid)


def test_a_whole_life(server: Server, site: Deployment) -> None:
    """Take over a directory, deploy, change, add, remove, move, set modes, do nothing, and go back: to the byte."""
    copied_by_hand(site)
    by_hand = tree(site.target)
    first_version(site)
    (warning,) = site.answer("plan")["warnings"]
    gap = server.system == "Alpine" or set(EXCHANGING) <= set(server.without)
    assert ("404" in warning) == gap

    first = site.deploy()
    assert first["files_uploaded"] == 4  # same.css is there already
    assert site.served() == tree(site.source)
    assert sorted(path.name for path in site.parent.iterdir() if path.name != "lost+found") == [".deployer", "site"]

    before = tree(site.target)
    second_version(site)
    second = site.deploy()
    assert (second["files_uploaded"], second["files_deleted"]) == (2, 2)
    assert site.served() == tree(site.source)
    assert site.deploy()["status"] == "unchanged"

    assert site.answer("rollback")["release"] == first["release"]
    assert site.served() == before
    site.answer("rollback", first["previous_release"])
    assert site.served() == by_hand
    assert len(site.releases()) == 3
    assert site.is_unlocked()


def test_a_failing_gate_brings_the_old_release_back(site: Deployment, tmp_path: Path) -> None:
    """A release that the gate refuses is away again, and the one before it served whole."""
    need("nginx", "to serve the target as visitors get it")
    first_version(site)
    good = site.deploy()["release"]
    before = site.served()
    second_version(site)
    site.write("index.html", "bad")
    with Nginx(site.parent, tmp_path / "nginx") as nginx:
        site.settings |= {"url": f"{nginx.url}site/", "health": {"contains": "o"}}

        site.run().failed(5, "failed its health gate", "'o'")

    assert (site.live, site.served()) == (good, before)
    assert site.is_unlocked()


def test_a_client_killed_in_its_upload_is_mended_by_the_next_run(site: Deployment) -> None:
    """``kill -9`` while contents travel: the old release stays, whole, and the next run sends only what had not come."""
    first_version(site)
    site.deploy()
    before = site.served()
    second_version(site)
    site.write("arrives.bin", os.urandom(100_000))
    site.write("big.bin", os.urandom(12_000_000))  # six seconds of this line
    direct = dict(site.host)
    with Relay(direct["port"], rtt=0.001, rate=16) as relay:
        (pin,) = direct["host_key"]
        site.host |= {"port": relay.port, "host_key": [pin.replace(str(direct["port"]), str(relay.port))]}
        kill_in_upload(site)
    site.host = direct

    assert site.served() == before
    answer = site.deploy()
    assert (answer["status"], answer["files_uploaded"]) == ("deployed", 3)
    assert site.served() == tree(site.source)
    assert site.is_unlocked()


def kill_in_upload(site: Deployment) -> None:
    """Start a run, and kill it when the host has begun to receive."""
    site.configure()
    command = [sys.executable, "-m", "deployer", "run", "--json"]
    quiet = subprocess.DEVNULL
    client = subprocess.Popen(
        command, cwd=site.directory, env=site.environment(), stdin=quiet, stdout=quiet, stderr=quiet
    )
    try:
        assert wait_until(lambda: any(site.state.glob("lock/*/new/**/big.bin")), 60), "nothing was uploaded"
        assert client.poll() is None
    finally:
        client.kill()
        client.wait()


@pytest.mark.parametrize("system", ["Debian", "Alpine"])
def test_a_host_without_proc_is_refused(system: Literal["Debian", "Alpine"], tmp_path: Path) -> None:
    """In a jail for file transfers no lock could tell who is alive: one message says so, and nothing is written."""
    with serve(Server(system, user="deploy", proc=False), tmp_path) as (root, sshd):
        site = site_on(root, sshd, tmp_path)
        first_version(site)

        site.run().failed(1, "has no /proc file system")

        assert list(site.parent.iterdir()) == []


def test_a_directory_that_only_root_may_move_is_refused(tmp_path: Path) -> None:
    """Root's site in a directory with the sticky bit: nothing is sent, and the command that mends it is told."""
    with serve(Server(user="deploy"), tmp_path) as (root, sshd):
        site = site_on(root, sshd, tmp_path)
        os.chown(site.parent, 0, 0)
        site.parent.chmod(0o1777)
        copied_by_hand(site)
        before = tree(site.target)
        first_version(site)

        ended = site.run()

        ended.failed(1, "/www/site", "sticky bit", "sudo chown")
        assert ended.json["bytes_uploaded"] == 0
        assert tree(site.target) == before
        assert sorted(path.name for path in site.parent.iterdir()) == ["site"]


def in_a_container(mounted: Path, directory: Path) -> Nginx:
    """An nginx that sees the mounted directory at a place of its own, as a container with that volume."""
    inside = directory / "html"
    inside.mkdir(exist_ok=True)
    unshare = need("unshare", "to mount what only nginx sees")
    enter = [unshare, "--mount", "--propagation", "private", "sh", "-c", CONTAINER, "enter", str(mounted), str(inside)]
    return Nginx(inside, directory / "nginx", before=enter)


@pytest.mark.parametrize("began", ["with a copied directory", "with a release"])
def test_a_container_that_mounts_the_target_itself(tmp_path: Path, began: str) -> None:
    """The gate sees that visitors do not get the release, names the mount and goes back; mounting the parent mends it."""
    need("root", "to mount as a container does", present=os.geteuid() == 0)
    need("nginx", "to serve the target as visitors get it")
    site = Deployment(tmp_path)
    site.files(index="old", page="page")
    if began == "with a release":
        site.deploy()
    else:
        copied_by_hand(site)
    before = site.served()
    site.files(index="new", page="page")

    with in_a_container(site.target, tmp_path) as nginx:
        site.settings |= {"url": nginx.url, "health": {"timeout": 1.5}}
        for _ in range(2):
            said = site.run().failed(5, f"{nginx.url}index.html", "other contents", "mounts the target itself")
            assert "mount its parent" in said
            assert site.served() == before
            assert site.is_unlocked()

    with in_a_container(site.parent, tmp_path) as nginx:
        site.settings |= {"url": f"{nginx.url}site/", "health": {}}
        answer = site.deploy()
    assert answer["probe"]["dropped"] == 0
    assert site.served() == tree(site.source)
    assert site.is_unlocked()
