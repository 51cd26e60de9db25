"""A made web site: small pages with a shared footer beside incompressible files, the same bytes for the same seed.

Its proportions follow a real documentation site: a solid zstd stream of its pages needs about 1.7 kB a page.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Shape", "Site", "digest"]

SYLLABLES = "ba con de dis en er fi ga in ka lo ma ment ni or per qua re sta ti tion ul ver wi xe yo zu".split()
COMMON = "the of and a to in is that it for as with was on be by this are or from at which not but can have".split()
STYLE = "".join(
    f".{name}{{margin:{size}px auto;padding:{size // 2}px;color:#{size:02x}3{size:02x}4;font:{size}px/1.6 serif}}\n"
    for name, size in zip(
        ["page", "head", "menu", "note", "code", "side", "list", "foot"], range(8, 40, 4), strict=True
    )
)
SCRIPT = (
    "document.querySelectorAll('pre').forEach(function(block){var button=document.createElement('button');"
    "button.textContent='Copy';button.addEventListener('click',function(){navigator.clipboard.writeText("
    "block.textContent)});block.prepend(button)});\n"
)
MENU = "".join(f'<li><a href="/chapter-{number:02d}/">Chapter {number}</a></li>\n' for number in range(1, 21))
FILE_SIZE_SPREAD = (0.25, 1.75)


@dataclass(frozen=True, slots=True)
class Shape:
    """How much site to make: numbers of files, and mean sizes in bytes of a page's own text and of a binary file."""

    pages: int = 8_000
    binaries: int = 2_000
    text_size: int = 4_200
    binary_size: int = 51_500

    @property
    def files(self) -> int:
        """How many files there are in all."""
        return self.pages + self.binaries


@dataclass
class Site:
    """The site in a folder, and its history of builds; every change gives all files fresh modification times.

    ``first_build`` is the modification time of the first build in seconds since 1970; each later build is 10 s newer.
    """

    root: Path
    shape: Shape
    first_build: int
    seed: int = 1
    build: int = field(default=0, init=False)
    footer: bytes = field(default=b"", init=False)
    changed: tuple[Path, ...] = field(default=(), init=False)

    def make(self) -> None:
        """Write every file; whatever was in the folder is removed first."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.footer = _footer(self.build)
        words, weights = _vocabulary(self.seed)
        for path in self.pages():
            self._write(path, self._page(path, words, weights))
        for path in self.binaries():
            rng = self._random(path)
            self._write(path, rng.randbytes(_around(rng, self.shape.binary_size)))
        self._finish(tuple(self.pages()))

    def rebuild(self) -> None:
        """Change nothing but the modification times, as a fresh build in CI does."""
        self._finish(())

    def change_pages(self, count: int) -> None:
        """Change one paragraph in ``count`` pages that are spread over the site."""
        pages = list(self.pages())
        chosen = pages[:: max(1, len(pages) // count)][:count]
        for path in chosen:
            content = (self.root / path).read_bytes()
            before, _, rest = content.partition(b"<p>")
            note = f"<p>Corrected in build {self.build + 1}.</p>\n".encode()
            self._write(path, before + note + b"<p>" + rest)
        self._finish(tuple(chosen))

    def change_footers(self) -> None:
        """Change the footer that all pages share, as a commit hash or a date in it does."""
        old, self.footer = self.footer, _footer(self.build + 1)
        pages = tuple(self.pages())
        for path in pages:
            content = (self.root / path).read_bytes()
            self._write(path, content.replace(old, self.footer))
        self._finish(pages)

    def warm(self) -> None:
        """Read every file once, so that all are in memory as they are when a build has just written them."""
        for path in itertools.chain(self.pages(), self.binaries()):
            (self.root / path).read_bytes()

    def pages(self) -> Iterator[Path]:
        """The pages' paths within the site."""
        for number in range(self.shape.pages):
            yield Path(
                f"chapter-{number % 20:02d}", f"part-{number // 20 % 25:02d}", f"page-{number:05d}", "index.html"
            )

    def binaries(self) -> Iterator[Path]:
        """The incompressible files' paths within the site."""
        for number in range(self.shape.binaries):
            kind, ending = (("photos", "jpg"), ("fonts", "woff2"), ("films", "mp4"))[number % 3]
            yield Path("assets", kind, f"{number % 16:x}", f"{number:05d}.{ending}")

    def size(self) -> int:
        """Bytes in all files."""
        return sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())

    def _page(self, path: Path, words: list[str], weights: list[float]) -> bytes:
        rng = self._random(path)
        text = rng.choices(words, cum_weights=weights, k=_around(rng, self.shape.text_size) // 6)
        title = " ".join(text[:4]).title()
        body = "".join(_paragraphs(rng, text))
        head = f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        frame = f"<style>\n{STYLE}</style>\n</head>\n<body>\n<nav><ul>\n{MENU}</ul></nav>\n<main>\n<h1>{title}</h1>\n"
        end = f"<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
        return (head + frame + body + "</main>\n").encode() + self.footer + end.encode()

    def _random(self, path: Path) -> random.Random:
        return random.Random(f"{self.seed}/{path.as_posix()}")

    def _write(self, path: Path, content: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def _finish(self, changed: tuple[Path, ...]) -> None:
        self.build += 1
        self.changed = changed
        seconds = self.first_build + 10 * self.build
        for path in itertools.chain(self.pages(), self.binaries()):
            os.utime(self.root / path, (seconds, seconds))


def digest(root: Path) -> str:
    """One SHA-256 over every path, size and content below ``root``."""
    whole = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            whole.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
            whole.update(content)
    return whole.hexdigest()


def _footer(build: int) -> bytes:
    commit = hashlib.sha256(f"commit {build}".encode()).hexdigest()[:12]
    links = "".join(f'<a href="/{name}/">{name.title()}</a> ' for name in ("about", "archive", "feed", "licence"))
    return f'<footer class="foot">\n{links}\n<p>Built from {commit}. All text is made up.</p>\n</footer>\n'.encode()


def _vocabulary(seed: int) -> tuple[list[str], list[float]]:
    """Words and their cumulative weights; frequencies fall with rank as in natural text (Zipf's law)."""
    rng = random.Random(f"{seed}/words")
    made = ("".join(rng.choices(SYLLABLES, k=rng.choice((1, 2, 2, 3, 3, 4)))) for _ in range(12_000))
    words = list(dict.fromkeys([*COMMON, *made]))
    return words, list(itertools.accumulate(1 / (rank + 2.7) for rank in range(len(words))))


def _paragraphs(rng: random.Random, text: list[str]) -> Iterator[str]:
    start = 0
    while start < len(text):
        sentences = []
        for _ in range(rng.randint(2, 6)):
            length = rng.randint(6, 22)
            sentences.append(" ".join(text[start : start + length]).capitalize() + ".")
            start += length
        yield f"<p>{' '.join(sentences)}</p>\n"
        if rng.random() < 0.2:
            yield f'<h2 id="s{start}">{text[start % len(text)].title()}</h2>\n'


def _around(rng: random.Random, mean: int) -> int:
    low, high = FILE_SIZE_SPREAD
    return int(mean * rng.uniform(low, high))
