"""Which output GitHub would withhold. All pure.

GitHub drops a job's output that contains a secret ("Defining outputs for jobs"), without a word to whoever needs it. A step
is not told what is a secret, but the workflow file says which inputs come from one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

__all__ = ["secret_in", "workflow_file"]

_LINE = re.compile(r"^\s*([a-z-]+)\s*:.*\$\{\{[^}]*\bsecrets\s*[.\[]", re.MULTILINE)


def workflow_file(environment: Mapping[str, str]) -> PurePosixPath | None:
    """Where in the workspace the running workflow's file is, by GITHUB_WORKFLOW_REF (owner/name/PATH@REF)."""
    repository, reference = environment.get("GITHUB_REPOSITORY", ""), environment.get("GITHUB_WORKFLOW_REF", "")
    path = reference.partition("@")[0]
    if not repository or not path.startswith(f"{repository}/"):
        return None
    return PurePosixPath(path.removeprefix(f"{repository}/"))


def secret_in(value: str, workflow: str, given: Mapping[str, str]) -> str:
    """The input that ``workflow`` takes from a secret and whose text is part of ``value``; empty: none is.

    ``given``: what each input is.
    """
    for name in dict.fromkeys(_LINE.findall(workflow)):
        text = given.get(name, "").strip()
        # A host may be put together of several: [user@]address[:port].
        parts = re.split(r"[@:,\s]+", text) if name == "host" else [text]
        if any(part and part in value for part in parts):
            return str(name)
    return ""
