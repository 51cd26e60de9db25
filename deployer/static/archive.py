"""A source that is an archive: unpacked within bounds, and with nothing in it that a site's own files would not have.

The formats: POSIX.1-1988 ustar and POSIX.1-2001 pax (``tar``, gzip as in RFC 1952), and PKWARE's APPNOTE.TXT (``zip``).
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import shutil
import stat
import struct
import tarfile
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Self, cast

from deployer.static.manifest import Manifest
from deployer.static.scan import scan
from deployer.static.unpacking import LIMITS, Limits, Unpacking

__all__ = ["is_archive", "private_directory", "unpack", "unpack_and_scan"]

SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")
READ_SIZE = 1 << 18
HEADER_SIZE = 1 << 18
"""Bytes that one member's header may have, extended ones with their names and attributes included."""
ZIP_DIRECTORY_SIZE = 64 << 20
"""Bytes of a zip's central directory, which is read at once: about 600,000 entries."""
LINK_SIZE = 4096
GZIP_MAGIC = b"\x1f\x8b"
UNIX, MACOS = 3, 19
"""Who made a zip entry, where its attributes hold a Unix mode (APPNOTE 4.4.2.2)."""
ENCRYPTED, UTF8_NAME = 0x1 | 0x40 | 0x2000, 0x800
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What the readers of the standard library raise for bytes that make no sense.
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    gzip.BadGzipFile,
    EOFError,
    ValueError,
    OverflowError,
    RecursionError,
    NotImplementedError,
)


def is_archive(source: Path) -> bool:
    """Whether ``source`` is a file whose name is that of an archive; a directory of such a name is a directory."""
    return source.name.lower().endswith(SUFFIXES) and source.is_file()


def private_directory(owner: object) -> Path:
    """A new directory, mode 0700, that is removed with its contents when ``owner`` goes or the program ends."""
    directory = tempfile.mkdtemp(prefix="deployer-source-")
    weakref.finalize(owner, shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)


def unpack(archive: Path, into: Path, progress: Callable[[int], None], limits: Limits = LIMITS) -> None:
    """Unpack ``archive`` into the empty directory ``into``; ``progress`` gets the bytes so far.

    Memory does not grow with the members' sizes. Raises InvalidInput that names the member for whatever leads out of
    the archive, is no file, link or directory, comes twice, is encrypted, damaged or larger than ``limits`` allow, and
    DeployFailed when this machine cannot hold it. What was unpacked until then stays in ``into``.
    """
    try:
        unpacking = Unpacking(archive, into, progress, limits)
        reader = _unpack_zip if archive.name.lower().endswith(".zip") else _unpack_tar
        reader(archive, unpacking)
    except OSError as error:
        raise Unpacking.unreadable(archive, error) from error
    if not unpacking.files:
        raise unpacking.refusal("holds no files, and deploying it would take the site away", "")


def unpack_and_scan(archive: Path, into: Path, exclude: tuple[str, ...], progress: Callable[[int], None]) -> Manifest:
    """:func:`unpack`, then :func:`scan` what came out of it: the site's own files have to pass there as well."""
    unpack(archive, into, progress)
    return scan(into, exclude, progress)


def _unpack_tar(archive: Path, unpacking: Unpacking) -> None:
    with archive.open("rb") as raw, contextlib.ExitStack() as opened:
        zipped = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        raw.seek(0)
        stream = cast("IO[bytes]", opened.enter_context(gzip.GzipFile(fileobj=raw)) if zipped else raw)
        source = _Forward(stream, unpacking)
        try:
            with tarfile.TarFile(
                fileobj=cast("IO[bytes]", source), tarinfo=_Member, encoding="utf-8", errors="surrogateescape"
            ) as members:
                while (member := members.next()) is not None:
                    _unpack_tar_member(member, source, unpacking)
                    # The library keeps both for ever.
                    cast("Any", members).members.clear()
                    members.pax_headers = {}
            source.drain()
        except _DAMAGE as error:
            raise unpacking.damaged(error) from error


def _unpack_tar_member(member: tarfile.TarInfo, source: _Forward, unpacking: Unpacking) -> None:
    path = unpacking.path(member.name)
    if member.isdir():
        unpacking.directory(path)
    elif member.issym():
        unpacking.link(path, member.linkname)
    elif member.islnk():
        unpacking.hard_link(path, member.linkname)
    elif member.isreg() and not member.issparse():
        unpacking.expect(member.size)
        written = unpacking.file(path, bool(member.mode & 0o100), source.pieces(member.size))
        if written != member.size:
            raise EOFError("the archive ends inside a member")
    else:
        raise unpacking.refusal("is neither a plain file, a directory nor a link")


class _Member(tarfile.TarInfo):
    """A member whose header must be one: the library takes a damaged or missing header for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the zeros that end an archive
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"there is no header where one must be: {error}") from error


class _Forward:
    """An archive's bytes, read from its begin to its end, counted, and never many at once."""

    def __init__(self, stream: IO[bytes], unpacking: Unpacking) -> None:
        self._stream = stream
        self._unpacking = unpacking
        self._position = 0

    def read(self, size: int) -> bytes:
        """The next bytes; fewer only at the end."""
        if size > HEADER_SIZE:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        data = self._stream.read(size)
        self._position += len(data)
        self._unpacking.count(len(data))
        return data

    def tell(self) -> int:
        """Bytes read so far."""
        return self._position

    def seek(self, position: int) -> None:
        """Read on to ``position``, or to the end."""
        if position < self._position:
            raise tarfile.ReadError("a member begins before the end of another")
        for _ in self.pieces(position - self._position):
            pass

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next ``size`` bytes; fewer only at the end."""
        while size and (data := self.read(min(size, READ_SIZE))):
            size -= len(data)
            yield data

    def drain(self) -> None:
        """Read what is left, because gzip's check sum comes last."""
        while self.read(READ_SIZE):
            pass


def _unpack_zip(archive: Path, unpacking: Unpacking) -> None:
    with _BoundedFile(io.FileIO(archive)) as file:
        try:
            with zipfile.ZipFile(file) as zipped:
                for member in zipped.infolist():
                    _unpack_zip_member(member, zipped, unpacking)
        except _DAMAGE as error:
            raise unpacking.damaged(error) from error


def _unpack_zip_member(member: zipfile.ZipInfo, zipped: zipfile.ZipFile, unpacking: Unpacking) -> None:
    name = _zip_name(member)
    path = unpacking.path(name)
    if member.flag_bits & ENCRYPTED:
        raise unpacking.refusal("is encrypted")
    if "\\" in name:
        raise unpacking.refusal("has a backslash in its name, where a zip must have '/'")
    mode = member.external_attr >> 16 if member.create_system in {UNIX, MACOS} else 0
    kind = stat.S_IFMT(mode)
    if name.endswith("/") and kind in {0, stat.S_IFDIR}:
        unpacking.directory(path)
        return
    if kind not in {0, stat.S_IFREG, stat.S_IFLNK} or name.endswith("/"):
        raise unpacking.refusal("is neither a plain file, a directory nor a link")
    if member.compress_type not in METHODS:
        raise unpacking.refusal("is packed by another method than 'deflate'")
    unpacking.expect(member.file_size)
    with zipped.open(member) as contents:
        if kind == stat.S_IFLNK:
            unpacking.link(path, os.fsdecode(contents.read(LINK_SIZE + 1)))
        elif unpacking.file(path, bool(mode & 0o100), _counted(contents, unpacking)) != member.file_size:
            raise zipfile.BadZipFile("a file has another size than the directory says")


def _counted(contents: IO[bytes], unpacking: Unpacking) -> Iterator[bytes]:
    while data := contents.read(READ_SIZE):
        unpacking.count(len(data))
        yield data


def _zip_name(member: zipfile.ZipInfo) -> str:
    """The name: UTF-8 where it says so or happens to be (macOS does not say), else the old code page 437."""
    name = member.orig_filename
    if member.flag_bits & UTF8_NAME:
        return name
    with contextlib.suppress(UnicodeError):
        return name.encode("cp437").decode("utf-8")
    return name


class _BoundedFile(io.BufferedReader):
    """A zip as a file: the library reads its whole directory at once, however large it claims to be."""

    def read(self, size: int | None = -1, /) -> bytes:
        """As any file's, within the bound."""
        if size is None or size < 0:
            size = ZIP_DIRECTORY_SIZE
        if size > ZIP_DIRECTORY_SIZE:
            raise zipfile.BadZipFile(f"its directory has more than {ZIP_DIRECTORY_SIZE >> 20} MiB")
        return super().read(size)
