"""Whose artifacts count, and fetching one: bounded, verified, without the token."""

from __future__ import annotations

import errno
import http.server
import os
import resource
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from receiver.config import Artifact
from receiver.github import GitHubApi, GitHubTrouble, GitHubUnavailable, NoSuchRun, download
from tests.github import Asked, Rule, answer
from tests.receiver.hub import COMMIT, TOKEN, Hub

REPOSITORY = "octocat/example"
SITE = Artifact(workflow="build.yml", name="site")
ARCHIVE = b"an archive" * 20_000
LARGEST = 1 << 20
SECRETS = (TOKEN, "TheAddressIsASecret")
Handler = http.server.BaseHTTPRequestHandler


def fetch(api: GitHubApi, to: Path, run_id: int = 0, largest: int = LARGEST) -> int:
    return api.fetch_artifact(REPOSITORY, COMMIT, SITE, run_id, to, largest)


def refused(api: GitHubApi, to: Path, kind: type[GitHubTrouble] = GitHubTrouble, **more: Any) -> str:
    """The one sentence of the trouble; nothing is left behind, and no secret is told."""
    with pytest.raises(kind) as trouble:
        fetch(api, to, **more)
    assert not to.exists()
    assert not any(secret in str(trouble.value) for secret in SECRETS)
    assert "\n" not in trouble.value.message
    return trouble.value.message


def test_an_archive_arrives_whole(hub: Hub, api: GitHubApi, tmp_path: Path) -> None:
    """In a file that only we can read, whatever was there before."""
    hub.add_run(5)
    hub.add_artifact(5, ARCHIVE)
    to = tmp_path / "site.zip"
    to.write_bytes(b"the rest of another try" * 99_999)
    to.chmod(0o644)
    assert fetch(api, to) == 5
    assert to.read_bytes() == ARCHIVE
    assert stat.S_IMODE(to.stat().st_mode) == 0o600


def test_the_token_stays_with_the_api(
    hub: Hub, api: GitHubApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place of archives gets no credential, not even one from ~/.netrc."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    hub.add_run(5)
    hub.add_artifact(5, ARCHIVE)
    fetch(api, tmp_path / "site.zip")
    assert {asked.headers["authorization"] for asked in hub.asked} == {f"token {TOKEN}"}
    (asked,) = hub.storage.asked
    assert asked.query == "signature=TheAddressIsASecret"
    assert "authorization" not in asked.headers
    assert TOKEN not in str(asked)


FORK = {"full_name": "mallory/example"}
FOREIGN = [
    {"head_repository": FORK},
    {"repository": FORK},
    {"head_repository": None},
    {"event": "pull_request"},
    {"event": "pull_request_target"},
    {"event": "workflow_dispatch"},
    {"path": ".github/workflows/other.yml"},
    {"path": "elsewhere/build.yml"},
    {"path": ""},
    {"path": ".github/workflows/build.yml.yml@refs/heads/main"},
    {"conclusion": "failure"},
    {"conclusion": "skipped"},
    {"conclusion": None, "status": "in_progress"},
    {"head_sha": "0" * 40},
]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("changes", FOREIGN, ids=lambda changes: "-".join(f"{k}={v}" for k, v in changes.items())[:50])
def test_a_run_of_something_else_does_not_count(
    hub: Hub, api: GitHubApi, tmp_path: Path, changes: dict[str, Any], named: bool
) -> None:
    """A fork's, another workflow's, one that failed or that no push has started: neither by its number nor by its commit."""
    hub.add_run(5, **changes)
    hub.add_artifact(5, ARCHIVE)
    # GitHub may answer with more than was asked for.
    listed = {"total_count": 1, "workflow_runs": hub.runs}
    hub.rule = lambda asked, handler: asked.path.endswith("/actions/runs") and answer(handler, 200, listed)
    message = refused(api, tmp_path / "site.zip", NoSuchRun, run_id=5 if named else 0)
    assert message.startswith("octocat/example has no successful run of build.yml for a push of 7f247f9b8a3d")
    assert hub.storage.asked == []


def test_a_wrong_number_is_made_up_for(hub: Hub, api: GitHubApi, tmp_path: Path) -> None:
    """The delivery's run may be older than the branch's head, or gone: the newest run of the commit counts then."""
    hub.add_run(4, "0" * 40)
    hub.add_run(7)
    hub.add_run(6)
    hub.add_run(8, path=".github/workflows/other.yml")
    for run in (4, 6, 7, 8):
        hub.add_artifact(run, ARCHIVE + bytes([run]))
    to = tmp_path / "site.zip"
    assert (fetch(api, to, 4), to.read_bytes()[-1]) == (7, 7)
    assert fetch(api, to, 99) == 7
    assert fetch(api, to, 6) == 6


def test_the_ref_of_a_workflow_does_not_matter(hub: Hub, api: GitHubApi, tmp_path: Path) -> None:
    """GitHub may tell at which ref it found the workflow's file; names of repositories have no case."""
    full = {"full_name": "Octocat/Example"}
    hub.add_run(5, path=".github/workflows/build.yml@refs/heads/main", repository=full, head_repository=full)
    hub.add_artifact(5, ARCHIVE)
    assert fetch(api, tmp_path / "site.zip") == 5


def test_only_the_exact_name_counts(hub: Hub, api: GitHubApi, tmp_path: Path) -> None:
    """Others of the run do not, nor does one that belongs to another run; of a repeated run the newest is taken."""
    hub.add_run(5)
    for name in ("Site", "site-2", "sit"):
        hub.add_artifact(5, b"wrong", name)
    hub.add_artifact(5, b"wrong", workflow_run={"id": 6, "head_sha": COMMIT})
    assert refused(api, tmp_path / "site.zip") == "the run 5 left no artifact called site"
    hub.add_artifact(5, b"older")
    hub.add_artifact(5, b"newer", workflow_run={"id": 5, "head_sha": COMMIT})
    hub.artifacts[5].reverse()
    fetch(api, tmp_path / "site.zip")
    assert (tmp_path / "site.zip").read_bytes() == b"newer"


def test_an_expired_artifact_is_told(hub: Hub, api: GitHubApi, tmp_path: Path) -> None:
    """GitHub keeps them for some weeks."""
    hub.add_run(5)
    hub.add_artifact(5, ARCHIVE, expired=True)
    assert refused(api, tmp_path / "site.zip") == "the artifact site of the run 5 has expired"
    assert hub.storage.asked == []


def test_a_large_archive_is_not_fetched(hub: Hub, api: GitHubApi, tmp_path: Path) -> None:
    """By what GitHub says of its size, before anything is downloaded."""
    hub.add_run(5)
    hub.add_artifact(5, ARCHIVE)
    assert "has 200000 bytes; 199999 may be fetched" in refused(api, tmp_path / "site.zip", largest=199_999)
    assert hub.storage.asked == []
    fetch(api, tmp_path / "site.zip", largest=200_000)


def test_an_archive_that_is_larger_than_said_is_cut(hub: Hub, api: GitHubApi, tmp_path: Path) -> None:
    """And by what comes, whatever was said: no disk is filled."""
    sent = 0

    def endless(_asked: Asked, handler: Handler) -> bool:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        for _ in range(4_000):
            handler.wfile.write(bytes(1 << 16))
            sent += 1 << 16
        return True

    hub.add_run(5)
    hub.add_artifact(5, ARCHIVE)
    hub.storage.rule = endless
    assert "larger than the 1048576 bytes" in refused(api, tmp_path / "site.zip")
    assert sent < 64 << 20


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "sha256:short"])
def test_another_digest_is_refused(hub: Hub, api: GitHubApi, tmp_path: Path, digest: str) -> None:
    """What GitHub describes is what must arrive."""
    hub.add_run(5)
    hub.add_artifact(5, ARCHIVE, digest=digest)
    assert refused(api, tmp_path / "site.zip").endswith("(its SHA-256 is another)")


@pytest.mark.parametrize("digest", [None, "sha512:abc"])
def test_an_archive_without_a_known_digest_is_taken(
    hub: Hub, api: GitHubApi, tmp_path: Path, digest: str | None
) -> None:
    """Older servers give none."""
    hub.add_run(5)
    hub.add_artifact(5, ARCHIVE, digest=digest)
    assert fetch(api, tmp_path / "site.zip") == 5


def test_a_compressed_answer_does_not_grow(hub: Hub, api: GitHubApi, tmp_path: Path) -> None:
    """What the place says of its encoding is not believed: the bytes of the archive are what counts."""

    def encoded(asked: Asked, handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(ARCHIVE)))
        handler.end_headers()
        handler.wfile.write(ARCHIVE)
        return True

    hub.add_run(5)
    hub.add_artifact(5, ARCHIVE)
    hub.storage.rule = encoded
    fetch(api, tmp_path / "site.zip")
    assert (tmp_path / "site.zip").read_bytes() == ARCHIVE


def cut(_asked: Asked, handler: Handler) -> bool:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(ARCHIVE)))
    handler.end_headers()
    handler.wfile.write(ARCHIVE[:100_000])
    handler.close_connection = True
    return True


def missing(_asked: Asked, handler: Handler) -> bool:
    return answer(handler, 403, {"message": "AuthenticationFailed"})


def onwards(_asked: Asked, handler: Handler) -> bool:
    return answer(handler, 302, {}, Location="http://127.0.0.1:1/")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (cut, "its place does not answer ("),
        (missing, "its place answers 403"),
        (onwards, "its place answers 302"),
    ],
)
def test_a_place_that_gives_no_archive(hub: Hub, api: GitHubApi, tmp_path: Path, rule: Rule, words: str) -> None:
    """Half of an archive is none, and nobody is followed any further."""
    hub.add_run(5)
    hub.add_artifact(5, ARCHIVE)
    hub.storage.rule = rule
    assert words in refused(api, tmp_path / "site.zip")


def test_a_dripping_archive_is_not_waited_for(
    hub: Hub, api: GitHubApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The download as a whole has its time, whatever each of its bytes takes."""

    def drip(_asked: Asked, handler: Handler) -> bool:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1_200):
            handler.wfile.write(b"z")
            handler.wfile.flush()
            time.sleep(0.1)
        return True

    monkeypatch.setattr(download, "DOWNLOAD_SECONDS", 1.0)
    hub.add_run(5)
    hub.add_artifact(5, ARCHIVE)
    hub.storage.rule = drip
    began = time.monotonic()
    assert refused(api, tmp_path / "site.zip", GitHubUnavailable).endswith("it did not arrive within 1 s")
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/x", "//127.0.0.1/x", "http:///x", "/x"])
def test_other_places_are_not_asked(hub: Hub, api: GitHubApi, tmp_path: Path, place: str) -> None:
    """An archive is on the web, and nowhere on this machine."""
    hub.add_run(5)
    hub.add_artifact(5, ARCHIVE)
    hub.rule = lambda asked, handler: asked.path.endswith("/zip") and answer(handler, 302, {}, Location=place)
    assert refused(api, tmp_path / "site.zip").startswith("the artifact site of octocat/example cannot be fetched")


def test_an_encrypted_api_leads_to_no_plain_place(tmp_path: Path) -> None:
    """Nobody in between may put another archive in its place."""
    with pytest.raises(GitHubTrouble, match="names a place for it that is not https"):
        download.download("http://127.0.0.1:1/x", tmp_path / "x", 1, "", "it failed", plain=False)


def test_a_folder_that_is_not_there_is_told(hub: Hub, api: GitHubApi, tmp_path: Path) -> None:
    """In a sentence, with the reason of the system."""
    hub.add_run(5)
    hub.add_artifact(5, ARCHIVE)
    small = tmp_path / "nowhere" / "site.zip"
    words = os.strerror(errno.ENOENT)
    assert refused(api, small).endswith(f"it cannot be kept in {small.parent} ({words})")


def test_a_full_disk_is_told(hub: Hub, api: GitHubApi, tmp_path: Path) -> None:
    """The same where the file cannot grow any more, and the half of it is removed."""
    hub.add_run(5)
    hub.add_artifact(5, ARCHIVE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        message = refused(api, tmp_path / "site.zip")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert message.endswith(f"({os.strerror(errno.EFBIG)})")


def test_a_link_is_not_written_through(hub: Hub, api: GitHubApi, tmp_path: Path) -> None:
    """Whoever can write into the folder does not choose another file."""
    hub.add_run(5)
    hub.add_artifact(5, ARCHIVE)
    other, to = tmp_path / "other", tmp_path / "site.zip"
    other.write_bytes(b"keep me")
    to.symlink_to(other)
    fetch(api, to)
    assert (other.read_bytes(), to.is_symlink(), to.read_bytes()) == (b"keep me", False, ARCHIVE)
