"""Texts from outside in GitHub's Markdown, where they stay texts: no markup, no link, nobody mentioned. All pure.

Code spans and fenced blocks are what GitHub's Markdown reads nothing in (GitHub Flavored Markdown Spec, 6.3 and 4.5), as
long as they are longer than every run of back-quotes inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from deployer.reporting.text import visible

__all__ = ["cells", "code", "fenced", "link", "plain"]

_URL = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&*+,;=%-]+")


def code(text: str) -> str:
    """A code span that holds ``text`` and nothing else; the empty text stays empty. Fit for a table's cell."""
    safe = visible(text).replace("|", "\\|")
    if not safe.strip():
        return ""
    marks = "`" * (_longest_run(safe) + 1)
    space = " " if safe.startswith("`") or safe.endswith("`") else ""
    return f"{marks}{space}{safe}{space}{marks}"


def fenced(lines: Iterable[str], language: str = "") -> str:
    """A fenced block of these lines, each made safe for one line."""
    text = "\n".join(visible(line.expandtabs()) for line in lines)
    marks = "`" * max(3, _longest_run(text) + 1)
    return f"{marks}{language}\n{text}\n{marks}\n"


def link(url: str) -> str:
    """The URL as a link, if it is an ordinary one; else as a text."""
    return f"<{url}>" if _URL.fullmatch(url) else code(url)


def plain(text: str) -> str:
    """A few words without markup, for a heading: letters, digits and the marks of releases stay, others go."""
    return re.sub(r"[^\w .,:/()-]", "", visible(text)).replace("_", "\\_")


def cells(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """A table; cells are Markdown already."""
    lines = ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
