"""A missing part skips a test on a laptop and fails it in CI."""

from __future__ import annotations

import pytest

from tests.conftest import need

ABSENT = "no-such-program-anywhere"


def test_found_part_is_an_absolute_path() -> None:
    """A program that is there comes back as its path."""
    assert need("sh", "to run a script").endswith("/sh")


def test_missing_part_skips_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CI=true the test is skipped, and the reason names the part."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"needs {ABSENT}: to be missed"):
        need(ABSENT, "to be missed")


def test_missing_part_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """With CI=true nothing is skipped silently."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=f"needs {ABSENT}: to be missed"):
        need(ABSENT, "to be missed")
    with pytest.raises(pytest.fail.Exception, match="needs root"):
        need("root", "to mount a disk", present=False)
