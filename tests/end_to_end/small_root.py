"""Servers of other kinds: a real sshd in a mount namespace of its own, whose sessions see another root directory.

The root is a directory on this machine, so a test looks at the host's files as ``root/www/site``, which are ``/www/site``
for the host. Everything that only the namespace has ends with its last process; root's rights are needed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.conftest import need
from tests.end_to_end.deployment import Deployment
from tests.end_to_end.faults import ext4
from tests.sshd import Sshd, sshd_for_tests

__all__ = ["Server", "serve", "site_on"]

DEPLOY = 4321  # user and group of the ordinary user, who has no rights but to what is his
MERGED = (
    "bin",
    "sbin",
    "lib",
    "lib32",
    "lib64",
    "libx32",
)  # links into usr on newer systems, directories on older ones
GROUPS = f"root:x:0:\ndeploy:x:{DEPLOY}:\n"
# Runs in the new namespace: nothing of it is seen, or stays, outside. ChrootDirectory wants a path that only root can
# write to, which no temporary directory has; /mnt is there on every Debian.
ENTER = """\
set -e
root=$1 noexec=$2
shift 2
mount --bind "$root/etc/passwd.sshd" /etc/passwd
mount --rbind "$root" /mnt
for directory in /proc /dev /usr /bin /sbin /lib /lib32 /lib64 /libx32; do
    [ -L "/mnt$directory" ] || [ ! -e "/mnt$directory.mount" ] || mount --rbind "$directory" "/mnt$directory"
done
for directory in $noexec; do
    owner=$(stat -c 'uid=%u,gid=%g,mode=%a' "/mnt$directory")
    mount -t tmpfs -o "noexec,nosuid,nodev,size=8m,$owner" tmpfs "/mnt$directory"
done
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Server:
    """What a server is like.

    ``system``: Debian is this machine's programs, Alpine nothing but BusyBox. ``without`` are programs that it has not.
    ``user`` is root or deploy, whom nothing but ``/www`` and his home belongs to; ``noexec``: nothing in his home and in
    ``/tmp`` can be run; ``bare``: he has no home, and there is no ``/tmp``. ``proc``: whether ``/proc`` is mounted.
    ``www`` is what ``/www`` is: a directory, another file system, or a link to one elsewhere.
    """

    system: Literal["Debian", "Alpine"] = "Debian"
    without: tuple[str, ...] = ()
    user: Literal["root", "deploy"] = "root"
    noexec: bool = False
    bare: bool = False
    proc: bool = True
    www: Literal["directory", "tmpfs", "ext4", "link"] = "directory"


@contextlib.contextmanager
def serve(server: Server, directory: Path) -> Iterator[tuple[Path, Sshd]]:
    """Run such a server; its root directory, which is below ``directory``, and its sshd."""
    need("root", "to give an sshd a root directory of its own", present=os.geteuid() == 0)
    unshare = need("unshare", "to mount without anybody seeing it")
    root = directory / "root"
    _make_root(root, server.system)
    if server.bare:
        (root / "tmp").rmdir()
        (root / "home/deploy").rmdir()
    if not server.proc:
        (root / "proc.mount").unlink()
    with _www(root, server.www):
        if server.user == "deploy":
            os.chown(root / "www", DEPLOY, DEPLOY)
        config = ["ChrootDirectory /mnt", "AuthorizedKeysFile /mnt/etc/authorized_keys"]
        if server.without:
            config.append(f"SetEnv PATH={_programs(root, server.without)}")
        noexec = "/tmp /home/deploy" if server.noexec else ""
        enter = [unshare, "--mount", "--propagation", "private", "sh", "-c", ENTER, "enter", str(root), noexec]
        with sshd_for_tests(directory, config=config, host_key_types=("ed25519",), before=enter) as sshd:
            (root / "etc/authorized_keys").write_bytes(sshd.authorized_keys.read_bytes())
            sshd.user = server.user
            yield root, sshd


def site_on(root: Path, sshd: Sshd, directory: Path) -> Deployment:
    """The site ``/www/site`` of that server, by its paths on this machine."""
    site = Deployment(directory, sshd=sshd)
    site.parent = root / "www"
    site.target = site.parent / "site"
    site.root = site.parent / ".deployer" / "site"
    site.state = site.root / "state"
    site.static["target"] = "/www/site"
    return site


def _make_root(root: Path, system: str) -> None:
    for name in ("etc", "proc", "dev", "tmp", "root", "home/deploy", "bin", "srv/disk"):
        (root / name).mkdir(parents=True)
    root.chmod(0o755)
    (root / "tmp").chmod(0o1777)
    os.chown(root / "home/deploy", DEPLOY, DEPLOY)
    users = f"root:x:0:0::/root:/bin/sh\ndeploy:x:{DEPLOY}:{DEPLOY}::/home/deploy:/bin/sh\n"
    (root / "etc/passwd").write_text(users)
    (root / "etc/group").write_text(GROUPS)
    # What sshd itself reads before it enters the root: it needs its own user, and these two's shell.
    others = [
        line for line in Path("/etc/passwd").read_text().splitlines(keepends=True) if not line.startswith("root:")
    ]
    (root / "etc/passwd.sshd").write_text(users + "".join(others))
    _to_mount(root, "proc", "dev")
    if system == "Alpine":
        busybox = need("busybox", "to be a host without GNU programs")
        (root / "bin/busybox").write_bytes(Path(busybox).read_bytes())
        (root / "bin/busybox").chmod(0o755)
        subprocess.run(["chroot", root, "/bin/busybox", "--install", "-s", "/bin"], check=True)
        return
    need("dash", "to be the host's sh")
    if Path("/etc/alternatives").is_dir():  # where awk's name leads
        shutil.copytree("/etc/alternatives", root / "etc/alternatives", symlinks=True)
    (root / "bin").rmdir()
    (root / "usr").mkdir()
    _to_mount(root, "usr")
    for name in MERGED:
        here = Path("/", name)
        if here.is_symlink():
            (root / name).symlink_to(here.readlink())
        elif here.is_dir():
            (root / name).mkdir()
            _to_mount(root, name)


def _to_mount(root: Path, *names: str) -> None:
    for name in names:
        (root / f"{name}.mount").touch()


def _programs(root: Path, without: tuple[str, ...]) -> str:
    """The only PATH of a host that lacks programs: links to all others."""
    directory = root / "programs"
    directory.mkdir()
    for folder in ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for program in Path(folder).iterdir() if Path(folder).is_dir() else ():
            link = directory / program.name
            if program.name not in without and not link.is_symlink():
                link.symlink_to(program)
    return "/programs"


@contextlib.contextmanager
def _www(root: Path, kind: str) -> Iterator[None]:
    """Make ``/www`` of that kind. Another file system is mounted for everybody: the test looks into it, too."""
    www = root / "www"
    if kind == "link":
        (root / "srv/disk/www").mkdir()
        www.symlink_to("srv/disk/www")
    else:
        www.mkdir()
    if kind in ("directory", "link"):
        yield
        return
    mount = need("mount", "to have another file system")
    what = ["-t", "tmpfs", "-o", "size=64m,mode=755", "tmpfs"]
    if kind == "ext4":
        what = ["-t", "ext4", "-o", "loop", str(ext4(root.parent / "disk.img", megabytes=64))]
    mounted = subprocess.run([mount, *what, www], check=False, capture_output=True)
    need("the right to mount", f"to have a {kind}", present=mounted.returncode == 0)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", www], check=True)
