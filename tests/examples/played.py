"""What tests share that play the how-to of a wire: its Python as it stands, its clients live."""

import ast
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import pytest

from tests.docs.pages import Block

LIVE = [pytest.mark.slow, pytest.mark.net, pytest.mark.node]


def live(test: Any) -> Any:
    """Marks a test with a server and a client in Node."""
    for mark in LIVE:
        test = mark(test)
    return test


def without_docstrings(code: str) -> str:
    """Code as it runs, in one form."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str())), *rest]:
                    node.body = rest
    return ast.unparse(tree)


def module_of(found: Iterable[Block], name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """All these blocks of a page, one after the other in one module."""
    module = ModuleType(f"snippets_of_{name}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in found:
        exec(compile(block.code, block.name, "exec", dont_inherit=True), module.__dict__)
    return module
