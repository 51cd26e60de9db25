"""A source that is an archive: what a site may hold comes out as it was, and everything else is refused by name."""

from __future__ import annotations

import gc
import gzip
import io
import os
import random
import resource
import stat
import struct
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest

from deployer.errors import DeployerError, DeployFailed, InvalidInput
from deployer.static.archive import is_archive, private_directory, unpack
from deployer.static.scan import scan
from deployer.static.unpacking import LIMITS, Limits
from tests.conftest import need

SMALL = Limits(entries=20, size=1 << 20, ratio=10, ratio_free=64 << 10, path=200, name=50, depth=8)
PAGE = b"<h1>hello</h1>\n"
Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, mode: int = 0o644, target: str = "") -> Member:
    about = tarfile.TarInfo(name)
    about.type, about.mode, about.size, about.linkname = kind, mode, len(data), target
    return about, data


def make_tar(path: Path, *members: Member, mode: str = "w:gz", form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, mode, format=form) as archive:  # type: ignore[call-overload]
        for about, data in members:
            archive.addfile(about, io.BytesIO(data))
    return path


def make_zip(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for entry, data in entries:
            archive.writestr(entry, data)
    return path


def entry(name: str, mode: int = stat.S_IFREG | 0o644, system: int = 3) -> zipfile.ZipInfo:
    about = zipfile.ZipInfo(name)
    about.create_system, about.external_attr = system, mode << 16
    about.compress_type = zipfile.ZIP_DEFLATED
    return about


@pytest.fixture
def into(tmp_path: Path) -> Path:
    directory = tmp_path / "into"
    directory.mkdir(mode=0o700)
    return directory


def fresh(tmp_path: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=tmp_path))


def unpacked(archive: Path, into: Path, limits: Limits = LIMITS) -> dict[str, tuple[str, bytes]]:
    """Unpack, and return each entry of the manifest with its mode and its contents or the link's target."""
    unpack(archive, into, lambda _size: None, limits)
    return {
        each.path: (each.mode, each.target.encode() if each.kind == "l" else (into / each.path).read_bytes())
        if each.kind != "d"
        else (each.mode, b"")
        for each in scan(into).entries
    }


def refused(archive: Path, into: Path, *words: str, limits: Limits = LIMITS) -> None:
    """The error that names the archive and says all ``words``; nothing came to be beside ``into``."""
    before = sorted(into.parent.iterdir())
    with pytest.raises(InvalidInput) as caught:
        unpack(archive, into, lambda _size: None, limits)
    for word in (archive.name, *words):
        assert word in caught.value.message
    assert sorted(into.parent.iterdir()) == before


# --- what a site may hold --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["site.tar", "site.tar.gz", "site.TGZ", "a.b.zip"])
def test_files_of_these_names_are_archives(tmp_path: Path, name: str) -> None:
    """The name's ending says it, in either case."""
    (tmp_path / name).write_bytes(b"")
    assert is_archive(tmp_path / name)


def test_a_directory_is_never_an_archive(tmp_path: Path) -> None:
    """Whatever its name; and what does not exist is not one either."""
    (tmp_path / "old.zip").mkdir()
    assert not is_archive(tmp_path / "old.zip")
    assert not is_archive(tmp_path / "none.zip")
    assert not is_archive(tmp_path)


@pytest.mark.parametrize(("name", "mode"), [("s.tar.gz", "w:gz"), ("s.tgz", "w:gz"), ("s.tar", "w"), ("s.tgz", "w")])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_tar_comes_out_as_it_was(tmp_path: Path, into: Path, name: str, mode: str, form: int) -> None:
    """Files, empty directories, links and executable bits; the top itself and "./" mean nothing."""
    large = random.Random(1).randbytes(700_001)
    archive = make_tar(
        tmp_path / name,
        member("./", kind=tarfile.DIRTYPE),
        member("./index.html", PAGE),
        member("empty", kind=tarfile.DIRTYPE),
        member("bin/tool", b"#!", mode=0o750),
        member("bin/large", large),
        member("latest", kind=tarfile.SYMTYPE, target="bin/tool"),
        member("same.html", kind=tarfile.LNKTYPE, target="./index.html"),
        member("ä/\udcff.html", PAGE),
        mode=mode,
        form=form,
    )
    assert unpacked(archive, into) == {
        "index.html": ("644", PAGE),
        "empty": ("755", b""),
        "bin/tool": ("755", b"#!"),
        "bin/large": ("644", large),
        "latest": ("777", b"bin/tool"),
        "same.html": ("644", PAGE),
        "ä/\udcff.html": ("644", PAGE),
    }


def test_a_zip_comes_out_as_it_was(tmp_path: Path, into: Path) -> None:
    """The same from a zip, whose entries have Unix modes where Unix made them."""
    large = random.Random(1).randbytes(700_001)
    archive = make_zip(
        tmp_path / "site.zip",
        ("index.html", PAGE),
        (entry("empty/", stat.S_IFDIR | 0o755), b""),
        (entry("bin/tool", stat.S_IFREG | 0o755), b"#!"),
        ("bin/large", large),
        (entry("latest", stat.S_IFLNK | 0o777), b"bin/tool"),
        (entry("windows.txt", 0o777, system=0), b"x"),
    )
    assert unpacked(archive, into) == {
        "index.html": ("644", PAGE),
        "empty": ("755", b""),
        "bin/tool": ("755", b"#!"),
        "bin/large": ("644", large),
        "latest": ("777", b"bin/tool"),
        "windows.txt": ("644", b"x"),
    }


def test_real_tar_and_its_long_names(tmp_path: Path, into: Path) -> None:
    """What the system's tar makes of names that its headers have no room for, and of a link beside a file."""
    tar = need("tar", "to make an archive as people do")
    site = tmp_path / "site"
    deep = site / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    (deep / "page.html").write_bytes(PAGE)
    os.link(deep / "page.html", site / "zz.html")
    archive = tmp_path / "site.tar.gz"
    subprocess.run([tar, "-C", site, "-czf", archive, "."], check=True)
    assert unpacked(archive, into) == {
        f"{'d' * 120}/{'e' * 120}/page.html": ("644", PAGE),
        "zz.html": ("644", PAGE),
    }


def test_names_in_a_zip_that_does_not_say_utf8(tmp_path: Path, into: Path) -> None:
    """UTF-8 is taken for it where it fits, as macOS leaves it; code page 437 is what the format says otherwise."""
    archive = make_zip(tmp_path / "site.zip", ("aaaa.txt", b"1"), ("bbb.txt", b"2"))
    data = archive.read_bytes().replace(b"aaaa", "ää".encode()).replace(b"bbb", b"b\x81b")
    archive.write_bytes(data)
    assert sorted(unpacked(archive, into)) == ["büb.txt", "ää.txt"]


def test_setuid_bits_are_dropped(tmp_path: Path, into: Path) -> None:
    """Modes are 0644 or 0755, whatever the archive and the umask say."""
    before = os.umask(0o077)
    try:
        unpacked(make_tar(tmp_path / "s.tar", member("a", mode=0o6755), member("b", mode=0o1777 & ~0o100)), into)
    finally:
        os.umask(before)
    assert [stat.S_IMODE((into / name).stat().st_mode) for name in "ab"] == [0o755, 0o644]


def test_a_single_top_folder_stays(tmp_path: Path, into: Path) -> None:
    """The contents of the archive are the contents of the site."""
    assert list(unpacked(make_tar(tmp_path / "s.tar", member("site/index.html", PAGE)), into)) == ["site/index.html"]


def test_gzip_in_several_pieces(tmp_path: Path, into: Path) -> None:
    """pigz and bgzip write several streams behind one another (RFC 1952, 2.2)."""
    data = make_tar(tmp_path / "s.tar", member("index.html", PAGE * 999), mode="w").read_bytes()
    archive = tmp_path / "s.tar.gz"
    archive.write_bytes(b"".join(gzip.compress(data[at : at + 4000]) for at in range(0, len(data), 4000)))
    assert unpacked(archive, into) == {"index.html": ("644", PAGE * 999)}


# --- what leads out --------------------------------------------------------------------------------------------------

OUT = ["../evil", "a/../../evil", "a/..", "/evil", "./../evil", "a/./../b"]


@pytest.mark.parametrize("name", OUT)
def test_names_that_lead_out_of_a_tar(tmp_path: Path, into: Path, name: str) -> None:
    """Absolute paths and ".." in any place, even where they would stay inside."""
    refused(make_tar(tmp_path / "s.tar.gz", member("index.html"), member(name)), into, repr(name))


@pytest.mark.parametrize("name", OUT)
def test_names_that_lead_out_of_a_zip(tmp_path: Path, into: Path, name: str) -> None:
    """The same; the library would mend them silently."""
    refused(make_zip(tmp_path / "s.zip", ("index.html", b""), (name, b"")), into, repr(name))


@pytest.mark.parametrize("target", ["../evil", "/etc/passwd", "a/../../x", ""])
def test_links_that_lead_out(tmp_path: Path, into: Path, target: str) -> None:
    """Symbolic links are refused by their text, in both formats; hard links likewise."""
    link = member("link", kind=tarfile.SYMTYPE, target=target)
    refused(make_tar(tmp_path / "s.tar", link, mode="w"), into, "'link'")
    refused(make_tar(tmp_path / "h.tar", member("link", kind=tarfile.LNKTYPE, target=target)), into, "'link'", "hard")
    refused(make_zip(tmp_path / "s.zip", (entry("link", stat.S_IFLNK | 0o777), target.encode())), into, "'link'")


def test_nothing_is_written_through_a_link(tmp_path: Path, into: Path) -> None:
    """A folder that was a link before is refused, though the link itself stays inside."""
    for kind, target in ((tarfile.SYMTYPE, "folder"), (tarfile.REGTYPE, "")):
        first = member("x", kind=kind, target=target)
        archive = make_tar(tmp_path / "s.tar", member("folder/a"), first, member("x/evil"))
        refused(archive, into, "'x/evil'", "folder")
        for path in ("folder/a", "x"):
            (into / path).unlink()
        (into / "folder").rmdir()


def test_a_hard_link_through_a_link(tmp_path: Path, into: Path) -> None:
    """Nor is a file taken from behind a link, or a link for a file."""
    outside = tmp_path / "secret"
    outside.write_text("secret")
    (into / "out").symlink_to(tmp_path)
    refused(make_tar(tmp_path / "s.tar", member("a", kind=tarfile.LNKTYPE, target="out/secret")), into, "'a'", "folder")
    refused(make_tar(tmp_path / "s.tar", member("a", kind=tarfile.LNKTYPE, target="out")), into, "'a'", "hard link")
    refused(make_tar(tmp_path / "s.tar", member("a", kind=tarfile.LNKTYPE, target="none")), into, "'a'", "hard link")


# --- what is no file -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE, b"Z"])
def test_devices_and_other_kinds_in_a_tar(tmp_path: Path, into: Path, kind: bytes) -> None:
    """A web server could not serve them; a sparse file's holes would cost nothing in the archive."""
    refused(make_tar(tmp_path / "s.tar", member("dev/null", kind=kind), form=tarfile.GNU_FORMAT), into, "'dev/null'")


def test_sparse_files_of_pax(tmp_path: Path, into: Path) -> None:
    """The newer way to write holes is found, too."""
    about, _ = member("holes")
    about.pax_headers = {"GNU.sparse.map": "0,0,1099511627776,0", "GNU.sparse.size": "1099511627776"}
    refused(make_tar(tmp_path / "s.tar", (about, b"")), into, "'holes'")


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_devices_in_a_zip(tmp_path: Path, into: Path, kind: int) -> None:
    """A zip can hold them as well."""
    refused(make_zip(tmp_path / "s.zip", (entry("pipe", kind | 0o644), b"")), into, "'pipe'")


@pytest.mark.parametrize("names", [("a", "./a"), ("a/b", "a"), ("a", "a/b"), ("a/", "a")])
def test_names_that_come_twice(tmp_path: Path, into: Path, names: tuple[str, str]) -> None:
    """Which one counts would be anybody's guess."""
    kinds = [tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE for name in names]
    archive = make_tar(tmp_path / "s.tar", *(member(name, kind=kind) for name, kind in zip(names, kinds, strict=True)))
    refused(archive, into, repr(names[1]))
    for path in sorted(into.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    refused(make_zip(tmp_path / "s.zip", *((name, b"") for name in names)), into, repr(names[1]))


def test_a_directory_may_come_twice(tmp_path: Path, into: Path) -> None:
    """Archives that were added to have it so, and it means nothing else."""
    folder = member("a", kind=tarfile.DIRTYPE)
    assert list(unpacked(make_tar(tmp_path / "s.tar", folder, member("a/b"), folder), into)) == ["a/b"]


def test_backslashes_in_a_zip(tmp_path: Path, into: Path) -> None:
    """Old tools of Windows write them for "/", and each folder's files would land at the top."""
    refused(make_zip(tmp_path / "s.zip", ("css\\site.css", b"")), into, "backslash")


def test_encrypted_zip(tmp_path: Path, into: Path) -> None:
    """There is nobody to ask for a password."""
    archive = make_zip(tmp_path / "s.zip", ("a", PAGE))
    data = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + offset] |= 1
    archive.write_bytes(data)
    refused(archive, into, "'a'", "encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_rare_methods_in_a_zip(tmp_path: Path, into: Path, method: int) -> None:
    """LZMA's header says how much memory to take."""
    refused(make_zip(tmp_path / "s.zip", ("a", PAGE), method=method), into, "'a'", "deflate")


# --- damage ----------------------------------------------------------------------------------------------------------

SITE = [member("index.html", PAGE * 40), member("a/b.html", PAGE), member("c.bin", bytes(2048))]


@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz", "s.zip"])
def test_cut_off_anywhere(tmp_path: Path, into: Path, name: str) -> None:
    """An archive that lacks its end is never taken for a smaller site."""
    whole = tmp_path / name
    if name == "s.zip":
        make_zip(whole, *((about.name, data) for about, data in SITE))
    else:
        make_tar(whole, *SITE, mode="w:gz" if name.endswith("gz") else "w")
    data = whole.read_bytes()
    end = len(data.rstrip(b"\0")) if name == "s.tar" else len(data)
    cut = tmp_path / "cut" / name
    cut.parent.mkdir()
    for length in range(0, end, max(1, end // 97)) if name != "s.tar" else range(0, 5120, 128):
        cut.write_bytes(data[:length])
        with pytest.raises(InvalidInput, match="damaged or cut off"):
            unpack(cut, fresh(tmp_path), lambda _size: None)


@pytest.mark.parametrize("name", ["s.tar.gz", "s.zip"])
def test_damage_anywhere(tmp_path: Path, name: str) -> None:
    """A byte that changed on the way is an error or changes nothing; it is never a traceback or another site."""
    random_ = random.Random(7)
    whole = tmp_path / name
    files = [(about.name, random_.randbytes(300) + data) for about, data in SITE]
    if name == "s.zip":
        make_zip(whole, *files)
    else:
        make_tar(whole, *(member(path, data) for path, data in files))
    good = unpacked(whole, fresh(tmp_path))
    data = whole.read_bytes()
    damaged = tmp_path / "damaged" / name
    damaged.parent.mkdir()
    for _ in range(150):
        changed = bytearray(data)
        changed[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
        damaged.write_bytes(changed)
        try:
            found = unpacked(damaged, fresh(tmp_path))
        except DeployerError:
            continue
        # A zip's names, modes and dates have no check sum.
        assert sorted(text for _, text in found.values()) == sorted(text for _, text in good.values())


def test_a_damaged_header_is_not_the_end(tmp_path: Path, into: Path) -> None:
    """The library would stop there without a word, and half the site would be deployed."""
    archive = make_tar(tmp_path / "s.tar", *SITE, mode="w")
    data = bytearray(archive.read_bytes())
    data[data.index(b"a/b.html") + 1] ^= 1
    archive.write_bytes(data)
    refused(archive, into, "damaged", "'index.html'")


@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz", "s.zip"])
def test_what_is_no_archive(tmp_path: Path, into: Path, name: str) -> None:
    """A page of an error that was saved under the archive's name, and an empty file."""
    (tmp_path / name).write_bytes(b"<html>404</html>" * 99)
    refused(tmp_path / name, into, "damaged")
    (tmp_path / name).write_bytes(b"")
    refused(tmp_path / name, into, "damaged")


def test_an_archive_without_files(tmp_path: Path, into: Path) -> None:
    """Deploying it would take the site away."""
    refused(make_tar(tmp_path / "s.tar"), into, "no files")
    refused(make_zip(tmp_path / "s.zip", ("a/", b"")), into, "no files")


# --- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["s.tar.gz", "s.zip"])
def test_a_bomb_goes_off_early(tmp_path: Path, name: str) -> None:
    """What unpacks to far more than its size is refused, by what comes out and not by what it says."""
    zeros = bytes(900_000)
    archive = tmp_path / name
    make_zip(archive, ("zeros", zeros)) if name == "s.zip" else make_tar(archive, member("zeros", zeros))
    into = tmp_path / "into"
    into.mkdir()
    refused(archive, into, "'zeros'", "10 times", limits=SMALL)
    if name == "s.zip":
        # The directory and the header lie about the size: the file ends where they say, with a wrong check sum.
        data = archive.read_bytes().replace(struct.pack("<L", len(zeros)), struct.pack("<L", 10))
        archive.write_bytes(data)
        refused(archive, fresh(tmp_path), "zeros", limits=SMALL)


def test_many_small_members_are_a_bomb_too(tmp_path: Path, into: Path) -> None:
    """The sum counts."""
    entries = [(f"{number}", bytes(10_000)) for number in range(15)]
    refused(make_zip(tmp_path / "s.zip", *entries), into, "too large", limits=SMALL)


def test_one_body_behind_many_names(tmp_path: Path, into: Path) -> None:
    """Overlapping entries, all of one body, are counted as often as they are unpacked (or found out before)."""
    archive = make_zip(
        tmp_path / "s.zip", *((f"{number:02}", bytes(9000) if number == 0 else b"") for number in range(20))
    )
    data = bytearray(archive.read_bytes())
    at = data.index(b"PK\1\2")
    first = data[at : at + 46]
    for _ in range(19):
        place = data.index(b"PK\1\2", at + 1)
        # Size, check sum and place of the first one, under another name.
        data[place + 16 : place + 28] = first[16:28]
        data[place + 42 : place + 46] = first[42:46]
        at = place
    archive.write_bytes(data)
    refused(archive, into, limits=SMALL)


def test_too_large_altogether(tmp_path: Path, into: Path) -> None:
    """Also what does not shrink at all ends at a bound."""
    data = random.Random(3).randbytes(600_000)
    archive = make_tar(tmp_path / "s.tar", member("a", data), member("b", data), mode="w")
    refused(archive, into, "'b'", "1,048,576 bytes", limits=SMALL)


@pytest.mark.parametrize("name", ["s.tar", "s.zip"])
def test_too_many_entries(tmp_path: Path, into: Path, name: str) -> None:
    """Folders that no member names count as well."""
    paths = [f"{number}/x" for number in range(11)]
    archive = tmp_path / name
    if name == "s.zip":
        make_zip(archive, *((path, b"") for path in paths))
    else:
        make_tar(archive, *map(member, paths))
    refused(archive, into, "'10/x'", "20 entries", limits=SMALL)


@pytest.mark.parametrize("path", ["/".join("x" * 40 for _ in range(6)), "y" * 51, "z/" * 9])
def test_names_that_are_too_long(tmp_path: Path, into: Path, path: str) -> None:
    """The whole path, one part of it, and how deep it is."""
    refused(make_tar(tmp_path / "s.tar", member(path)), into, limits=SMALL)
    refused(make_zip(tmp_path / "s.zip", (path, b"")), into, limits=SMALL)


def test_200_folders_deep(tmp_path: Path) -> None:
    """That is no bomb, and its directory can be removed again."""
    path = "/".join("deep" for _ in range(200)) + "/page.html"
    owner = type("Owner", (), {})()
    directory = private_directory(owner)
    assert list(unpacked(make_tar(tmp_path / "s.tar", member(path, PAGE)), directory)) == [path]
    del owner
    gc.collect()
    assert not directory.exists()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
def test_a_header_that_fills_the_memory(tmp_path: Path, into: Path, kind: bytes) -> None:
    """The library reads extended headers at once, however large they say that they are."""
    about, _ = member("x", kind=kind)
    about.size = 1 << 32
    archive = tmp_path / "s.tar"
    archive.write_bytes(about.tobuf(tarfile.GNU_FORMAT) + bytes(5000))
    refused(archive, into, "header")


def test_endless_headers_of_headers(tmp_path: Path, into: Path) -> None:
    """The library calls itself for each."""
    about, _ = member("x", kind=tarfile.XHDTYPE)
    archive = tmp_path / "s.tar"
    archive.write_bytes(about.tobuf(tarfile.GNU_FORMAT) * 5000)
    refused(archive, into, "damaged")


def test_a_zip_whose_directory_fills_the_memory(tmp_path: Path, into: Path) -> None:
    """It is refused before it is read."""
    archive = tmp_path / "s.zip"
    with archive.open("wb") as file:
        file.truncate(200 << 20)
        file.seek(0, os.SEEK_END)
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 100 << 20, 0, 0))
    refused(archive, into, "directory", "64 MiB")


def test_memory_does_not_grow_with_the_files(tmp_path: Path, into: Path) -> None:
    """120 MB pass through a few buffers."""
    piece = random.Random(5).randbytes(1 << 20)
    archive = tmp_path / "s.tar"
    make_tar(archive, member("large", piece * 120), mode="w")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unpack(archive, into, lambda _size: None)
    assert (into / "large").stat().st_size == 120 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


def test_progress_is_told(tmp_path: Path, into: Path) -> None:
    """In bytes, growing to the end."""
    told: list[int] = []
    unpack(make_tar(tmp_path / "s.tar.gz", member("a", bytes(1 << 20))), into, told.append)
    assert told == sorted(told)
    assert told[-1] >= 1 << 20


# --- this machine ----------------------------------------------------------------------------------------------------


def test_no_space_left_here(tmp_path: Path) -> None:
    """That is not the archive's fault: the message says what to do."""
    mount = need("mount", "to make a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run([mount, "-t", "tmpfs", "-o", "size=100k", "tmpfs", disk], check=False, capture_output=True)
    need("the right to mount", "to make a small disk", present=mounted.returncode == 0)
    try:
        into = disk / "into"
        into.mkdir()
        archive = make_tar(tmp_path / "s.tar", member("a", bytes(300_000)))
        with pytest.raises(DeployFailed) as caught:
            unpack(archive, into, lambda _size: None)
        assert "TMPDIR" in caught.value.hint
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_an_archive_that_cannot_be_read(tmp_path: Path, into: Path) -> None:
    """It may go between two looks at it."""
    refused(tmp_path / "none.tar.gz", into, "cannot read")


def test_the_directory_is_private_and_goes() -> None:
    """Nobody else may look into it, and it is removed with its owner."""
    owner = type("Owner", (), {})()
    directory = private_directory(owner)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    (directory / "a").write_text("a")
    del owner
    gc.collect()
    assert not directory.exists()
