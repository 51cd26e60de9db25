"""The house rules that no linter knows: sizes, names, public surfaces and what a test must say."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE_LINES = 300
FUNCTION_LINES = 40
VAGUE_MODULES = {"utils", "util", "helpers", "helper", "common", "misc"}
VAGUE_ENDINGS = ("Manager", "Helper", "Util", "Utils")


def modules(*folders: str) -> list[str]:
    return [str(path.relative_to(ROOT)) for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


PRODUCT = modules("deployer", "receiver")
PROGRAMS = [*PRODUCT, *modules("action", "bench", "demo")]
TESTS = [name for name in modules("tests") if Path(name).name.startswith("test_")]


def parse(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"), name)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end, its docstring left out: saying more about a function must not count against it."""
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is None:
        return whole
    docstring = function.body[0]
    return whole - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


@pytest.mark.parametrize("name", PROGRAMS)
def test_modules_and_functions_are_small(name: str) -> None:
    """A module stays under 300 lines and a function under 40, so that each can be read at once."""
    assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) < MODULE_LINES
    assert [f"{each.name}: {length(each)}" for each in functions(parse(name)) if length(each) >= FUNCTION_LINES] == []


@pytest.mark.parametrize("name", PRODUCT)
def test_modules_name_their_public_surface(name: str) -> None:
    """Each module lists what others may use in ``__all__``, and everything listed exists."""
    module = importlib.import_module(".".join(Path(name).with_suffix("").parts).removesuffix(".__init__"))
    public = getattr(module, "__all__", None)
    assert public is not None, "no __all__"
    assert [each for each in public if not hasattr(module, each)] == []


@pytest.mark.parametrize("name", PRODUCT)
def test_names_say_something(name: str) -> None:
    """No module or class has a name that would fit anything."""
    assert Path(name).stem not in VAGUE_MODULES
    classes = [node.name for node in ast.walk(parse(name)) if isinstance(node, ast.ClassDef)]
    assert [each for each in classes if each.endswith(VAGUE_ENDINGS)] == []


@pytest.mark.parametrize("name", modules("receiver"))
def test_receiver_uses_public_names_only(name: str) -> None:
    """The receiver takes from deployer only what a module there lists in ``__all__``."""
    for node in ast.walk(parse(name)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "deployer":
            public = importlib.import_module(node.module or "").__all__
            assert [alias.name for alias in node.names if alias.name not in public] == []
        elif isinstance(node, ast.Import):
            assert [alias.name for alias in node.names if alias.name.split(".")[0] == "deployer"] == []


@pytest.mark.parametrize("name", TESTS)
def test_every_test_says_the_behaviour(name: str) -> None:
    """A test's docstring tells what holds, for whoever reads its failure."""
    tests = [each for each in functions(parse(name)) if each.name.startswith("test_")]
    assert [each.name for each in tests if not ast.get_docstring(each)] == []
