"""Values that must never be printed."""

from __future__ import annotations

__all__ = ["Secret"]


class Secret:
    """A text that shows itself only when asked by name.

    ``repr``, ``str``, f-strings, tracebacks and JSON encoders see ``***``.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself. Call it where it is used, and keep no copy."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"
