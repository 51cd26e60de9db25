"""Where an archive's members are put: a private directory, every name checked, every byte counted, nothing overwritten."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from deployer.errors import DeployerError, DeployFailed, InvalidInput

__all__ = ["LIMITS", "Limits", "Unpacking"]

KNOWN_FOLDERS = 4096
"""Folders that are remembered as made, so that memory stays the same for archives of any size."""
LONGEST_SHOWN = 120
FULL = (errno.ENOSPC, errno.EDQUOT)

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may become, checked while it is unpacked: what its headers claim is not believed.

    ``entries`` counts files, links and directories, those that no member names too. ``size`` is bytes in all, and so is
    ``ratio`` times the archive's size, which holds beyond ``ratio_free`` bytes. ``path`` and ``name`` are bytes of a
    whole path and of one component; ``depth`` is components.
    """

    entries: int = 1_000_000
    size: int = 64 << 30
    ratio: int = 200
    ratio_free: int = 256 << 20
    path: int = 3072
    name: int = 255
    depth: int = 256


LIMITS = Limits()


class Unpacking:
    """The members of ``archive`` on their way into the empty directory ``into``, which nobody else writes into.

    ``progress`` gets the bytes counted so far. All methods raise InvalidInput that names the member, or DeployFailed
    when this machine cannot hold it.
    """

    def __init__(self, archive: Path, into: Path, progress: Callable[[int], None], limits: Limits = LIMITS) -> None:
        self.files = 0
        self._archive = archive
        self._into = str(into)
        self._progress = progress
        self._limits = limits
        by_ratio = max(archive.stat().st_size * limits.ratio, limits.ratio_free)
        self._room = min(limits.size, by_ratio)
        self._entries = 0
        self._counted = 0
        self._last = ""
        self._folders: set[str] = set()

    @staticmethod
    def unreadable(archive: Path, error: OSError) -> InvalidInput:
        """The error for an archive that the system does not let us read."""
        return InvalidInput(f"cannot read static.source {str(archive)!r}: {error.strerror or error}")

    def refusal(self, reason: str, name: str | None = None) -> InvalidInput:
        """The error that names a member, by default the one that is being unpacked; the archive where it is empty."""
        name = self._last if name is None else name
        subject = f"{_shown(name)} in {str(self._archive)!r}" if name else repr(str(self._archive))
        hint = "Nothing was deployed. Make the archive anew, from the site's own files."
        return InvalidInput(f"static.source: {subject} {reason}", hint=hint)

    def damaged(self, error: Exception) -> InvalidInput:
        """The error for bytes that are no archive, or for an archive that ends too early."""
        where = f", at or behind {_shown(self._last)}" if self._last else ""
        return self.refusal(f"is damaged or cut off{where}: {error}", "")

    def count(self, size: int) -> None:
        """Bytes came out of the archive."""
        self._counted += size
        if self._counted > self._room:
            raise self._too_large()
        self._progress(self._counted)

    def expect(self, size: int) -> None:
        """A member claims this size: refuse now what would be refused later."""
        if self._counted + size > self._room:
            raise self._too_large()

    def path(self, name: str) -> str:
        """The member's path, relative and without needless parts; empty for the top itself."""
        self._last = name
        if name.startswith("/"):
            raise self.refusal("is an absolute path")
        if "\0" in name:
            raise self.refusal("has a NUL character in its name")
        parts = _parts(name)
        if ".." in parts:
            raise self.refusal("leads out of it with '..'")
        limits = self._limits
        if len(os.fsencode(name)) > limits.path or any(len(os.fsencode(part)) > limits.name for part in parts):
            raise self.refusal(f"has a name longer than {limits.name} bytes, or {limits.path} with its folders")
        if len(parts) > limits.depth:
            raise self.refusal(f"is more than {limits.depth} folders deep")
        return "/".join(parts)

    def directory(self, path: str) -> None:
        """Make a directory and those above it, unless they are there."""
        if path in self._folders:
            return
        made = self._into
        for part in _parts(path):
            made = f"{made}/{part}"
            try:
                Path(made).mkdir(0o755)
            except FileExistsError:
                # Never through a link, wherever it leads.
                if not stat.S_ISDIR(os.lstat(made).st_mode):
                    raise self.refusal("needs a folder where the archive has a file or a link") from None
            except OSError as error:
                raise self._failure(error) from error
            else:
                self._one_more()
        if len(self._folders) >= KNOWN_FOLDERS:
            self._folders.clear()
        self._folders.add(path)

    def file(self, path: str, executable: bool, pieces: Iterable[bytes]) -> int:
        """Write a file and return its size; setuid, setgid and sticky bits are never set."""
        mode = 0o755 if executable else 0o644
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | getattr(os, "O_CLOEXEC", 0)
        descriptor = self._place(path, lambda location: os.open(location, flags, mode))
        size = 0
        try:
            os.fchmod(descriptor, mode)
            for piece in pieces:
                self._write(descriptor, piece)
                size += len(piece)
        finally:
            os.close(descriptor)
        return size

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link that stays inside, by its text."""
        climbs = os.path.normpath(os.path.join(os.path.dirname(path), target)).split("/")[0] == ".."
        if not target or target.startswith("/") or "\0" in target or climbs:
            raise self.refusal(f"is a link to {_shown(target)}, which leads out of it")
        self._place(path, lambda location: Path(location).symlink_to(target))

    def hard_link(self, path: str, target: str) -> None:
        """Link to a file that was unpacked before."""
        parts = _parts(target)
        existing = "/".join((self._into, *parts))
        found = False
        if not target.startswith("/") and ".." not in parts and parts and "\0" not in target:
            self.directory("/".join(parts[:-1]))
            with contextlib.suppress(FileNotFoundError):
                found = stat.S_ISREG(os.lstat(existing).st_mode)
        if not found:
            raise self.refusal(f"is a hard link to {_shown(target)}, which is no file that comes before it")
        self._place(path, lambda location: os.link(existing, location))

    def _place(self, path: str, make: Callable[[str], Made]) -> Made:
        if not path:
            raise self.refusal("is the top of the archive, but no directory")
        self.directory(os.path.dirname(path))
        self._one_more()
        self.files += 1
        try:
            return make(f"{self._into}/{path}")
        except FileExistsError:
            raise self.refusal("is in the archive twice") from None
        except OSError as error:
            raise self._failure(error) from error

    def _write(self, descriptor: int, piece: bytes) -> None:
        left = memoryview(piece)
        try:
            while left:
                left = left[os.write(descriptor, left) :]
        except OSError as error:
            raise self._failure(error) from error

    def _one_more(self) -> None:
        self._entries += 1
        if self._entries > self._limits.entries:
            raise self.refusal(f"is one too many: an archive may have {self._limits.entries:,} entries")

    def _too_large(self) -> InvalidInput:
        limits = self._limits
        bound = f"{limits.ratio} times its own size, or to {limits.ratio_free:,} bytes if that is more"
        if self._room == limits.size:
            bound = f"{limits.size:,} bytes"
        return self.refusal(f"is too large: an archive may unpack to {bound}")

    def _failure(self, error: OSError) -> DeployerError:
        if error.errno not in FULL:
            return self.refusal(f"cannot be unpacked here: {error.strerror}")
        message = f"no space left in {os.path.dirname(self._into)} to unpack static.source {str(self._archive)!r}"
        return DeployFailed(message, hint="Free some space, or let TMPDIR name a directory on a larger disk.")


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in {"", "."}]


def _shown(name: str) -> str:
    return repr(name if len(name) <= LONGEST_SHOWN else name[:LONGEST_SHOWN] + "…")
