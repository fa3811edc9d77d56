"""What tests share that play the how-to of a wire: its Python as it stands, its clients live."""

import ast
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.docs.pages import Block
from tests.e2e.processes import NODE_MODULES, Process

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


@asynccontextmanager
async def ended(
    folder: Path, server_code: str, client_code: str, way: str
) -> AsyncIterator[tuple[tuple[str, str, bool], Process]]:
    """A member that ends in this way: what its `leave` was told (code, text, clean), its client."""
    (folder / "gone.py").write_text(server_code, encoding="utf-8")
    (folder / "client.mjs").write_text(client_code, encoding="utf-8")
    (folder / "node_modules").symlink_to(NODE_MODULES)
    command = (sys.executable, "-m", "anywire", "serve", folder / "gone.py:app", "--port", "0")
    server = await Process.start("server", command)
    client = None
    try:
        url = (await server.line("Listening on http://")).split()[2]
        client = await Process.start("client", ("node", folder / "client.mjs", url, way))
        if way == "the server stops":
            await client.line("stop it")
            server.signal(signal.SIGTERM)
        found = re.fullmatch(r"left (\S+) (['\"].*['\"]) (\w+)", await server.line("left "))
        assert found
        yield (found[1].strip("'"), ast.literal_eval(found[2]), found[3] == "True"), client
    finally:
        for process in (client, server):
            if process is not None:
                await process.kill()
