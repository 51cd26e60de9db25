"""What a GitHub runner lacks before it can build a site, as steps of a workflow."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from deployer.init.packages import setup_steps
from deployer.init.site import Step

__all__ = ["hugo", "jekyll_build", "mkdocs", "node", "ruby"]

_HUGO_VERSION = "0.152.2"  # where none is installed here to go by
_OLDEST_HUGO = (0, 103)  # since then its packages have the name that the step asks for
_VERSION_SECONDS = 5
_REQUIREMENTS = ("requirements.txt", "docs/requirements.txt", "requirements-docs.txt")

node = setup_steps


def hugo(_folder: Path, _prefix: str) -> tuple[Step, ...]:
    """The version of Hugo that this machine has, from Hugo's own releases."""
    package = "hugo_extended_${HUGO_VERSION}_linux-amd64.deb"
    run = (
        'curl --fail --silent --show-error --location --output "$RUNNER_TEMP/hugo.deb" \\\n'
        f'  "https://github.com/gohugoio/hugo/releases/download/v$HUGO_VERSION/{package}"\n'
        'sudo dpkg --install "$RUNNER_TEMP/hugo.deb"'
    )
    return (Step("Install Hugo", run=run, variables={"HUGO_VERSION": _hugo_version()}),)


def _hugo_version() -> str:
    command = ["hugo", "version"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return _HUGO_VERSION
    match = re.search(r"\bv(\d+)\.(\d+)\.(\d+)\b", done.stdout)
    recent = match and (int(match[1]), int(match[2])) >= _OLDEST_HUGO
    return match[0][1:] if match and recent else _HUGO_VERSION


def jekyll_build(folder: Path) -> str:
    """Jekyll builds for visitors only when it is told so; Bundler knows the versions, where there is a Gemfile."""
    bundler = "bundle exec " if (folder / "Gemfile").is_file() else ""
    return f"JEKYLL_ENV=production {bundler}jekyll build"


def ruby(folder: Path, prefix: str) -> tuple[Step, ...]:
    """Ruby with the Gemfile's gems, or with Jekyll alone."""
    bundled = (folder / "Gemfile").is_file()
    inputs: dict[str, str | int | bool] = {}
    if not any((folder / name).is_file() for name in (".ruby-version", ".tool-versions")):
        inputs["ruby-version"] = "3.4"
    if bundled:
        inputs["bundler-cache"] = True
    if prefix:
        inputs["working-directory"] = prefix.rstrip("/")
    gems = () if bundled else (Step("Install Jekyll", run="gem install jekyll"),)
    return (Step(uses="ruby/setup-ruby@v1", inputs=inputs), *gems)


def mkdocs(folder: Path, _prefix: str) -> tuple[Step, ...]:
    """Python with what the requirements name, or else with MkDocs and the one theme that most sites use."""
    requirements = next((name for name in _REQUIREMENTS if (folder / name).is_file()), "")
    command = f"pip install --requirement {requirements}" if requirements else "pip install mkdocs mkdocs-material"
    python = Step(uses="actions/setup-python@v6", inputs={"python-version": "3.13"})
    return (python, Step("Install MkDocs", run=command))
