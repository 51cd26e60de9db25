"""Carrying out what deliveries ask for."""

from __future__ import annotations

import importlib

from receiver.config import ReceiverConfig, Secrets
from receiver.worker.loop import Reload, Worker

__all__ = ["run_worker"]

_NEEDED = (
    "deployer.health",
    "deployer.probe",
    "deployer.rebuild",
    "deployer.static",
    "deployer.static.rollback",
    "deployer.transports.local",
    "deployer.web",
    "encodings.idna",
    "zstandard",
)


def run_worker(config: ReceiverConfig, secrets: Secrets, reload: Reload | None = None) -> int:
    """Work until SIGTERM, in this process alone, which must have one thread. SIGHUP takes the configuration of ``reload``.

    Returns the exit code. Raises ReceiverError and OSError where the start fails.
    """
    _preload()
    return Worker(config, secrets, reload).run()


def _preload() -> None:
    """Import what every deploy needs before the first one: forked children find it there, in memory that they share."""
    for name in _NEEDED:
        importlib.import_module(name)
