"""The real nginx that other tests rely on."""

from __future__ import annotations

import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import need
from tests.nginx import Nginx


def test_serves_the_directory_with_an_etag(nginx: Nginx) -> None:
    """A file is there with its contents, its type and an ETag of its own, and the request is in the log."""
    (nginx.directory / "index.html").write_text("hello")
    with urllib.request.urlopen(nginx.url, timeout=60) as answer:
        assert answer.read() == b"hello"
        assert answer.headers["ETag"]
        assert answer.headers["Content-Type"] == "text/html"
    assert [line.split('"')[1] for line in nginx.requests()] == ["GET / HTTP/1.1"]


def test_follows_a_relative_link_below_a_location(tmp_path: Path) -> None:
    """A target that is a link, served below a path, shows what the link points at now."""
    need("nginx", "to serve a link")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "page.html").write_text(name)
    target = tmp_path / "site"
    target.symlink_to("one")
    with Nginx(target, tmp_path / "nginx", location="/site/") as server:
        assert urllib.request.urlopen(server.url + "page.html", timeout=60).read() == b"one"
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(target)
        assert urllib.request.urlopen(server.url + "page.html", timeout=60).read() == b"two"


def test_workers_can_be_somebody_else() -> None:
    """With another user's workers, what only root may read is refused, as on a real server."""
    need("root", "to start workers as another user", present=os.geteuid() == 0)
    need("nginx", "to serve as another user")
    with tempfile.TemporaryDirectory() as name:
        served = Path(name)
        served.chmod(0o755)
        for file, mode in (("public.html", 0o644), ("secret.html", 0o600)):
            (served / file).write_text(file)
            (served / file).chmod(mode)
        with Nginx(served, served / "state", user="nobody nogroup") as server:
            assert urllib.request.urlopen(server.url + "public.html", timeout=60).read() == b"public.html"
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(server.url + "secret.html", timeout=60)
            refused.value.close()
    assert refused.value.code == 403
