"""Pages that change a little everywhere: rebuilt on the host out of the live ones, and right whatever happens there."""

from __future__ import annotations

import base64
import gzip
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from deployer.static.signatures import decode, encode
from tests.conftest import need
from tests.end_to_end.deployment import Deployment, tree
from tests.end_to_end.faults import mounted
from tests.end_to_end.fleet import Fleet, servers
from tests.end_to_end.processes import send
from tests.end_to_end.site import wait_until
from tests.end_to_end.small_root import Server as Host
from tests.end_to_end.small_root import serve, site_on
from tests.sshd import Sshd, sshd_for_tests

pytestmark = pytest.mark.timeout(120)
PAGES = 180
WARNING = "could not be rebuilt on the host and were sent whole"


@dataclass
class Server:
    """One server for all tests. What is in ``programs`` comes before all other programs in its sessions."""

    sshd: Sshd
    programs: Path

    def replace(self, name: str, text: str) -> None:
        """Put a script in the place of a program, until the test ends."""
        (self.programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.programs / name).chmod(0o755)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("server")
    programs = directory / "programs"
    programs.mkdir()
    path = f"SetEnv PATH={programs}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    with sshd_for_tests(directory, config=[path], host_key_types=("ed25519",)) as sshd:
        yield Server(sshd, programs)


@pytest.fixture
def server(lasting: Server) -> Iterator[Server]:
    yield lasting
    shutil.rmtree(lasting.programs)
    lasting.programs.mkdir()


@pytest.fixture
def site(server: Server, tmp_path: Path) -> Deployment:
    """A site on that server, deployed once."""
    site = Deployment(tmp_path, sshd=server.sshd)
    write(site, "one")
    site.deploy()
    return site


def write(site: Deployment, version: str, *, pages: int = PAGES) -> None:
    """All pages, with the version in the menu and in the footer; what is between them does not compress well."""
    for number in range(pages):
        choose = random.Random(number)
        lines = [base64.b64encode(choose.randbytes(60)).decode() for _ in range(120)]
        body = "".join(f"<p>{line}</p>\n" for line in lines)
        menu = f"<html>\n<head>\n<title>page</title>\n</head>\n<body>\n<nav>menu of {version}</nav>\n"
        foot = f"<footer>\n<p>Built from {version} by somebody.</p>\n</footer>\n</body>\n</html>\n"
        site.write(f"chapter {number % 7}/{number}.html", f"{menu}<main>\n{body}</main>\n{foot}")


def deployed(site: Deployment, *, warned: bool = False) -> int:
    """Deploy; everything is right, and what changed has one new time. The bytes that were sent."""
    before = (
        {path.relative_to(site.target.resolve()): times for path, times in dated(site).items()} if site.live else {}
    )
    ended = site.run()
    assert ended.code == 0, ended.err
    assert (WARNING in ended.err) == warned, ended.err
    assert site.served() == tree(site.source)
    assert site.is_unlocked()
    after = {path.relative_to(site.target.resolve()): times for path, times in dated(site).items()}
    new = {time for path, time in after.items() if time != before.get(path)}
    assert len(new) == 1
    assert new.pop() > max(before.values())
    sent: int = ended.json["bytes_uploaded"]
    return sent


def dated(site: Deployment) -> dict[Path, int]:
    """The modification time of each live file, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in site.target.resolve().rglob("*") if path.is_file()}


def size_of(site: Deployment) -> int:
    return sum(path.stat().st_size for path in site.source.rglob("*.html"))


def is_little(site: Deployment, sent: int) -> bool:
    """Whether the pages did not travel: base64 compresses to three quarters."""
    return sent < 0.1 * size_of(site)


# --- what travels ------------------------------------------------------------------------------------------------------


def test_little_travels_again_and_again(site: Deployment) -> None:
    """From the second deploy on; what the host stores for it does not grow, and older releases stay as they were."""
    stores = []
    for version in ("two", "three", "four"):
        old = site.target.resolve()
        before = tree(old)
        write(site, version)
        assert is_little(site, deployed(site))
        assert tree(old) == before
        stores.append((site.record() / "signatures").stat().st_size)
    assert max(stores) < 2.5 * stores[0] < 0.05 * size_of(site)
    # Where there is less than a megabyte to gain, nothing is asked: a round trip would cost more.
    write(site, "four and more", pages=20)
    assert 0.05 * size_of(site) < deployed(site) < 0.15 * size_of(site)
    write(site, "five")
    assert is_little(site, deployed(site))


def test_everything_else_goes_as_ever(site: Deployment) -> None:
    """Beside the pages: new, moved, removed and executable files, odd names, links, and texts that are none any more."""
    site.settings["static.retain_assets"] = {"patterns": ["*.js"], "days": 1}
    site.static["shared"] = ["uploads"]
    for name in (
        "back\\slash.html",
        "line\nbreak.html",
        "run.cgi",
        "text.html",
        "same.css",
        "app.1.js",
        "d/moves.html",
    ):
        site.write(name, "<p>one</p>\n" * 99, 0o755 if name == "run.cgi" else 0o644)
    site.deploy()
    (site.target / "uploads" / "x").write_text("theirs")
    (site.source / "d").rename(site.source / "e")
    (site.source / "app.1.js").unlink()
    (site.source / "same.css").unlink()
    (site.source / "same.css").symlink_to("run.cgi")
    for name in ("back\\slash.html", "line\nbreak.html", "run.cgi", "app.2.js"):
        site.write(name, "<p>two</p>\n" * 99, 0o755 if name == "run.cgi" else 0o644)
    site.write("text.html", b"<p>one</p>\n" * 99 + b"\0\1")
    site.write(b"\xff.html", "not UTF-8")
    write(site, "two")

    ended = site.run()

    assert ended.code == 0, ended.err
    assert WARNING not in ended.err
    assert is_little(site, ended.json["bytes_uploaded"])
    live = site.served()
    assert live.pop(b"app.1.js")[1] == b"<p>one</p>\n" * 99
    assert live.pop(b"uploads")[0] == "link"
    assert live == tree(site.source)


def test_back_and_on(site: Deployment) -> None:
    """After a rollback, the release that is live again is what pages are rebuilt from."""
    write(site, "two")
    deployed(site)
    site.answer("rollback")
    write(site, "three")
    assert is_little(site, deployed(site))


# --- hosts -------------------------------------------------------------------------------------------------------------


def test_on_a_host_with_nothing_but_busybox(tmp_path: Path) -> None:
    """Its awk, its sha256sum, its xargs, and gzip instead of zstd; the user has no more rights than he needs."""
    with serve(Host("Alpine", user="deploy"), tmp_path) as (root, sshd):
        site = site_on(root, sshd, tmp_path)
        write(site, "one")
        site.deploy()
        write(site, "two")
        assert is_little(site, deployed(site))


@pytest.mark.parametrize("awk", ["mawk", "gawk", "original-awk"])
def test_with_another_awk(site: Deployment, server: Server, awk: str) -> None:
    """Whichever is behind the name."""
    program = need(awk, "to rebuild pages on the host")
    server.replace("awk", f'exec {program} "$@"')
    write(site, "two")
    assert is_little(site, deployed(site))


def test_without_awk(site: Deployment, server: Server) -> None:
    """All is sent whole, without a word; with an awk again, pages are rebuilt again."""
    server.replace("awk", "exit 127")
    write(site, "two")
    assert deployed(site) > 0.5 * size_of(site)
    (server.programs / "awk").unlink()
    write(site, "three")
    assert is_little(site, deployed(site))


def test_hosts_that_differ(tmp_path: Path) -> None:
    """One lost its signatures: it is sent whole pages, the others little; all end up the same."""
    with servers(tmp_path, 3) as members:
        site = Deployment(tmp_path / "site")
        site.configured = False
        site.static["target"] = "/www/site"
        fleet = Fleet(site, [replace(member, name="site") for member in members])
        fleet.configure()
        write(site, "one")
        first = site.deploy()
        write(site, "two")
        second = site.deploy()
        (fleet.members[1].state / "records" / fleet.members[1].live / "signatures").unlink()
        write(site, "three")
        third = site.deploy()
        assert [tree(member.target) for member in fleet.members] == [tree(site.source)] * 3
        times = [member.times() for member in fleet.members]
        assert times[0] == times[1] == times[2]
        assert second["bytes_uploaded"] < 0.1 * first["bytes_uploaded"]
        assert first["bytes_uploaded"] / 3 < third["bytes_uploaded"] < 0.45 * first["bytes_uploaded"]


# --- what is not as it was ---------------------------------------------------------------------------------------------


def test_signatures_that_are_lost_or_damaged(site: Deployment) -> None:
    """The pages are sent whole, and signed anew, so that the next deploy sends little again."""
    for damaged in (None, gzip.compress(b"deployer-signatures 9\n")):
        store = site.record() / "signatures"
        store.unlink()
        if damaged is not None:
            store.write_bytes(damaged)
        write(site, f"without {damaged!r}")
        assert deployed(site) > 0.5 * size_of(site)
        write(site, f"after {damaged!r}")
        assert is_little(site, deployed(site))


def test_signatures_that_lie(site: Deployment) -> None:
    """As if checksums had collided: SHA-256 tells on the host, and those files are sent whole in the same deploy."""
    store = site.record() / "signatures"
    known = decode(store.read_bytes())
    assert known
    wrong = {key: known[key][6:12] + known[key][:6] + known[key][12:] for key in list(known)[:40]}
    store.write_bytes(encode(known | wrong))
    write(site, "two")
    sent = deployed(site, warned=True)
    assert 0.1 * size_of(site) < sent < 0.5 * size_of(site)


def test_a_page_that_was_changed_behind_our_back(site: Deployment) -> None:
    """With the same size, time and inode, which the seal does not see: that page is sent whole, and no other."""
    page = site.target / "chapter 3/3.html"
    before = page.stat()
    page.write_bytes(page.read_bytes().replace(b"<p>", b"<q>"))
    os.utime(page, ns=(before.st_atime_ns, before.st_mtime_ns))
    write(site, "two")
    assert is_little(site, deployed(site, warned=True))


def test_an_awk_that_fails(site: Deployment, server: Server) -> None:
    """Whatever it leaves behind, what is not right is sent whole."""
    for name, text in {
        "at once": "exit 1",
        "in the middle": 'head -c 60000 | /usr/bin/awk "$@"; kill -9 $$',
        "one file is empty": '/usr/bin/awk "$@"; : >new/chapter\\ 3/3.html',
        "all are cut": '/usr/bin/awk "$@"; find new -name "*.html" -exec truncate -s 9 {} +',
    }.items():
        server.replace("awk", f'case "$*" in *getline*) {text}; exit;; esac\nexec /usr/bin/awk "$@"')
        write(site, name)
        assert is_little(site, deployed(site, warned=True)) == (name == "one file is empty")


def test_a_disk_that_fills_up(server: Server, tmp_path: Path) -> None:
    """Exit code 1, with the reason; the old release serves, and space is all that the next run needs."""
    need("busybox", "to fill a disk: its awk does not even notice")
    site = Deployment(tmp_path, sshd=server.sshd)
    with mounted("-t", "tmpfs", "-o", "size=6m,mode=755", "tmpfs", site.parent):
        fill_up(site, server)


def fill_up(site: Deployment, server: Server) -> None:
    write(site, "one")
    site.deploy()
    old = tree(site.source)
    filler = site.parent / "filler"
    about = os.statvfs(site.parent)
    filler.write_bytes(bytes(about.f_bavail * about.f_bsize - 600_000))
    lie = f'mkdir {site.directory}/once 2>/dev/null && echo /dev/x 99999999 1 99999999 1% / || exec /bin/df "$@"'
    server.replace("df", lie)
    server.replace("awk", 'exec busybox awk "$@"')
    write(site, "two")

    site.run().failed(1, "full")

    assert site.served() == old
    filler.unlink()
    deployed(site)


def test_kills(site: Deployment, server: Server) -> None:
    """SIGKILL while awk works, while its work is checked, and while the record is put in its place: the next run heals."""
    for program, pattern, victim in (
        ("awk", "*getline*", "client"),
        ("sha256sum", "'-c patched'", "session"),
        ("mv", "*/record\\ *", "session"),
    ):
        waits, goes = (site.directory / f"{program}-{does}" for does in ("waits", "goes"))
        wait = f": >{waits}; n=0; until [ -e {goes} ] || [ $n = 3000 ]; do n=$((n + 1)); sleep 0.02; done"
        server.replace(program, f'case "$*" in {pattern}) {wait};; esac\nexec /usr/bin/{program} "$@"')
        old = site.served()
        write(site, f"killed in {program}")
        site.configure()
        command = [sys.executable, "-m", "deployer", "run", "--json"]
        with subprocess.Popen(
            command, cwd=site.directory, env=site.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as client:
            assert wait_until(waits.exists, 60)
            for pid in [client.pid] if victim == "client" else [*server.sshd.processes()]:
                send(pid, signal.SIGKILL)
            goes.touch()
        assert site.served() == old
        (server.programs / program).unlink()
        assert is_little(site, deployed(site))
