"""The floors: imports go down only; floors 0 and 1 know no I/O, no clock and no chance."""

import ast
from collections.abc import Iterator
from pathlib import Path

FLOORS = (
    {"errors", "frames", "body", "payload", "nesting", "outbox", "limits"},
    {"wires", "net"},
    {"core"},
    {"transports", "brokers"},
    {"servers", "client"},
    {"app", "frameworks", "__init__"},
    {"cli", "testing", "demo", "__main__"},
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
FILES_SIDE_BY_SIDE = (0, 5)  # floors whose modules share one folder
SIDEWAYS = {("__main__", "cli"), ("cli", "demo")}
PURE = {"asyncio", "os", "random", "secrets", "select", "selectors", "socket", "ssl"}
PURE |= {"threading", "time"}
# What steps a coroutine must know tasks; what waits (for a lock, for answers, for an outbox), locks
# and futures; what flushes, the end of the loop's turn; what tells a client how its handler ended,
# the one exception that is no error.
CORE_WITH_ASYNCIO = {
    "calls",
    "dispatch",
    "entering",
    "flushing",
    "gathering",
    "node",
    "replaying",
    "stepping",
    "turn",
}


def imports(path: Path, package: tuple[str, ...]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line and dotted name of everything the file imports, those under TYPE_CHECKING included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            for alias in node.names:
                yield node.lineno, (*base, alias.name)


def why_not(module: tuple[str, ...], target: tuple[str, ...]) -> str | None:
    """Why the module (its path below anywire) may not import the target; None when it may."""
    own, leaf = module[0], module[-1]
    floor = FLOOR[own]
    if target[0] != "anywire":
        if floor < 2 and target[0] in PURE:
            return f"floor {floor} is pure"
        if floor == 2 and target[0] in {"socket", "ssl", "selectors"}:
            return "core has no sockets"
        if floor == 2 and target[0] == "asyncio" and leaf not in CORE_WITH_ASYNCIO:
            return f"in core, asyncio is for {', '.join(sorted(CORE_WITH_ASYNCIO))}"
        return None
    other = target[1] if len(target) > 1 and target[1] in FLOOR else "__init__"
    if other == own:
        return None
    if leaf == "base" and floor in (1, 3):
        return None if FLOOR[other] == 0 else "a base.py imports floor 0 only"
    if own == "core" and FLOOR[other] in (1, 3):
        return None if target[2:3] == ("base",) else "of floors 1 and 3, core knows base.py only"
    if (own, other) == ("client", "core"):
        return "the client knows no core"
    if FLOOR[other] == floor and (floor in FILES_SIDE_BY_SIDE or (own, other) in SIDEWAYS):
        return None
    return None if FLOOR[other] < floor else f"floor {floor} may not look at floor {FLOOR[other]}"


def violations(root: Path) -> list[str]:
    found = []
    for path in sorted(root.rglob("*.py")):
        module = path.relative_to(root).with_suffix("").parts
        if module[0] not in FLOOR:
            found.append(f"{path}:1: {module[0]} has no floor; give it one in tests/test_layers.py")
            continue
        for line, target in imports(path, ("anywire", *module[:-1])):
            if reason := why_not(module, target):
                found.append(f"{path}:{line}: imports {'.'.join(target)}: {reason}")
    return found


def test_every_import_goes_down() -> None:
    found = violations(Path(__file__).parents[1] / "src" / "anywire")
    assert not found, "\n" + "\n".join(found)


def test_a_planted_violation_is_found_with_its_line(tmp_path: Path) -> None:
    planted = {
        "body.py": "import msgspec\nfrom anywire.errors import Refused\nimport time",
        "wires/raw.py": "from ..core import room",
        "wires/base.py": "from anywire.net import deflate",
        "wires/anywire/codec.py": "from anywire.wires.base import Codec\nfrom os import environ",
        "net/http1.py": "from anywire import wires",
        "core/room.py": "import asyncio",
        "core/node.py": "import asyncio, socket\nfrom anywire.brokers.base import Broker",
        "core/session.py": "if TYPE_CHECKING:\n    from anywire.wires import raw",
        "core/member.py": "from anywire import Anywire",
        "client/client.py": "import anywire.core.node",
        "servers/tcp.py": "from anywire.client import client",
        "cli/main.py": "from anywire import demo\nfrom anywire.testing import client",
        "helpers.py": "",
    }
    for name, text in planted.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    found = [line.removeprefix(f"{tmp_path}/").split(": ")[0] for line in violations(tmp_path)]
    assert found == [
        "body.py:3",
        "cli/main.py:2",
        "client/client.py:1",
        "core/member.py:1",
        "core/node.py:1",
        "core/room.py:1",
        "core/session.py:2",
        "helpers.py:1",
        "net/http1.py:1",
        "servers/tcp.py:1",
        "wires/anywire/codec.py:2",
        "wires/base.py:1",
        "wires/raw.py:1",
    ]
