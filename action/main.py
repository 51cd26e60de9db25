"""The composite action's program: install what the lock file pins into a folder of its own, then run the step.

Before that, nothing is imported but the standard library and what of ours needs no more. Packages are wheels whose hashes
are checked; nothing is built, nothing is looked for in the workspace, and of the caller's settings for pip only those
count that say where packages come from and how to get there.
"""

from __future__ import annotations

import compileall
import contextlib
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "action.txt"
MOST_PIPS = 4
# What every step imports. Python would compile it then, one module after the other; so it is done while a pip still waits.
_IMPORTED = ("click", "cryptography", "fabric", "invoke", "msgspec", "nacl", "paramiko", "yaml")
_PLACES = """INDEX_URL EXTRA_INDEX_URL FIND_LINKS NO_INDEX TRUSTED_HOST CERT CLIENT_CERT PROXY TIMEOUT DEFAULT_TIMEOUT
RETRIES CONFIG_FILE KEYRING_PROVIDER""".split()
# What a caller's configuration file may say otherwise, which would break this: a variable beats it.
_PLAIN = {"PIP_REQUIRE_VIRTUALENV": "0", "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def main() -> None:
    """Install, then run; ends with the step's exit code."""
    began = time.monotonic()
    sys.path.append(str(ROOT))  # behind the standard library
    try:
        folder = tempfile.mkdtemp(prefix="deployer-", dir=os.environ.get("RUNNER_TEMP") or None)
        packages = install(folder, os.environ)
    except KeyboardInterrupt:
        refuse("interrupted while the action was being installed; nothing was deployed", code=130)
    except OSError as error:
        refuse(f"the action cannot be installed: {error}")
    print(f"install: the action's packages, hashes checked ({time.monotonic() - began:.2f} s)", flush=True)
    # The packages before the checkout: no file beside action.yml is in the way of one.
    sys.path[-1:] = [*packages, str(ROOT)]
    from deployer.action import main as run

    run()


def install(folder: str, environment: Mapping[str, str]) -> list[str]:
    """Put the packages of the lock file into folders below ``folder``. Ends the step when that fails.

    pip asks for one package after the other, and mostly waits: several of them share the work.
    """
    python = [sys.executable, "-I"]
    if subprocess.run([*python, "-c", "import pip"], capture_output=True, check=False).returncode != 0:
        bare = f"{folder}/pip"
        subprocess.run([*python, "-m", "venv", bare], check=False, stdout=subprocess.DEVNULL)
        python = [f"{bare}/bin/python", "-I"]
    command = [*python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    command += ["--no-compile", "--no-cache-dir", "--no-warn-script-location"]
    packages = []
    commands = []
    for number, text in enumerate(shares(LOCK.read_text("utf-8"), min(MOST_PIPS, os.cpu_count() or 1))):
        lock, target = Path(folder, f"{number}.txt"), f"{folder}/{number}"
        lock.write_text(text, "utf-8")
        packages.append(target)
        commands.append([*command, f"--target={target}", f"--requirement={lock}"])
    if said := run_all(commands, pip_variables(environment), lambda number: compile_packages(packages[number])):
        print(said, end="")
        refuse(why(environment))
    return packages


def shares(lock: str, number: int) -> list[str]:
    """The lock file as so many, of about as many packages each: a package begins where a line is not indented."""
    packages = [text for text in re.split(r"^(?=\w)", lock, flags=re.MULTILINE)[1:] if text.strip()]
    bounds = [len(packages) * each // number for each in range(number + 1)]
    return ["".join(packages[first:last]) for first, last in itertools.pairwise(bounds)]


def compile_packages(folder: str) -> None:
    """Compile what every step imports, as far as it is in ``folder``."""
    for package in (Path(folder, name) for name in _IMPORTED):
        if package.is_dir():
            compileall.compile_dir(package, quiet=2)


def run_all(commands: Sequence[list[str]], variables: Mapping[str, str], after: Callable[[int], None]) -> str:
    """Run them at the same time; what the first one that fails says, made harmless: it is none of the runner's.

    ``after`` gets the number of each that has ended well. Their end is the end of all: also when one fails, or somebody
    interrupts.
    """
    from deployer.interrupts import postponed

    with contextlib.ExitStack() as stack:
        children = []
        for command in commands:
            with postponed():
                child = stack.enter_context(start(command, variables))
                stack.callback(child.kill)
            children.append(child)
        # They wait for the network; meanwhile, what will be imported is compiled.
        compileall.compile_dir(str(ROOT / "deployer"), quiet=2)
        for number, child in enumerate(children):
            said, _ = child.communicate()
            if child.returncode != 0:
                said = said or f"pip ended with status {child.returncode}\n"
                return said.replace("##[", "## [").replace("::", ": :")
            after(number)
    return ""


def start(command: list[str], variables: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a program whose output we read."""
    return subprocess.Popen(
        command,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def pip_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables without the step's inputs, and of pip's only those that tell where packages come from."""
    kept = {f"PIP_{name}" for name in _PLACES}
    foreign = ("PIP_", "PYTHON", "DEPLOYER_")
    variables = {name: text for name, text in environment.items() if name in kept or not name.startswith(foreign)}
    return variables | _PLAIN


def why(environment: Mapping[str, str]) -> str:
    """What to look at when pip has failed."""
    version = ".".join(map(str, sys.version_info[:2]))
    named = [name for name in (f"PIP_{place}" for place in _PLACES[:4]) if name in environment]
    where = f"; it looks where {', '.join(named)} of this job says" if named else ""
    return f"the action's packages could not be installed for Python {version}; pip says why above{where}"


def refuse(message: str, code: int = 1) -> NoReturn:
    """End the step with one line that says why."""
    text = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    print(f"::error title=Deploy::{text}", flush=True)
    os._exit(code)


if __name__ == "__main__":
    main()
