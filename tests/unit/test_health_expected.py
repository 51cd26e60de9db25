"""Which changed files the gate fetches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.health import ExpectedFile, choose_expected


def chosen(*names: str, size: int = 10, limit: int = 3) -> list[str]:
    files = [ExpectedFile(name, "00" * 32, size) for name in names]
    return [file.url_path for file in choose_expected(files, limit)]


def test_texts_before_media_before_the_rest() -> None:
    """What servers hand out unchanged most surely comes first."""
    assert chosen("data.bin", "LICENSE", "a.png", "b.css", "index.html") == ["b.css", "index.html", "a.png"]


def test_small_files_first() -> None:
    """Of two like files the smaller is fetched."""
    files = [ExpectedFile("big.css", "", 9000), ExpectedFile("z.css", "", 9), ExpectedFile("mid.js", "", 90)]
    assert [file.url_path for file in choose_expected(files, 2)] == ["z.css", "mid.js"]


def test_plain_names_first() -> None:
    """A name that needs encoding is taken only where no plain one is left."""
    assert chosen("a b.css", "z.css", "ü.css", limit=2) == ["z.css", "a b.css"]


def test_the_index_is_asked_for_by_its_name() -> None:
    """index.html stays itself: the folder might be answered by something else."""
    assert chosen("docs/index.html") == ["docs/index.html"]


@pytest.mark.parametrize(
    "name",
    [".htaccess", ".well-known/x.txt", "a/.git/config.txt", "index.php", "x.php.txt", "page.shtml", "run.CGI"],
)
def test_what_servers_run_or_hide_is_left_out(name: str) -> None:
    """A file that a healthy server runs, or refuses to show, must not fail the gate."""
    assert chosen(name) == []


@pytest.mark.parametrize("name", ["404.html", "err/50x.html", "_headers", "x.txt~", "a\nb.css", "\udcff.css", "db.sql"])
def test_what_often_answers_in_another_way_is_left_out(name: str) -> None:
    """Error pages, backups and names that few servers take must not fail the gate either."""
    assert chosen(name) == []


@pytest.mark.parametrize("name", ["_astro/x.js", "_next/static/a.css", "2024.html", "jquery.min.js", "phpinfo.html"])
def test_ordinary_names_are_kept(name: str) -> None:
    """Names that only look special are fetched."""
    assert chosen(name) == [name]


@pytest.mark.parametrize("size", [0, (16 << 20) + 1])
def test_empty_and_huge_files_are_left_out(size: int) -> None:
    """An empty file says nothing, and a huge one would use up the gate's time."""
    assert chosen("a.css", size=size) == []


@given(st.lists(st.text(st.characters(codec=None), min_size=1)), st.integers(0, 4))
def test_any_names_at_all(names: list[str], limit: int) -> None:
    """Whatever the names, the choice is at most the limit, from the given ones, and the same for every order."""
    picked = chosen(*names, limit=limit)
    assert len(picked) <= limit and set(picked) <= set(names)
    assert chosen(*reversed(names), limit=limit) == picked
