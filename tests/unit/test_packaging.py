"""What is installed: the wheel, its metadata, and the lock files that pin what it needs."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from deployer import __version__

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["runtime", "receiver", "action", "build", "dev"]
ONLY_FOR_TERMINALS = {"rich"}
OTHERS_LIBRARIES = ("flask", "gunicorn", "prometheus_client", "sqlalchemy", "github")
PINNED = re.compile(r"^(?P<name>[a-z0-9._-]+)==(?P<version>\S+)", re.MULTILINE)


def project() -> dict[str, object]:
    content: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return content


def names(requirements: object) -> set[str]:
    assert isinstance(requirements, list)
    return {re.split(r"[^a-zA-Z0-9._-]", each)[0] for each in requirements}


def wanted(name: str) -> set[str]:
    lines = (ROOT / "requirements" / f"{name}.in").read_text(encoding="utf-8").splitlines()
    return {line.partition("[")[0] for line in lines if line and not line.startswith(("#", "-r"))}


def lock(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=100)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    return email.message_from_bytes(wheel.read(f"deployer-{__version__}.dist-info/METADATA"))


def test_wheel_holds_everything_of_both_packages(wheel: zipfile.ZipFile) -> None:
    """Modules, the host's script, the schema and py.typed are all there, and nothing else is."""
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "deployer", "receiver"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert held == {name for name in tracked.split("\0") if name and (ROOT / name).exists()}
    assert {"deployer/py.typed", "receiver/py.typed"} <= held


def test_wheel_has_both_commands_and_the_licence(wheel: zipfile.ZipFile) -> None:
    """`deployer` and `receiver` are installed as commands."""
    commands = wheel.read(f"deployer-{__version__}.dist-info/entry_points.txt").decode()
    assert "deployer = deployer.__main__:main" in commands
    assert "receiver = receiver.__main__:main" in commands
    assert f"deployer-{__version__}.dist-info/licenses/LICENSE" in wheel.namelist()


def test_metadata_is_what_the_project_says(metadata: Message) -> None:
    """The version is the package's own, and the receiver's libraries come only with the extra."""
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.11"
    plain = {each for each in metadata.get_all("Requires-Dist", []) if "extra ==" not in each}
    assert names(sorted(plain)) == wanted("runtime")


def test_lock_files_pin_what_the_project_wants() -> None:
    """Each lock's wishes are the project's own dependencies, and every wish is pinned."""
    content = project()
    assert names(content["dependencies"]) == wanted("runtime")
    extras = content["optional-dependencies"]
    assert isinstance(extras, dict)
    assert names(extras["receiver"]) == wanted("receiver")
    assert names(extras["github"]) | wanted("runtime") - ONLY_FOR_TERMINALS == wanted("action")
    for name in LOCKS:
        assert wanted(name) <= {match["name"] for match in PINNED.finditer(lock(name))}


@pytest.mark.parametrize("name", LOCKS)
def test_lock_file_is_hashed_and_names_no_address(name: str) -> None:
    """Every pin has a hash, and where packages are fetched from is left to the user's own configuration."""
    text = lock(name)
    blocks = re.split(r"\n(?=[a-z0-9])", text)
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert re.search(r"https?:|--index|--find-links|file:", text) is None


def test_locks_agree_with_each_other() -> None:
    """The tests run on the same versions as the runtime: a larger lock holds the smaller one's pins."""
    pins = {name: {match.group() for match in PINNED.finditer(lock(name))} for name in LOCKS}
    assert pins["runtime"] <= pins["receiver"] <= pins["dev"]
    assert pins["action"] | pins["build"] <= pins["dev"]


def test_action_needs_nothing_that_its_lock_leaves_out() -> None:
    """What the action's program imports is loaded where Rich is not installed."""
    program = "import sys; sys.modules['rich'] = None; import deployer.action, deployer.running, deployer.checking"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, timeout=100)


def test_engine_loads_without_the_receivers_libraries() -> None:
    """Every module of deployer can be imported where Flask and its companions, or PyGithub, are not installed."""
    program = f"""
import importlib, pkgutil, sys
for name in {OTHERS_LIBRARIES!r}:
    sys.modules[name] = None
import deployer
for module in pkgutil.walk_packages(deployer.__path__, "deployer."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr


def test_receiver_command_says_what_there_is() -> None:
    """The installed command knows its subcommands without loading a web server."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "receiver", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert {"serve", "worker", "run", "secret", "doctor"} <= set(done.stdout.split())
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"flask", "gunicorn", "sqlalchemy", "github"}
