"""Every error that deployer raises on purpose; each class is one documented exit code.

A message says what is wrong, where, and what to do next, in words that can be printed as they are.
"""

from __future__ import annotations

__all__ = [
    "BudgetExceeded",
    "ConnectionLost",
    "ConnectionRefused",
    "DeployFailed",
    "DeployerError",
    "GateFailed",
    "Interrupted",
    "InvalidInput",
    "LockHeld",
    "NoLoginKey",
    "PreparationLost",
    "StateUnknown",
]


class DeployerError(Exception):
    """The root: anything that deployer itself reports.

    ``message`` is one sentence of what is wrong and where; ``hint``, if there is one, is what to do next.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return "\n  ".join([self.message, *self.hint.splitlines()])


class DeployFailed(DeployerError):
    """The deploy failed and the previous release still serves."""


class ConnectionLost(DeployFailed):
    """The connection broke in the middle of a deploy; the host undoes by itself what was not confirmed."""


class PreparationLost(ConnectionLost):
    """It broke before anybody watched and before the switch: what the host has kept, another attempt need not send."""


class InvalidInput(DeployerError):
    """Wrong usage, configuration or input; nothing was changed."""

    exit_code = 2


class NoLoginKey(InvalidInput):
    """There is no key to log in with, neither given nor found; where it should have come from, the caller knows."""


class LockHeld(DeployerError):
    """Another deploy holds the lock, and went on holding it for as long as we may wait."""

    exit_code = 3


class ConnectionRefused(DeployerError):
    """The host cannot be reached, does not let us in, or shows another host key than the pinned one."""

    exit_code = 4


class GateFailed(DeployerError):
    """The release went live, failed its health gate and was rolled back."""

    exit_code = 5


class BudgetExceeded(DeployerError):
    """The release is live and healthy, but the probe counted more drops than the budget allows."""

    exit_code = 6


class StateUnknown(DeployerError):
    """What is live is not known, or a rollback failed: a person has to look."""

    exit_code = 7


class Interrupted(DeployerError):
    """Stopped by the user or by a signal; what was live before serves."""

    exit_code = 130
