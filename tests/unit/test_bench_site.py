"""The benchmark's made site: its numbers only mean something when every run measures the same bytes."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from bench.site import Shape, Site, digest

TINY = Shape(pages=40, binaries=10, text_size=2_000, binary_size=4_000)
FIRST_BUILD = 1_700_000_000


def make(root: Path, seed: int = 1) -> Site:
    site = Site(root, TINY, FIRST_BUILD, seed)
    site.make()
    return site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make(tmp_path / "site")


def times(site: Site) -> set[int]:
    return {int(path.stat().st_mtime) for path in site.root.rglob("*") if path.is_file()}


def contents(site: Site) -> dict[Path, bytes]:
    return {path: (site.root / path).read_bytes() for path in [*site.pages(), *site.binaries()]}


def test_same_seed_same_bytes(site: Site, tmp_path: Path) -> None:
    """Two sites of one seed are equal byte for byte; another seed gives another site."""
    assert digest(make(tmp_path / "again").root) == digest(site.root)
    assert digest(make(tmp_path / "other", seed=2).root) != digest(site.root)


def test_shape(site: Site) -> None:
    """Exactly the promised files exist, in nested folders, and nothing else."""
    found = {path.relative_to(site.root) for path in site.root.rglob("*") if path.is_file()}
    assert found == {*site.pages(), *site.binaries()}
    assert len(found) == TINY.files == 50
    assert all(len(path.parts) == 4 for path in found)


def test_full_shape_is_the_promised_one() -> None:
    """By default there are 10,000 files, a fifth of them binaries."""
    assert (Shape().files, Shape().binaries) == (10_000, 2_000)


def test_compressibility(site: Site) -> None:
    """Binaries do not compress at all; pages do, and have their footer once."""
    everything = contents(site)
    for path in site.binaries():
        assert len(zlib.compress(everything[path])) >= len(everything[path])
    for path in site.pages():
        assert len(zlib.compress(everything[path])) < 0.6 * len(everything[path])
        assert everything[path].count(site.footer) == 1


def test_rebuild_changes_times_only(site: Site) -> None:
    """A fresh build of the same source has the same contents and newer modification times on every file."""
    before, earlier = contents(site), times(site)
    site.rebuild()
    assert contents(site) == before
    assert min(times(site)) > max(earlier)
    assert site.changed == ()


def test_change_pages(site: Site) -> None:
    """Exactly the wanted number of pages changes, and again in the next build."""
    for _ in range(2):
        before = contents(site)
        site.change_pages(3)
        after = contents(site)
        assert {path for path in after if after[path] != before[path]} == set(site.changed)
        assert len(site.changed) == 3


def test_change_footers(site: Site) -> None:
    """All pages change in nothing but their footer, and no binary does."""
    before, old = contents(site), site.footer
    site.change_footers()
    after = contents(site)
    assert set(site.changed) == set(site.pages())
    assert all(after[path] == before[path].replace(old, site.footer) != before[path] for path in site.pages())
    assert all(after[path] == before[path] for path in site.binaries())
