"""Files that are written whole or not at all, and never over another."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

__all__ = ["write_new"]

# link(2) on file systems that have no hard links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def write_new(file: Path, text: str) -> bool:
    """Write a file that is not there yet, with the folders above it; False, and nothing changed, when its name is taken.

    Raises OSError.
    """
    if os.path.lexists(file):
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(6)}")
    try:
        _write(draft, text)
        # The complete file gets its name in one step, and only if nothing has it: a rename would replace what is there.
        os.link(draft, file, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _write_in_place(file, text)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
    return True


def _write_in_place(file: Path, text: str) -> bool:
    try:
        _write(file, text)
    except FileExistsError:
        return False
    return True


def _write(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
