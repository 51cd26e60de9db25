"""The acts of the demo with Docker: a static site and a service on one server, deployed to while visitors read."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from demo.docker.stage import Stage, staged
from demo.telling import Telling, Unexpected, inherited
from tests.load import Load

__all__ = ["tell"]

COMMAND_SECONDS = 180.0
FAILED = 1  # deployer's exit code for "failed; the previous release still serves"
BROKEN = 'raise SystemExit("cannot open the database: no such file")\n'


def tell(folder: Path, voice: TextIO = sys.stdout) -> None:
    """Play the whole demo inside the new, empty ``folder``; whatever goes otherwise than it has to raises Unexpected."""
    (folder / "home").mkdir()
    told = Telling(voice, inherited(folder / "home"), COMMAND_SECONDS)
    told.act("A server")
    with staged(folder) as stage:
        told.environment |= stage.settings()
        told.narrate(
            f"{stage.engine[0].upper()}{stage.engine[1:]} runs Traefik, three nginx and version v1 of a blog, all as"
            " examples/blog-site has them. An OpenSSH server lets deployer in. This is the blog's deploy.toml; variables"
            " give the demo's own addresses."
        )
        told.show((stage.author / "blog" / "deploy.toml").read_text("utf-8"))
        if stage.is_isolated:
            told.narrate("")
            told.narrate(
                "Docker may remark that IPv4 forwarding is disabled: containers of the demo's own engine reach each"
                " other and this machine, and no other network. They need none."
            )
        _first_deploys(told, stage)
        with _visitors(told, stage):
            _deploy_both(told, stage)
            _break(told, stage)
            _go_back(told, stage)


def _first_deploys(told: Telling, stage: Stage) -> None:
    told.act("The static site for the first time")
    told.environment["DEPLOYER_URL"] = stage.url
    told.deployer(stage.author / "site", "run")
    told.narrate(
        "A probe has asked for the site from before the switch until after it: the last lines say what it measured, and draw"
        " the latencies in time (│ is the switch)."
    )
    told.act("Take the blog over from the hand-written routers.yml")
    told.narrate(
        "deployer moves the service, and nothing else, into a file of its own, in an order that never leaves it undefined."
    )
    told.environment["DEPLOYER_URL"] = f"{stage.url}blog/"
    told.deployer(stage.author / "blog", "proxy", "adopt", "--yes")
    told.narrate("The first run makes a release of what runs, to which a rollback can return. Its container stays.")
    told.deployer(stage.author / "blog", "run", "--quiet")


@contextlib.contextmanager
def _visitors(told: Telling, stage: Stage) -> Iterator[None]:
    """Ask without a pause while the block runs; at its end, say and judge what became of it."""
    told.narrate("")
    told.narrate(
        "From now on wrk asks without a pause: 10 connections for the blog, and new ones for the site's front page."
    )
    with Load(f"{stage.url}blog/", connections=10) as blog, Load(stage.url, connections=2, close=True) as site:
        yield
        outcomes = {"the blog": blog.stop(), "the site": site.stop()}
    told.act("What the visitors saw")
    for name, outcome in outcomes.items():
        told.narrate(f"Of {name}: {outcome}.")
    if any(outcome.failed for outcome in outcomes.values()):
        raise Unexpected("visitors missed pages")


def _deploy_both(told: Telling, stage: Stage) -> None:
    told.act("A new front page")
    page = stage.author / "site" / "public" / "index.html"
    page.write_text(page.read_text("utf-8").replace("<p>", "<p>There is news. "), "utf-8")
    told.environment["DEPLOYER_URL"] = stage.url
    told.deployer(stage.author / "site", "run")
    stage.wait_for("", "There is news")
    told.act("A new post: push, build on the server, roll")
    told.environment["DEPLOYER_URL"] = f"{stage.url}blog/"
    commit = stage.publish("Write a second post", {"posts/second.txt": "A post that was not there before.\n"})
    told.narrate(f"The author has pushed {commit}.")
    told.deployer(stage.author / "blog", "run")
    stage.wait_for("blog/second", commit)
    told.narrate("The new post is there. Deployed again without a new commit, nothing is touched:")
    told.deployer(stage.author / "blog", "run")


def _break(told: Telling, stage: Stage) -> None:
    told.act("A version that does not start")
    stage.publish("Break the blog", {"blog.py": BROKEN})
    told.deployer(stage.author / "blog", "run", "--quiet", expected=FAILED)
    told.narrate(f"Exit code {FAILED}, as it has to be: the new container never got a visitor, and the old one serves.")
    stage.wait_for("blog/second", "A post")


def _go_back(told: Telling, stage: Stage) -> None:
    told.act("Go back by hand, without building")
    told.deployer(stage.author / "blog", "releases")
    told.deployer(stage.author / "blog", "rollback")
    stage.wait_for("blog/", "version v1<")
