"""The acts of the demo: real deploys of a small site, told as they happen."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import TextIO

from demo import children
from demo.site import GREETING, front_page_says, write_site
from demo.ssh_server import generate_key
from demo.telling import Telling, Unexpected, inherited
from demo.visitor import Visitor

__all__ = ["Unexpected", "tell"]

GATE_FAILED = 5  # deployer's exit code for "went live, failed its gate and was rolled back"

SETTINGS = """\
app = "demo"
url = "http://127.0.0.1:{web_port}/site/"

[host]
address = "127.0.0.1"
port = {ssh_port}
user = "demo"
key = "id_ed25519"
host_key = "{host_key}"

[static]
source = "public"                # what is uploaded
target = {target}

[health]
contains = "{greeting}"   # the page must say this, or the deploy is undone
timeout = 5
"""


class Story(Telling):
    """One telling: the folder that everything lives in, the voice, and the web address of the site."""

    def __init__(self, folder: Path, voice: TextIO) -> None:
        super().__init__(voice, inherited(folder / "home"))
        self.project = folder / "project"
        self.www = folder / "server" / "www"
        self.key = folder / "key.pub"
        self.url = ""
        for made in (self.project, self.www, folder / "home"):
            made.mkdir(parents=True)

    def visit(self, expected: str) -> None:
        """Fetch the front page, say what it says, and hold it to that."""
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(self.url, timeout=5) as answer:
            says = front_page_says(answer.read().decode("utf-8"))
        self.narrate(f'The front page now says: "{says}".')
        if says != expected:
            raise Unexpected(f'the front page should say "{expected}"')


def tell(folder: Path, voice: TextIO = sys.stdout) -> None:
    """Play the whole demo inside the new, empty ``folder``.

    Raises Unexpected when anything goes otherwise than it has to; no process that was started is left either way.
    """
    story = Story(folder, voice)
    private, public = generate_key()
    story.key.write_text(public, "ascii")
    key = story.project / "id_ed25519"
    key.touch(mode=0o600)
    key.write_text(private, "ascii")
    with (
        children.server("demo.ssh_server", story.key, story.environment) as ssh,
        children.server("demo.web_server", story.www, story.environment) as web,
    ):
        _set_up(story, ssh["port"], ssh["host_key"], web["port"])
        _first_deploy(story)
        with Visitor(web["port"]) as visitor:
            _second_deploy(story)
            _broken_deploy(story)
            _look_and_go_back(story)
        _sum_up(story, visitor)


def _set_up(story: Story, ssh_port: int, host_key: str, web_port: int) -> None:
    story.act("A server and a site")
    target = json.dumps(str(story.www / "site"))
    settings = SETTINGS.format(
        web_port=web_port, ssh_port=ssh_port, host_key=host_key, target=target, greeting=GREETING
    )
    (story.project / "deploy.toml").write_text(settings, "utf-8")
    story.url = f"http://127.0.0.1:{web_port}/site/"
    files = write_site(story.project / "public", 1)
    story.narrate(
        f"A throw-away SSH server listens on 127.0.0.1:{ssh_port}; a web server serves its folder at {story.url}."
        f" A small site of {files} files waits to be deployed. This is its deploy.toml:"
    )
    story.show(settings)


def _first_deploy(story: Story) -> None:
    story.act("Deploy version 1")
    story.deployer(story.project, "run")
    story.visit(f"{GREETING}, version 1")


def _second_deploy(story: Story) -> None:
    story.act("What would version 2 change?")
    write_site(story.project / "public", 2)
    story.narrate("The site was built anew: every file was written again, but few differ. `plan` changes nothing.")
    story.deployer(story.project, "plan")
    story.visit(f"{GREETING}, version 1")
    story.act("Deploy version 2 while people read")
    story.narrate(
        "By now a visitor reads 50 pages a second. Beside that, deployer itself probes the site from before the switch"
        " until after it: its last lines say what it measured, and draw the latencies in time (│ is the switch)."
    )
    story.deployer(story.project, "run")
    story.visit(f"{GREETING}, version 2")


def _broken_deploy(story: Story) -> None:
    story.act("Break version 3")
    write_site(story.project / "public", 3)
    story.narrate(f'Its front page lost the words "{GREETING}", which the health check asks for.')
    story.deployer(story.project, "run", expected=GATE_FAILED)
    story.narrate(f"Exit code {GATE_FAILED}, as it has to be: version 3 was switched on, checked, and taken back.")
    story.visit(f"{GREETING}, version 2")


def _look_and_go_back(story: Story) -> None:
    story.act("What is on the server")
    story.deployer(story.project, "releases")
    story.act("Go back by hand")
    story.deployer(story.project, "rollback")
    story.visit(f"{GREETING}, version 1")


def _sum_up(story: Story, visitor: Visitor) -> None:
    story.act("What you saw")
    versions = ", ".join(heading.rpartition(" ")[2] for heading in visitor.seen)
    story.narrate(
        f"Two deploys, one deploy that undid itself, and one rollback. Meanwhile the visitor asked for"
        f" {visitor.pages:,} pages: {len(visitor.dropped)} dropped, every other one whole."
        f" Its front page was, one after the other, version {versions}."
    )
    if visitor.dropped:
        raise Unexpected(f"the visitor missed pages: {'; '.join(visitor.dropped[:5])}")
    if not visitor.seen or not visitor.seen[-1].endswith("version 1"):
        raise Unexpected(f"the visitor saw {visitor.seen}")
