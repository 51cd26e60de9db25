"""Carrying out what deliveries ask for."""

from __future__ import annotations

from collections.abc import Callable

from receiver.config import ReceiverConfig, Secrets

__all__ = ["run_worker"]


def run_worker(
    config: ReceiverConfig, secrets: Secrets, reload: Callable[[], tuple[ReceiverConfig, Secrets]] | None = None
) -> int:
    """Work until SIGTERM. SIGHUP takes a new configuration. Returns the exit code."""
    raise NotImplementedError(config, secrets, reload)
