"""An upload that broke off: what came whole is not sent again, whatever has become of it, and nothing of it stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.end_to_end.deployment import Deployment, listing, tree
from tests.end_to_end.fleet import Fleet, servers
from tests.end_to_end.site import wait_until
from tests.relay import Relay
from tests.sshd import Sshd

SIZE = 400_000
FILES = 6
BIG = 30 * SIZE  # the file in which a run is killed: the slow line takes six seconds for it
UNDO_SECONDS = 60.0  # it is a moment's work, and the machine may be busy


@pytest.fixture
def remote(tmp_path: Path, sshd: Sshd) -> Deployment:
    """A site that deploys over that server, with one release."""
    site = Deployment(tmp_path, sshd=sshd)
    site.files(index="old", same="same")
    site.deploy()
    return site


def arrived(site: Deployment) -> dict[str, Path]:
    """What the host keeps of uploads that broke off, by its name in the source."""
    kept = site.state / "arrived"
    return {path.name: path for path in kept.rglob("*") if path.is_file()}


def break_off(site: Deployment, sshd: Sshd, name: str) -> None:
    """Kill a run when this file has begun to come; the host puts away what it has made by itself."""
    direct = dict(site.host)
    with Relay(sshd.port, rtt=0, rate=16) as relay:
        site.host |= {"port": relay.port, "host_key": [sshd.pin(port=relay.port)]}
        site.configure()
        client = begin(site)
        try:
            assert wait_until(lambda: any(site.state.glob(f"lock/*/new/**/{name}")), 60), "nothing was uploaded"
        finally:
            client.kill()
            client.wait()
    site.host = direct
    assert wait_until(site.is_unlocked, UNDO_SECONDS)


def write_movies(site: Deployment) -> None:
    """Six files; a run has most of its time in the fourth."""
    for number in range(FILES):
        site.write(f"movie{number}.bin", os.urandom(BIG if number == 3 else SIZE))


def begin(site: Deployment) -> subprocess.Popen[bytes]:
    """Start a run, of whose words nobody takes notice."""
    command = [sys.executable, "-m", "deployer", "run", "--json"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        command, cwd=site.directory, env=site.environment(), stdin=quiet, stdout=quiet, stderr=quiet
    )


@pytest.fixture
def broken(remote: Deployment, sshd: Sshd) -> Deployment:
    """The same after a run that was killed in the fourth of six new files."""
    write_movies(remote)
    break_off(remote, sshd, "movie3.bin")
    assert {f"movie{number}.bin" for number in range(3)} <= arrived(remote).keys()
    return remote


def test_the_next_run_sends_the_rest(broken: Deployment) -> None:
    """The plan says so, too; the release is exact, its files have one time, and nothing is kept any more."""
    assert broken.answer("plan")["files_uploaded"] <= FILES - 3
    assert broken.served().keys() == {b"index.html", b"same.html"}

    answer = broken.deploy()

    assert answer["files_uploaded"] <= FILES - 3
    assert answer["bytes_uploaded"] < BIG + (FILES - 3) * SIZE
    assert broken.served() == tree(broken.source)
    assert len({(broken.target / f"movie{number}.bin").stat().st_mtime for number in range(FILES)}) == 1
    assert not (broken.state / "arrived").exists()
    assert broken.deploy()["status"] == "unchanged"


def damage(path: Path) -> None:
    """One byte is another one, and the times are as before."""
    about, data = path.stat(), path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


@pytest.mark.parametrize("harm", [damage, Path.unlink, lambda path: os.truncate(path, 9)], ids=["bit", "gone", "short"])
def test_what_is_damaged_is_sent_again(broken: Deployment, harm: Callable[[Path], None]) -> None:
    """Nobody takes a name's word for what is in a file."""
    harm(arrived(broken)["movie1.bin"])

    answer = broken.deploy()

    assert answer["files_uploaded"] > FILES - 4
    assert broken.served() == tree(broken.source)


def test_what_a_release_has_is_never_touched(remote: Deployment, sshd: Sshd) -> None:
    """A second name of a release's file among what was kept: it is not taken, and the way back to that release is open."""
    first = remote.live
    remote.files(index="new", same="same")
    remote.deploy()
    write_movies(remote)
    break_off(remote, sshd, "movie3.bin")
    (old,) = (remote.root / "releases").glob(f"{first}*/index.html")
    os.link(old, arrived(remote)["movie0.bin"].with_name("trap"))
    remote.write("copy.html", "old")
    before = old.stat()

    remote.deploy()

    after = old.stat()
    assert (after.st_mtime_ns, after.st_mode, after.st_ino) == (before.st_mtime_ns, before.st_mode, before.st_ino)
    assert (remote.target / "copy.html").stat().st_ino != before.st_ino
    assert remote.served() == tree(remote.source)
    assert remote.answer("rollback", first)["release"] == first


def test_what_nobody_wants_any_more_goes(broken: Deployment, sshd: Sshd) -> None:
    """Breaking off again and again with other contents keeps those of the last release only."""
    write_movies(broken)
    break_off(broken, sshd, "movie2.bin")

    wanted = {path.read_bytes() for path in broken.source.iterdir()}
    kept = [path.read_bytes() for path in (broken.state / "arrived").rglob("*") if path.is_file()]
    assert sum(data in wanted for data in kept) >= 2
    assert sum(data not in wanted for data in kept) <= 1  # the one that was cut

    broken.deploy()
    assert broken.served() == tree(broken.source)


def test_going_back_to_what_is_live_drops_it(broken: Deployment) -> None:
    """With nothing to do, nothing is kept either."""
    for number in range(FILES):
        (broken.source / f"movie{number}.bin").unlink()

    assert broken.deploy()["status"] == "unchanged"

    assert not (broken.state / "arrived").exists()


def test_a_first_upload_that_broke_off(tmp_path: Path, sshd: Sshd) -> None:
    """Where nothing is live, too; modes are part of it, and a big file that was cut is sent again."""
    site = Deployment(tmp_path, sshd=sshd)
    site.write("a.bin", os.urandom(SIZE))
    site.write("b.bin", os.urandom(SIZE), mode=0o755)
    site.write("c.bin", os.urandom(BIG))
    break_off(site, sshd, "c.bin")
    shutil.copy(site.source / "a.bin", site.source / "d.bin")
    (site.source / "d.bin").chmod(0o755)

    answer = site.deploy()

    assert answer["files_uploaded"] == 2
    assert site.served() == tree(site.source)


def test_a_plan_changes_nothing_of_it(broken: Deployment) -> None:
    """It reads what is kept, under the lock of nobody."""
    before = listing(broken.parent)
    broken.answer("plan")
    assert listing(broken.parent) == before


def test_of_several_hosts_each_is_sent_what_it_lacks(tmp_path: Path) -> None:
    """One that had everything when another one's line broke is not sent it again, though its release was made already."""
    site = Deployment(tmp_path)
    site.static["target"] = "/www/site"
    site.configured = False  # the fleet writes the file
    for number in range(FILES):
        site.write(f"movie{number}.bin", os.urandom(SIZE))
    with servers(tmp_path, 2) as hosts, Relay(hosts[1].sshd.port, rtt=0, rate=2) as relay:
        near, far = (replace(host, name="site") for host in hosts)
        fleet = Fleet(site, [near, replace(far, way=relay.port)])
        fleet.configure()
        client = begin(site)
        try:
            assert wait_until(lambda: any(near.state.glob("records/*")), 60), "the near one was not made"
            relay.cut()
            assert client.wait(60) == 1
        finally:
            client.kill()
            client.wait()
        fleet.members[1] = far
        assert wait_until(fleet.all_unlocked, UNDO_SECONDS)
        assert len([path for path in (near.state / "arrived").rglob("*") if path.is_file()]) == FILES
        assert not list((near.root / "www/.deployer/site/releases").iterdir())

        answer = fleet.deploy()

        assert answer["files_uploaded"] <= FILES
        assert near.times() == far.times()
        assert {name: data for name, (data, _) in far.times().items()} == {
            path.name: path.read_bytes() for path in site.source.iterdir()
        }
