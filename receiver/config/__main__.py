"""``python -m receiver.config [ROOT]``: write the reference page of receiver.toml anew, after the model changed."""

from __future__ import annotations

import sys
from pathlib import Path

from receiver.config.reference import page

__all__ = ["generated"]


def generated() -> dict[str, str]:
    """The generated files by their path in the repository."""
    return {"docs/receiver-toml.md": page()}


if __name__ == "__main__":
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    for name, text in generated().items():
        (root / name).write_text(text, encoding="utf-8")
        print(root / name)
