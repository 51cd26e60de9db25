"""Where the deployer that runs came from, so that a workflow installs the very same."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from deployer.init.repository import parse_remote, run_git

__all__ = ["requirement"]

_PACKAGE = "deployer"
_HERE = Path(__file__).parents[1]


def requirement() -> str:
    """What pip is to install to get the deployer that runs now; the empty text when nobody knows.

    From the record that pip keeps of direct installs (PEP 610), from the checkout that it runs in, or by its version
    where it came from an index.
    """
    try:
        distribution = importlib.metadata.distribution(_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return _of_checkout(_HERE.parent)
    record = distribution.read_text("direct_url.json")
    if record is None:
        installed = Path(str(distribution.locate_file(f"{_PACKAGE}/__init__.py")))
        # What runs may be a checkout, with something else of this name installed.
        ours = installed.exists() and installed.samefile(_HERE / "__init__.py")
        return f"{_PACKAGE}=={distribution.version}" if ours else _of_checkout(_HERE.parent)
    try:
        return _of_record(json.loads(record))
    except (ValueError, TypeError, KeyError, AttributeError):
        return ""


def _of_record(record: dict[str, Any]) -> str:
    url = str(record["url"])
    if "vcs_info" in record:
        remote = parse_remote(url)
        return f"git+{remote.url}@{record['vcs_info']['commit_id']}" if remote else ""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _of_checkout(Path(unquote(parts.path)))
    return url if parts.scheme == "https" and "@" not in parts.netloc else ""


def _of_checkout(folder: Path) -> str:
    """The commit that is checked out, if its remote has it too: nothing else can be fetched by others."""
    if not (folder / _PACKAGE / "__init__.py").is_file():
        return ""
    remote = parse_remote(run_git(folder, "remote", "get-url", "origin"))
    commit = run_git(folder, "rev-parse", "--verify", "HEAD^{commit}")
    if remote is None or not commit or not run_git(folder, "branch", "--remotes", "--contains", commit):
        return ""
    return f"git+{remote.url}@{commit}"
