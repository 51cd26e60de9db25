"""What the documents say about the receiver is held to it: examples load, commands exist, messages are its own."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from receiver.cli import command
from receiver.config import load
from tests.unit.test_docs import DOCUMENTS, RECEIVER, ROOT, Block, blocks, prose

EXAMPLES = [block for block in blocks("toml") if block.text.startswith(RECEIVER)]
OPERATIONS = (ROOT / "docs" / "receiver-operations.md").read_text("utf-8")
SOURCES = {
    path: re.sub(r"[{]\w+(?:[.]\w+)*[}]", "…", path.read_text("utf-8"))
    for path in sorted((ROOT / "receiver").rglob("*.py"))
}
"""With a gap for what is put into a message."""
OF_OTHERS = {
    "the database: database or disk is full",
    "the database: database is locked",
    "… cannot be read: No such file or directory",
    "… cannot be read: Permission denied",
}
"""Messages whose words come from SQLite or the system."""


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.place)
def test_configurations_are_taken(block: Block, tmp_path: Path) -> None:
    """Every example of receiver.toml loads; one that shows no app gets one."""
    file = tmp_path / "receiver.toml"
    app = '[apps.a]\nrepository = "you/a"\nconfig = "a.toml"\nsecrets = [{ env = "A" }]\n'
    file.write_text(block.text + ("" if "[apps." in block.text else app), "utf-8")
    assert load(file).apps


def test_the_folder_to_copy_is_taken() -> None:
    """The receiver.toml of the example loads, and each app's deploy.toml is there."""
    config = load(ROOT / "examples" / "receiver" / "config" / "receiver.toml")
    assert [app.config for app in config.apps.values() if not Path(app.config).is_file()] == []


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Where a block calls the receiver, and with which arguments."""
    for block in blocks("sh", "console", ""):
        for line in block.text.splitlines():
            if match := re.search(
                r"(?:^|\s|/|\()receiver (secret|hash|run|serve|worker|doctor|deliveries|replay)\b.*", line
            ):
                words = re.split(r"\d?[|<>&;)]|\s#|\s{2}", f"{match[0].lstrip('/ (')}")[0]
                yield f"{block.place} {line.strip()}", shlex.split(words)[1:]


@pytest.mark.parametrize(("place", "arguments"), [pytest.param(*each, id=each[0]) for each in command_lines()])
def test_command_lines_are_understood(place: str, arguments: list[str]) -> None:
    """Every command line in the documents has commands, flags and arguments that exist. Nothing is run."""
    group: click.Command = command
    while isinstance(group, click.Group):
        assert arguments and arguments[0] in group.commands, place
        group, arguments = group.commands[arguments[0]], arguments[1:]
    group.make_context(group.name, list(arguments)).close()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_the_text_exist(path: Path) -> None:
    """What a sentence calls `receiver NAME` is a command."""
    words = re.findall(r"`receiver ([a-z][^`\s]*)", prose(path.read_text("utf-8")))
    assert [word for word in words if word not in command.commands] == []


def messages() -> Iterator[str]:
    """What Troubleshooting's tables explain: an answer to a delivery in their first two columns, a message in the first."""
    for table in OPERATIONS.partition("## Troubleshooting")[2].partition("\n## ")[0].split("\n\n"):
        columns = 2 if table.startswith("| answer |") else 1
        for row in table.splitlines():
            for cell in row.split(" | ")[:columns]:
                yield from (text for text in re.findall(r"`([^`]+)`", cell) if len(text) > 12 and text not in OF_OTHERS)


@pytest.mark.parametrize("message", [*messages()])
def test_messages_are_its_own(message: str) -> None:
    """What people search for is what the receiver says, word by word; … and NAME stand for what differs each time."""
    pieces = [piece.strip() for piece in re.split(r"…|NAME|-9|push", message) if len(piece.strip()) > 7]
    assert pieces
    assert any(all(piece in text for piece in pieces) for text in SOURCES.values())


def test_every_answer_to_a_delivery_is_explained() -> None:
    """Each error that GitHub's page may show has its row."""
    tree = ast.parse((ROOT / "receiver" / "web" / "hook.py").read_text("utf-8"))
    said = [
        keyword.value.value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "jsonify"
        for keyword in call.keywords
        if keyword.arg == "error" and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str)
    ]
    assert len(said) > 3
    assert [text for text in said if f"`{text}`" not in OPERATIONS] == []


def test_every_metric_is_listed() -> None:
    """Each name that /metrics may have stands in the table, and nothing else does."""
    source = (ROOT / "receiver" / "web" / "metrics.py").read_text("utf-8")
    names = set(re.findall(r'"(receiver_[a-z_]+)"', source))
    names |= {f"receiver_{name}_total" for name in re.findall(r'_counter\(counted, "(\w+)"', source)}
    assert len(names) > 6
    assert set(re.findall(r"`(receiver_[a-z_]+)", OPERATIONS)) == names
