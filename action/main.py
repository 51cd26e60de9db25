"""The composite action's program: install what the lock file pins into a folder of its own, then run the step.

Only the standard library is imported before that. Packages are wheels whose hashes are checked; nothing is built,
nothing is looked for in the workspace, and of the caller's settings for pip only those count that say where packages
come from and how to get there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "action.txt"
_PLACES = """INDEX_URL EXTRA_INDEX_URL FIND_LINKS NO_INDEX TRUSTED_HOST CERT CLIENT_CERT PROXY TIMEOUT DEFAULT_TIMEOUT
RETRIES CONFIG_FILE KEYRING_PROVIDER""".split()
# What a caller's configuration file may say otherwise, which would break this: a variable beats it.
_PLAIN = {"PIP_REQUIRE_VIRTUALENV": "0", "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def main() -> None:
    """Install, then run; ends with the step's exit code."""
    began = time.monotonic()
    try:
        packages = tempfile.mkdtemp(prefix="deployer-", dir=os.environ.get("RUNNER_TEMP") or None)
        install(packages, os.environ)
    except KeyboardInterrupt:
        refuse("interrupted while the action was being installed; nothing was deployed", code=130)
    except OSError as error:
        refuse(f"the action cannot be installed: {error}")
    print(f"install: the action's packages, hashes checked ({time.monotonic() - began:.1f} s)", flush=True)
    # Behind the standard library, and the packages before the checkout: no file beside action.yml is in the way of one.
    sys.path += [packages, str(ROOT)]
    from deployer.action import main as run

    run()


def install(packages: str, environment: Mapping[str, str]) -> None:
    """Put the packages of the lock file into the folder ``packages``. Ends the step when that fails."""
    python = [sys.executable, "-I"]
    if subprocess.run([*python, "-c", "import pip"], capture_output=True, check=False).returncode != 0:
        bare = f"{packages}-pip"
        subprocess.run([*python, "-m", "venv", bare], check=False, stdout=subprocess.DEVNULL)
        python = [f"{bare}/bin/python", "-I"]
    command = [*python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    command += ["--no-compile", "--no-cache-dir", "--no-warn-script-location", f"--target={packages}"]
    done = run_pip([*command, f"--requirement={LOCK}"], pip_variables(environment))
    if done.returncode != 0:
        print(done.stdout, end="")
        refuse(why(environment))


def run_pip(command: list[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run pip to its end; an interrupt ends it, too. What it says comes back only as text: it is none of the runner's."""
    with subprocess.Popen(
        command,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as child:
        try:
            said, _ = child.communicate()
        except BaseException:
            child.kill()
            raise
    return subprocess.CompletedProcess(command, child.returncode, said.replace("##[", "## [").replace("::", ": :"))


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
