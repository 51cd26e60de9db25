"""Where the files of ``init`` go."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from deployer.errors import InvalidInput
from deployer.init.repository import Repository, look
from deployer.init.workflow import WORKFLOW_FILE

__all__ = ["DEPLOY_FILE", "Places", "find_places"]

DEPLOY_FILE = "deploy.toml"


@dataclass(frozen=True, slots=True)
class Places:
    """``folder`` is the site's, with its deploy.toml ``file``; ``within`` is its path in the repository, empty at the top.

    GitHub looks for workflows at the repository's top only; without a repository, the folder counts as that.
    """

    here: Path
    file: Path
    repository: Repository
    within: str

    @property
    def folder(self) -> Path:
        """The site's own folder."""
        return self.file.parent

    @property
    def top(self) -> Path:
        """The repository's."""
        return self.repository.top or self.folder

    @property
    def workflow(self) -> Path:
        """The workflow's file."""
        return self.top / WORKFLOW_FILE

    @property
    def name(self) -> str:
        """What people call the site: its repository, or the folder of one that is not alone in it."""
        remote = self.repository.remote
        return remote.name if remote and not self.within else self.folder.name

    def shown(self, file: Path) -> str:
        """A file as a person in the working directory would write it."""
        return os.path.relpath(file, self.here)


def find_places(file: str) -> Places:
    """``file`` may be empty, for deploy.toml in the working directory. Raises InvalidInput when its folder is not there."""
    # Without links, as Git shows its paths.
    here = Path(os.path.realpath(Path.cwd()))
    target = here / Path(file or DEPLOY_FILE).expanduser()
    folder = Path(os.path.realpath(target.parent))
    if not folder.is_dir():
        raise InvalidInput(f"there is no folder {str(target.parent)!r} to write {target.name} into")
    repository = look(folder)
    within = os.path.relpath(folder, repository.top) if repository.top else "."
    return Places(here, folder / target.name, repository, "" if within == "." else within)
