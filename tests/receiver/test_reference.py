"""The reference page of receiver.toml follows from the model."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from receiver.config import load, model
from receiver.config.__main__ import generated
from receiver.config.reference import EXAMPLE, TABLES, page

ROOT = Path(__file__).resolve().parents[2]
EITHER_OR = {"token", "encrypted"}
"""Keys that exclude what the example shows in their place."""


@pytest.mark.parametrize("name", generated())
def test_generated_files_are_up_to_date(name: str) -> None:
    """Run ``make schema`` after a change of the model."""
    assert (ROOT / name).read_text(encoding="utf-8") == generated()[name]


def test_every_table_of_the_model_has_its_section() -> None:
    """A table that is added to the model cannot be forgotten on the page."""
    assert {table.__name__ for _, table, _ in TABLES} == set(model.__all__)


def test_every_key_has_a_row_that_says_what_it_means() -> None:
    """Each field of each table stands in its section, with a sentence that ends."""
    sections = dict(zip((heading for heading, _, _ in TABLES), page().split("\n## ")[2:], strict=True))
    for heading, table, _ in TABLES:
        for field in msgspec.structs.fields(table):
            (row,) = (line for line in sections[heading].splitlines() if line.startswith(f"| `{field.name}` |"))
            assert row.endswith(". |"), row


def test_the_example_loads_with_every_key(tmp_path: Path) -> None:
    """What people copy works, and shows each key that there is."""
    file = tmp_path / "receiver.toml"
    file.write_text(EXAMPLE, encoding="utf-8")
    config = load(file)
    assert config.apps["site"].artifact == model.Artifact(workflow="build.yml", name="site")
    keys: set[str] = set()

    def collect(value: object) -> None:
        for entry in value if isinstance(value, list) else []:
            collect(entry)
        for name, entry in value.items() if isinstance(value, dict) else []:
            keys.add(name)
            collect(entry)

    collect(tomllib.loads(EXAMPLE))
    wanted = {field.name for _, table, _ in TABLES for field in msgspec.structs.fields(table)}
    assert wanted - EITHER_OR - keys == set()
