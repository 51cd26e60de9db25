"""What is said of a service's image when it is another one, and when it is not."""

from __future__ import annotations

import pytest

from deployer.plan import Reply
from deployer.rebuild.facts import Facts, read_facts
from deployer.rebuild.images import told_images

OLD, NEW = f"sha256:{'0139b556d3d5' * 5}0139", f"sha256:{'8b1c2d3e4f5a' * 5}8b1c"


def facts(*containers: str, live: tuple[str, ...] = (), host: str = "") -> Facts:
    said = [("container", each.encode()) for each in containers] + [("live_image", each.encode()) for each in live]
    return read_facts(Reply(tuple(said)), host)


RUNNING = f"blog blog-1 c1 {OLD} running healthy 0"


@pytest.mark.parametrize(
    ("before", "images", "told"),
    [
        (
            facts(RUNNING),
            [f"blog {NEW} main:latest changed"],
            ["image of blog: 0139b556d3d5 → 8b1c2d3e4f5a (main:latest)"],
        ),
        (facts(RUNNING), [f"blog {OLD} main:latest"], ["no image has changed"]),
        (facts(RUNNING), [f"blog {NEW}"], ["image of blog: 0139b556d3d5 → 8b1c2d3e4f5a"]),
        (facts(), [f"blog {NEW} main:latest changed"], ["image of blog: none → 8b1c2d3e4f5a (main:latest)"]),
        (facts(live=(f"blog {OLD} main:latest",)), [f"blog {OLD} main:latest changed"], ["no image has changed"]),
        (
            facts(RUNNING, RUNNING, f"blog blog-2 c2 {NEW} running - 0"),
            ["blog sha256:c0ffee x"],
            ["image of blog: 0139b556d3d5 and 8b1c2d3e4f5a → c0ffee (x)"],
        ),
        (facts(RUNNING.replace("running", "exited")), [f"blog {NEW} x"], ["image of blog: none → 8b1c2d3e4f5a (x)"]),
        (
            facts(RUNNING, host="web1"),
            [f"db {NEW} postgres:17", f"blog {OLD} x"],
            ["web1: image of db: none → 8b1c2d3e4f5a (postgres:17)"],
        ),
        (facts(RUNNING), [], []),
    ],
)
def test_images_in_words(before: Facts, images: list[str], told: list[str]) -> None:
    """The old and the new identifier as Docker shows them; only of services that get another image."""
    assert list(told_images(before, images)) == told
