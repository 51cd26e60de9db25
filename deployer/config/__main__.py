"""``python -m deployer.config [ROOT]``: write the JSON Schema and the reference page anew, after the model changed."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from deployer.config.reference import page
from deployer.config.schema import json_schema

__all__ = ["generated"]


def generated() -> dict[str, str]:
    """The generated files by their path in the repository."""
    schema = msgspec.json.format(msgspec.json.encode(json_schema())).decode()
    return {"deployer/deploy.schema.json": schema + "\n", "docs/configuration.md": page()}


if __name__ == "__main__":
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    for name, text in generated().items():
        (root / name).write_text(text, encoding="utf-8")
        print(root / name)
