"""The receiver's image, built from the Dockerfile on a real engine, on a base that is made here, as no registry answers."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from tests.conftest import need
from tests.engine import Engine

__all__ = ["IMAGE", "ROOT", "build_image"]

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "deployer:latest"
BASE = "receiver-base:latest"
SUITE = "trixie"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# As in the public slim images, which do without syncing each file, too.
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")


def build_image(engine: Engine) -> None:
    """Have the image, tagged ``deployer``, in an engine that keeps it."""
    if IMAGE in engine.provided:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_base(engine, folder)
        settings = folder / "pip.conf"
        settings.write_text(_pip_settings(), "utf-8")
        settings.chmod(0o600)
        _build(
            engine,
            folder,
            "--network=host",  # the engine's own networks lead nowhere
            f"--build-arg=BASE={BASE}",
            f"--secret=id=pip.conf,src={settings}",
            f"--secret=id=ca.pem,src={os.environ.get('PIP_CERT') or _CERTIFICATES}",
            *(
                f"--build-arg={variable}"
                for variable in os.environ
                if variable.lower() in {"http_proxy", "https_proxy"}
            ),
            f"--tag={IMAGE}",
        )
    engine.provided |= {IMAGE, BASE}


def _build(engine: Engine, folder: Path, *arguments: str) -> None:
    environment = engine.environment | {"DOCKER_BUILDKIT": "1", "BUILDX_CONFIG": str(folder / "buildx")}
    command = ["docker", "build", "--progress=plain", *arguments, "."]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]


def _make_base(engine: Engine, folder: Path) -> None:
    """What the public image python:3-slim has, as far as the Dockerfile asks for it."""
    program = need("mmdebstrap", "to make a base image")
    sources = folder / "debian.sources"
    sources.write_text(_sources(), "utf-8")
    options = [f"--dpkgopt={option}" for option in ("force-unsafe-io", *(f"path-exclude={each}" for each in _LEFT_OUT))]
    command = [
        program,
        "--quiet",
        "--variant=minbase",
        "--include=python3,python3-venv,ca-certificates",
        *options,
        SUITE,
    ]
    archive = folder / "base.tar"
    done = subprocess.run([*command, str(archive), str(sources)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    engine.docker("import", "--change=ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", str(archive), BASE)


def _sources() -> str:
    """Where this machine has its own Debian from, for the suite of the base."""
    for place in ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"):
        if Path(place).exists():
            return Path(place).read_text("utf-8").replace("bookworm", SUITE)
    need("sources of Debian", "to make a base image", present=False)
    raise AssertionError("not reached")


def _pip_settings() -> str:
    """This machine's index, as the builder's own affair: neither the Dockerfile nor the image knows it."""
    lines = ["[global]", "cert = /run/secrets/ca.pem"]
    if index := os.environ.get("PIP_INDEX_URL"):
        lines.append(f"index-url = {index}")
    return "".join(f"{line}\n" for line in lines)
