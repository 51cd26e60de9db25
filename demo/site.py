"""A small made-up site in three versions: the first, a good second, and a third whose front page is broken."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

__all__ = ["ARTICLES", "GREETING", "front_page_says", "write_site"]

ARTICLES = 180
PICTURES = 20
GREETING = "Welcome to the demo site"
_WORDS = (
    "a an the and or but if when while server page deploy release link file byte switch old new whole half reader visit"
    " nothing something always never fast slow small large early late serves reads writes keeps moves waits asks answers"
).split()


def write_site(folder: Path, version: int) -> int:
    """Write the version into ``folder``, replacing what is there, as a build would; return the number of files.

    The contents depend on nothing but the version. From 2 on, ten articles are changed, one is new, one has another
    name, and one is gone. Version 3's front page has lost its greeting.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pictures").mkdir(parents=True)
    later = version >= 2
    for number in range(ARTICLES):
        if later and number == ARTICLES - 1:
            continue
        name = "renamed" if later and number == ARTICLES - 2 else f"article-{number:03}"
        edition = 2 if later and number % 18 == 1 else 1
        (folder / f"{name}.html").write_text(_page(f"Article {number}", _prose(number, edition)), "utf-8")
    if later:
        (folder / "news.html").write_text(_page("News", _prose(1000, 1)), "utf-8")
    for number in range(PICTURES):
        (folder / "pictures" / f"{number:02}.bin").write_bytes(random.Random(number).randbytes(20_000))
    (folder / "style.css").write_text("body { max-width: 40em; margin: auto }\n", "utf-8")
    greeting = GREETING if version < 3 else "Internal error: no template"
    (folder / "index.html").write_text(_page(f"{greeting}, version {version}", _prose(2000, version)), "utf-8")
    return sum(path.is_file() for path in folder.rglob("*"))


def front_page_says(body: str) -> str:
    """The heading of a page."""
    return body.partition("<h1>")[2].partition("</h1>")[0]


def _page(title: str, text: str) -> str:
    head = f'<!doctype html>\n<html lang="en">\n<head><title>{title}</title><link rel="stylesheet" href="style.css"></head>'
    return f"{head}\n<body>\n<h1>{title}</h1>\n{text}</body>\n</html>\n"


def _prose(number: int, edition: int) -> str:
    draw = random.Random(f"{number}/{edition}")
    paragraphs = (" ".join(draw.choices(_WORDS, k=80)) for _ in range(4))
    return "".join(f"<p>{paragraph}</p>\n" for paragraph in paragraphs)
