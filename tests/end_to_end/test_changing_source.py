"""A source that changes under the hands of whoever reads it: nothing goes live that is not exactly what was hashed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import need
from tests.end_to_end.deployment import Deployment, Ran, tree
from tests.end_to_end.held_files import HeldFile
from tests.end_to_end.held_programs import run_and_act_in

BIG = 8 << 20  # much more than pipes and frames hold on the way
Change = Callable[[Path, int], object]


@pytest.fixture
def site(site: Deployment) -> Deployment:
    """With one release."""
    site.files(index="old", page="old")
    site.deploy()
    return site


def check_old_site(site: Deployment) -> None:
    """What was live is live, the failed run left nothing behind, and the next one needs no repair."""
    assert site.served() == {b"index.html": ("644", b"old"), b"page.html": ("644", b"old")}
    assert len(site.releases()) == 1
    assert site.is_unlocked()


def check_next_run(site: Deployment) -> None:
    """The build has ended: the same command deploys what it made."""
    shutil.rmtree(site.source, ignore_errors=True)
    site.source.mkdir()
    site.write("index.html", "the build has ended")
    assert site.deploy()["status"] == "deployed"
    assert site.served() == tree(site.source)


def overwrite(_path: Path, descriptor: int) -> None:
    os.pwrite(descriptor, b"CHANGE", os.fstat(descriptor).st_size - 6)


def shorten(_path: Path, descriptor: int) -> None:
    os.truncate(descriptor, os.fstat(descriptor).st_size // 2)


def lengthen(_path: Path, descriptor: int) -> None:
    os.pwrite(descriptor, b"more", os.fstat(descriptor).st_size)


def empty(_path: Path, descriptor: int) -> None:
    os.truncate(descriptor, 0)


def replace(path: Path, _descriptor: int) -> None:
    path.with_name("made aside").write_bytes(b"another file")
    path.with_name("made aside").rename(path)


def remove(path: Path, _descriptor: int) -> None:
    path.unlink()


CHANGES = (overwrite, shorten, lengthen, empty, replace, remove)

# --- while it is hashed ----------------------------------------------------------------------------------------------------


def run_and_act(site: Deployment, opened: Path, act: Callable[[int], object]) -> Ran:
    """Run, and act when ``opened`` is about to be read for its hash."""
    with ThreadPoolExecutor(1) as pool, HeldFile(opened) as held:
        running = pool.submit(site.run)
        held.wait_for_reader()
        act(held.descriptor)
        held.release()
        return running.result()


def first_and_last(directory: Path) -> tuple[Path, Path]:
    """The file that is read first, and one that is listed before that, and read after it."""
    names = [item.name for item in os.scandir(directory)]
    return directory / names[0], directory / names[-1]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_when_it_is_about_to_be_hashed(site: Deployment, change: Change) -> None:
    """Its size was told before: what goes live is what was hashed, or nothing does, with one message; never a mixture."""
    site.files(index="x" * 1000, page="y" * 1000)
    opened = site.source / "index.html"

    ended = run_and_act(site, opened, lambda descriptor: change(opened, descriptor))

    if ended.code == 0:
        assert site.served() == tree(site.source)
    else:
        ended.failed(ended.code, "changed while")
        assert ended.code == (2 if change in (shorten, lengthen, empty) else 1)
        check_old_site(site)
    check_next_run(site)


GONE: dict[str, Callable[[Path], None]] = {
    "a file": lambda path: path.unlink(),
    "its directory": lambda path: shutil.rmtree(path.parent),
    "the source": lambda path: shutil.rmtree(path.parent.parent),
}


@pytest.mark.parametrize("gone", GONE)
def test_something_that_disappears_before_it_is_read(site: Deployment, gone: str) -> None:
    """A name that was listed and is gone when its turn comes, as when a build starts anew: exit 2, and it is named."""
    for number in range(20):
        site.write(f"pages/{number}.html", f"{number}")
    first, last = first_and_last(site.source / "pages")

    ended = run_and_act(site, first, lambda _: GONE[gone](last))

    ended.failed(2, "pages", "disappeared while it was read", "build still running")
    check_old_site(site)
    check_next_run(site)


def become_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("index.html")


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("become", [become_a_directory, become_a_link, become_a_pipe])
def test_something_that_becomes_something_else_before_it_is_read(
    site: Deployment, become: Callable[[Path], None]
) -> None:
    """A file that is none any more when its turn comes: it is named, exit 2, and nobody waits for a pipe."""
    for number in range(20):
        site.write(f"{number}.html", f"{number}")
    first, last = first_and_last(site.source)

    ended = run_and_act(site, first, lambda _: become(last))

    ended.failed(2, last.name)
    check_old_site(site)
    check_next_run(site)


def test_a_directory_that_becomes_a_file_before_it_is_read(site: Deployment) -> None:
    """The other way round."""
    site.write("folder/page.html", "x")
    (site.source / "index.html").unlink()  # directories are read after the files beside them

    def become_a_file(_descriptor: int) -> None:
        shutil.rmtree(site.source / "folder")
        (site.source / "folder").write_text("x")

    ended = run_and_act(site, site.source / "page.html", become_a_file)

    ended.failed(2, "folder", "Not a directory")
    check_old_site(site)
    check_next_run(site)


# --- while it is sent ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_while_it_is_sent(site: Deployment, change: Change) -> None:
    """Half of it is on its way already: what arrives is what was hashed, or the run ends with exit 1; never a mixture."""
    contents = os.urandom(BIG)
    site.files(index="new", page="new")
    big = site.write("movie.bin", contents)
    expected = tree(site.source)

    with big.open("r+b") as file:
        ended = run_and_act_in(site, "zstd", lambda: change(big, file.fileno()))

    if ended.code:
        ended.failed(1, "changed while")
        check_old_site(site)
    else:
        assert site.served() == expected
    check_next_run(site)


def test_a_source_that_disappears_while_it_is_sent(site: Deployment) -> None:
    """A build that starts anew, too early: exit 1, one file is named, and what was live stays."""
    site.write("movie.bin", os.urandom(BIG))
    for number in range(100):
        site.write(f"zz/{number}.html", f"{number}")

    ended = run_and_act_in(site, "zstd", lambda: shutil.rmtree(site.source))

    ended.failed(1, "changed while", "zz/")
    check_old_site(site)
    check_next_run(site)


def test_the_file_that_changed_is_named(site: Deployment) -> None:
    """Whoever reads the message knows which build step to look at."""
    site.files(index="new index", page="new page")
    page = site.source / "page.html"

    ended = run_and_act_in(site, "df", lambda: page.write_text("the Page"))

    ended.failed(1, "changed while", "page.html")


# --- a disk that fails -----------------------------------------------------------------------------------------------------


@pytest.fixture
def failing_disk(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """``failing/movie.bin`` of 1 MiB is on a disk of its own, of which the last quarter breaks when this is called."""
    image, mounted = tmp_path / "image", tmp_path / "failing"
    mkfs = need("mkfs.ext4", "to make a disk that fails")
    with image.open("wb") as file:
        file.truncate(8 << 20)
    contents = tmp_path / "contents"
    contents.mkdir()
    (contents / "movie.bin").write_bytes(os.urandom(1 << 20))
    subprocess.run([mkfs, "-q", "-O", "^has_journal", "-d", contents, image], check=True)
    mounted.mkdir()
    loop = subprocess.run(["mount", "-o", "loop,ro", image, mounted], check=False, capture_output=True)
    need("the right to mount", "to make a disk that fails", present=loop.returncode == 0)
    first = last_block(image, contents / "movie.bin")
    try:
        yield lambda: os.truncate(image, first)
    finally:
        subprocess.run(["umount", "-l", mounted], check=True)


def last_block(image: Path, file: Path) -> int:
    """Where the last 64 KiB of this file's contents begin in the image."""
    return image.read_bytes().index(file.read_bytes()[-65536:-61440])


def forget_cached(file: Path) -> None:
    """Let the next reader ask the disk."""
    with file.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_a_source_on_a_disk_that_fails_while_it_is_hashed(
    site: Deployment, failing_disk: Callable[[], None], tmp_path: Path
) -> None:
    """An input/output error: exit 2, the file is named, and what was live stays."""
    site.source = tmp_path / "failing"
    site.static["source"] = "failing"
    failing_disk()

    site.run().failed(2, "movie.bin", "Input/output error")

    site.source = tmp_path / "public"
    site.static["source"] = "public"
    check_old_site(site)
    check_next_run(site)


def test_a_source_on_a_disk_that_fails_while_it_is_sent(
    site: Deployment, failing_disk: Callable[[], None], tmp_path: Path
) -> None:
    """The same error after the file was hashed: exit 1, the file is named, and what was live stays."""
    site.source = tmp_path / "failing"
    site.static["source"] = "failing"
    movie = site.source / "movie.bin"

    def fail() -> None:
        failing_disk()
        forget_cached(movie)

    ended = run_and_act_in(site, "df", fail)

    ended.failed(1, "movie.bin", "Input/output error")
    site.source = tmp_path / "public"
    site.static["source"] = "public"
    check_old_site(site)
    check_next_run(site)
