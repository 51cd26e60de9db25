"""Texts from outside in GitHub's Markdown, where they stay texts: no markup, no link, nobody mentioned. All pure.

Code spans and fenced blocks are what GitHub's Markdown reads nothing in (GitHub Flavored Markdown Spec, 6.3 and 4.5), as
long as they are longer than every run of back-quotes inside. Long texts are cut, so that one cannot crowd out the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from deployer.reporting.text import visible

__all__ = ["LONGEST", "cell", "cells", "code", "fenced", "folded", "link", "plain"]

LONGEST = 500
"""Characters of one text, or of one line."""
_URL = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&*+,;=%-]+")
_LONGEST_NAME = 63


def code(text: str) -> str:
    """A code span that holds ``text`` and nothing else; the empty text stays empty. For a table, see ``cell``."""
    safe = _short(text)
    if not safe.strip():
        return ""
    marks = "`" * (_longest_run(safe) + 1)
    # GitHub takes one space away from both ends, where both have one.
    space = " " if "`" in (safe[0], safe[-1]) or safe[0] == safe[-1] == " " else ""
    return f"{marks}{space}{safe}{space}{marks}"


def cell(text: str) -> str:
    """A code span for a table's cell, which a ``|`` would end even there (GitHub Flavored Markdown Spec, 4.10)."""
    return code(text).replace("|", "\\|")


def fenced(lines: Iterable[str], language: str = "") -> str:
    """A fenced block of these lines, each made safe for one line."""
    text = "\n".join(_short(line[:LONGEST].expandtabs() + line[LONGEST:]) for line in lines)
    marks = "`" * max(3, _longest_run(text) + 1)
    return f"{marks}{language}\n{text}\n{marks}\n"


def folded(title: str, body: str, *, shown: bool = False) -> str:
    """``body`` below a ``title`` to click on, both Markdown already; ``shown`` from the beginning."""
    return f"<details{' open' if shown else ''}><summary>{title}</summary>\n\n{body}\n</details>\n"


def link(url: str) -> str:
    """The URL as a link, if it is an ordinary one; else as a text for a table's cell."""
    return f"<{url}>" if len(url) <= LONGEST and _URL.fullmatch(url) else cell(url)


def plain(text: str) -> str:
    """A name without markup, for a heading: the characters that an app's name may have stay, others go."""
    return re.sub(r"[^A-Za-z0-9-]", "", text[:LONGEST])[:_LONGEST_NAME]


def cells(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """A table; cells are Markdown already."""
    lines = ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n"


def _short(text: str) -> str:
    """Cut before it is made visible, which costs time, and after, which may have made it longer."""
    safe = visible(text[:LONGEST])
    return safe if len(text) <= LONGEST and len(safe) <= LONGEST else safe[: LONGEST - 1] + "…"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
