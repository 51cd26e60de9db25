"""Every error that the receiver raises on purpose; each class is one exit code of its commands."""

from __future__ import annotations

__all__ = ["InvalidConfig", "ReceiverError", "StoreUnavailable"]


class ReceiverError(Exception):
    """The root: ``message`` is one sentence of what is wrong and where; ``hint``, if there is one, what to do next."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return "\n  ".join([self.message, *self.hint.splitlines()])


class InvalidConfig(ReceiverError):
    """Wrong usage, configuration or input; nothing was changed."""

    exit_code = 2


class StoreUnavailable(ReceiverError):
    """The database cannot be read or written at the moment: nothing was stored of what was asked."""
