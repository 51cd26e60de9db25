"""The documents are held to the product: links lead somewhere, examples are taken, and every message is explained."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from deployer import errors
from deployer.cli import program
from deployer.command import REMOTE_COMMAND
from deployer.config import OPTIONS, load
from deployer.hooks import facts
from tests.conftest import need

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
SCRIPTS = sorted((ROOT / "deployer").rglob("*.sh"))
MODULES = sorted((ROOT / "deployer").rglob("*.py"))

GAP = "\0"  # in a message: what is different each time
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a document: where it is, its language and its text."""

    place: str
    language: str
    text: str


def blocks(*languages: str) -> list[Block]:
    found = []
    for path in DOCUMENTS:
        text = path.read_text("utf-8")
        for match in FENCE.finditer(text):
            if match[1] in languages:
                line = text.count("\n", 0, match.start()) + 1
                found.append(Block(f"{path.relative_to(ROOT)}:{line}", match[1], match[2]))
    return found


def prose(text: str) -> str:
    return FENCE.sub("", text)


# --- exit codes and links ---------------------------------------------------------------------------------------------


def test_every_exit_code_is_explained() -> None:
    """Each code that the product can end with has its section in Troubleshooting and its line in Exit codes."""
    codes = {0, *(getattr(errors, name).exit_code for name in errors.__all__)}
    table = (ROOT / "docs" / "output.md").read_text("utf-8")
    assert [code for code in sorted(codes) if f"\n### Exit code {code}\n" not in TROUBLESHOOTING] == []
    assert [code for code in sorted(codes) if f"\n| {code} | " not in table] == []


def anchors(path: Path) -> set[str]:
    """The names that GitHub gives a document's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.*)$", prose(path.read_text("utf-8")), re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        number = next(count for count in range(100) if (f"{name}-{count}" if count else name) not in found)
        found.add(f"{name}-{number}" if number else name)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    """Each relative link names a file of this repository, and each anchor a heading of it."""
    path = ROOT / name
    broken = []
    for target in LINK.findall(prose(path.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        place = (path.parent / file) if file else path
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(target)
    assert broken == []


def test_the_readme_leads_to_every_document() -> None:
    """No page of docs/ can be found only by its name."""
    linked = set(LINK.findall((ROOT / "README.md").read_text("utf-8")))
    assert (
        sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md") if f"docs/{path.name}" not in linked) == []
    )


# --- examples ---------------------------------------------------------------------------------------------------------


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Where a block calls deployer, and with which arguments; what ends the command or redirects it is left out."""
    for block in blocks("sh", "console", "yaml", ""):
        # Output stands beside commands only where these have a prompt.
        prompt = r"(?:- run: |run: )?" if block.language in ("sh", "yaml") else r"\$ "
        for line in block.text.splitlines():
            if match := re.match(rf"\s*{prompt}(?:[A-Z_]+=\S+ )*deployer(?: (.*)|$)", line):
                words = re.split(r"\d?[|<>&;]|\s#", match[1] or "")[0]
                yield f"{block.place} {line.strip()}", shlex.split(words)


@pytest.mark.parametrize(("place", "arguments"), [pytest.param(*each, id=each[0]) for each in command_lines()])
def test_command_lines_are_understood(place: str, arguments: list[str]) -> None:
    """Every command line in the documents has flags and arguments that exist. Nothing is run."""
    if arguments[:1] == ["--version"]:
        return
    command = program.commands.get(arguments[0] if arguments else "")
    assert command, f"{place}: there is no such command"
    try:
        command.make_context(arguments[0], arguments[1:]).close()
    except click.exceptions.Exit:
        pass  # --help
    except click.ClickException as error:
        pytest.fail(f"{place}: {error.format_message()}", pytrace=False)


@pytest.mark.parametrize("name", NAMES)
def test_commands_in_the_text_exist(name: str) -> None:
    """What a sentence calls `deployer NAME` is a command, and what it calls DEPLOYER_NAME is a variable."""
    text = (ROOT / name).read_text("utf-8")
    words = re.findall(r"`deployer ([^`\s]+)", prose(text))
    assert [word for word in words if word not in {*program.commands, "COMMAND", "--version"}] == []
    answer = dict.fromkeys(
        "app strategy environment status release previous_release commit url hosts probe".split(), ""
    )
    answer |= dict.fromkeys("files_total files_uploaded files_deleted bytes_uploaded duration_seconds".split(), "")
    known = {option.variable for option in OPTIONS} | set(facts(answer))
    known |= {"DEPLOYER_CONFIG", "DEPLOYER_ENVIRONMENT", "DEPLOYER_KEY_PASSPHRASE", "DEPLOYER_GITHUB_TOKEN"}
    known |= {"DEPLOYER_REPOSITORY_KEY"}
    assert sorted(set(re.findall(r"\bDEPLOYER_[A-Z][A-Z_]*[A-Z]\b", text)) - known) == []


def test_forced_commands_hold_the_key_to_what_is_asked_for() -> None:
    """What stands in authorized_keys, or in a script there, is the one command that deployer ever asks a host for."""
    in_options = REMOTE_COMMAND.replace('"', '\\"')
    in_script = REMOTE_COMMAND.replace('"', '\\"').replace("$", "\\$")
    assert f'command="{in_options}"' in (ROOT / "docs" / "static.md").read_text("utf-8")
    assert f'wanted="{in_script}"' in (ROOT / "docs" / "ssh.md").read_text("utf-8")


RECEIVER = "# receiver.toml\n"
"""The first line of each example of that file, which tests/receiver/test_documents.py has loaded."""
DEPLOY_TOML = [block for block in blocks("toml") if not block.text.startswith(RECEIVER)]


@pytest.mark.parametrize("block", DEPLOY_TOML, ids=lambda block: block.place)
def test_configurations_are_taken(block: Block, tmp_path: Path) -> None:
    """Every example of deploy.toml loads; what one that shows only a part of it lacks is given by flags."""
    file = tmp_path / "deploy.toml"
    file.write_text(block.text, "utf-8")
    data = tomllib.loads(block.text)
    host, static = data.get("host"), data.get("static", {})
    lacking: dict[str, object] = {}
    if "app" not in data:
        lacking["app"] = "blog"
    if host is None or (isinstance(host, dict) and "address" not in host):
        lacking["host"] = ("example.org",)
    if "path" not in data.get("rebuild", {}):
        lacking["rebuild.path"] = "blog"
    lacking |= {
        f"static.{key}": value for key, value in (("source", "public"), ("target", "/www/a")) if key not in static
    }
    for environment in ("", *data.get("environments", {})):
        load(file, environment=environment, flags=lacking, variables={}, directory=tmp_path)


@pytest.mark.parametrize("block", blocks("nginx"), ids=lambda block: block.place)
def test_nginx_takes_its_examples(block: Block, tmp_path: Path) -> None:
    """A real nginx finds nothing wrong with them."""
    nginx = need("nginx", "to read the examples of its configuration")
    server = block.text if "server {" in block.text else f"server {{\n{block.text}}}"
    server = re.sub(r"listen \d+", "listen 127.0.0.1:18080", server)
    file = tmp_path / "nginx.conf"
    file.write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}}\nhttp {{ access_log off;\n"
        + "".join(
            f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + f"{server}}}\n"
    )
    ended = subprocess.run(
        [nginx, "-t", "-q", "-p", tmp_path, "-c", file, "-e", tmp_path / "log"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


# --- messages ---------------------------------------------------------------------------------------------------------


def explained() -> list[str]:
    """Troubleshooting in the parts that stand for themselves: rows of tables, and paragraphs on one line."""
    parts = re.split(r"\n\n+|\n(?=\|)", prose(TROUBLESHOOTING))
    return [" ".join(part.split()) for part in parts]


def is_explained(message: str, parts: list[str]) -> bool:
    """Whether one part has all fixed words of the message, in their order."""
    words = [" ".join(piece.split()) for piece in message.split(GAP) if re.search(r"\w", piece)]
    pattern = re.compile(".*?".join(map(re.escape, words)))
    return not words or any(pattern.search(part) for part in parts)


def shell_text(source: str, start: int) -> str:
    """The shell word that begins with a quote at ``start``: what expands in it becomes a gap."""
    quote, position, text = source[start], start + 1, ""
    while source[position] != quote:
        if quote == '"' and source[position] == "\\":
            position += 1
            text += source[position]
        elif quote == '"' and (match := re.compile(r"\$(\w+|[{(])").match(source, position)):
            text += GAP
            position = match.end() - 1
            if match[1] in "{(":
                position = closing(source, position)
        else:
            text += source[position]
        position += 1
    return text


def closing(source: str, position: int) -> int:
    """Where the bracket that opens at ``position`` is closed."""
    pair = {"{": "}", "(": ")"}[source[position]]
    opened, depth = source[position], 0
    while True:
        depth += (source[position] == opened) - (source[position] == pair)
        if depth == 0:
            return position
        position += 1


def shell_messages(path: Path) -> Iterator[str]:
    """What ``fail CODE``, ``cannot`` and warnings say in a program of the host's; a text in a variable is looked up."""
    source = path.read_text("utf-8")
    for match in re.finditer(r"\b(fail [a-z]+|fact (?:warning|healed)|cannot) (?=[\"'])", source):
        text = shell_text(source, match.end())
        variable = re.match(r'"\$(\w+)"', source[match.end() :])
        if variable and (assigned := re.search(rf"^{variable[1]}=(?=[\"'])", source, re.MULTILINE)):
            text = shell_text(source, assigned.end())
        yield ("cannot " if match[1] == "cannot" else "") + text


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_what_the_host_says_is_explained(path: Path) -> None:
    """Each message of the host's program has its fixed words in Troubleshooting."""
    parts = explained()
    assert [message for message in shell_messages(path) if not is_explained(message, parts)] == []


def test_messages_of_the_host_are_found() -> None:
    """The reader of the shell's text sees nested quotes and expansions as gaps, so that no message slips through."""
    assert shell_text('"a $b c $(d "$e") ${f:-g} \\"h\\""', 0) == f'a {GAP} c {GAP} {GAP} "h"'
    assert len([message for path in SCRIPTS for message in shell_messages(path)]) > 40


ERRORS = {*errors.__all__, "LoginRefused", "HostKeyRefused", "ConnectionError", "WebError", "_Finding"}
BEHIND_A_KIND = {"WebError", "_Finding"}  # the message is their second argument


def texts_of(node: ast.expr | None) -> str:
    """A message's text as far as it is written down; the rest are gaps."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(texts_of(value) for value in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return texts_of(left) + texts_of(right)
    return GAP


def assignments(function: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
                names = target.elts if isinstance(target, ast.Tuple) else [target]
                yield from (
                    (name.id, value) for name, value in zip(names, values, strict=False) if isinstance(name, ast.Name)
                )


def python_messages(path: Path) -> Iterator[str]:
    """The messages of the errors that a module raises, written in place or in a variable of the same function."""
    for function in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(function, ast.FunctionDef):
            continue
        for call in ast.walk(function):
            name = getattr(call.func, "id", "") if isinstance(call, ast.Call) else ""
            if name not in ERRORS or not isinstance(call, ast.Call) or not call.args:
                continue
            given = call.args[1 if name in BEHIND_A_KIND and len(call.args) > 1 else 0]
            if isinstance(given, ast.Name):
                yield from (texts_of(value) for variable, value in assignments(function) if variable == given.id)
            else:
                yield texts_of(given)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_errors_are_explained(path: Path) -> None:
    """Each message of an error has its fixed words in Troubleshooting: write a row there when this fails."""
    parts = explained()
    assert sorted({message for message in python_messages(path) if not is_explained(message, parts)}) == []


CHECKS = [
    path for path in MODULES if "checking" in path.parts or path.name == "premises.py" or "finding" in path.read_text()
]


def finding_names(path: Path) -> Iterator[str]:
    """What a module calls its findings: the first argument of the functions that make one."""
    for call in ast.walk(ast.parse(path.read_text("utf-8"))):
        name = getattr(call.func, "id", "") if isinstance(call, ast.Call) else ""
        if isinstance(call, ast.Call) and name in {"fine", "warning", "error", "failure"} and call.args:
            given = call.args[0]
            if isinstance(given, ast.Constant) and isinstance(given.value, str):
                yield given.value


def test_everything_that_check_looks_at_is_listed() -> None:
    """Each finding's name has its row in docs/check.md, and each row there is looked at."""
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", (ROOT / "docs" / "check.md").read_text("utf-8"), re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"\w+", row)}
    made = {name for path in CHECKS for name in finding_names(path)}
    assert made - listed == set()
    assert listed - made - {"before_up", "up", "after_up", "traefik"} == set()  # these are named in variables
