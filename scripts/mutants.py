"""Breaks floors 0 to 2 one line at a time and asks the tests whether they notice.

A break is one change of meaning within one line: a comparison, a boolean, a sign, a number, a
dropped call. Which ones are tried follows from the seed: two runs on one source try the same. Each
runs in a copy of the source, first against the module's own test file, then against all tests of
the floors; one that no test notices is a survivor. docs/project/testing.md explains the survivors.
"""

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
FLOORS = (
    "errors",
    "frames",
    "body",
    "payload",
    "nesting",
    "outbox",
    "limits",
    "wires",
    "net",
    "core",
)
ASKED = 0.9
LONGEST_RUN = 180  # seconds; a break that hangs the tests longer is caught

COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


@dataclass(slots=True, frozen=True)
class Break:
    """One changed stretch of one line."""

    path: Path  # below src
    line: int
    start: int  # bytes into the line
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        lines = source.splitlines(keepends=True)
        line = lines[self.line - 1]
        lines[self.line - 1] = line[: self.start] + self.text.encode() + line[self.end :]
        return b"".join(lines)

    def describe(self, source: bytes) -> str:
        was = source.splitlines()[self.line - 1][self.start : self.end].decode()
        return f"{self.path}:{self.line}: {was}  ->  {self.text}"


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """The node, broken in each way we know."""
    new = copy.deepcopy(node)
    match new:
        case ast.Compare(ops=[op]) if type(op) in COMPARE:
            new.ops = [COMPARE[type(op)]()]
            yield new
        case ast.BoolOp(op=op):
            new.op = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield new
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(op=op) if type(op) in ARITHMETIC:
            new.op = ARITHMETIC[type(op)]()
            yield new
        case ast.AugAssign(op=op) if type(op) in ARITHMETIC:
            new.op = ARITHMETIC[type(op)]()
            yield new
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
        case ast.Expr(value=ast.Call()):
            yield ast.Pass()
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()


def runs(node: ast.AST) -> Iterator[ast.AST]:
    """What of the tree is executed for its meaning: no annotations, f-strings or interfaces."""
    match node:
        case ast.JoinedStr() | ast.Assert():
            return
        case ast.ClassDef(bases=bases) if any("Protocol" in ast.unparse(base) for base in bases):
            return
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return
    yield node
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list", "bases", "type_params"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from runs(child)


def breaks(path: Path) -> list[Break]:
    found = []
    tree = ast.parse((SOURCE / path).read_bytes(), str(path))
    for node in runs(tree):
        if not isinstance(node, ast.expr | ast.stmt) or node.lineno != node.end_lineno:
            continue
        for new in changed(node):
            text = ast.unparse(ast.fix_missing_locations(new))
            if isinstance(node, ast.expr) and not isinstance(node, ast.Constant):
                text = f"({text})"
            end = node.end_col_offset or 0
            found.append(Break(path, node.lineno, node.col_offset, end, text))
    return found


def chosen(count: int, seed: int, only: str) -> list[Break]:
    """A sample in which each file has a share that grows with its size."""
    modules = [
        path.relative_to(SOURCE)
        for name in FLOORS
        for path in (
            SOURCE / "anywire" / f"{name}.py",
            *sorted((SOURCE / "anywire" / name).rglob("*.py")),
        )
        if path.is_file() and only in path.as_posix()
    ]
    everything = [found for module in modules for found in breaks(module)]
    random.Random(seed).shuffle(everything)
    picked, lines = [], set[tuple[Path, int]]()
    for found in everything:
        if (found.path, found.line) not in lines:
            lines.add((found.path, found.line))
            picked.append(found)
    return sorted(picked[:count], key=lambda found: (found.path, found.line))


def tests_of(path: Path) -> list[str]:
    below = path.relative_to("anywire")
    own = Path("tests") / below.with_name(f"test_{below.name}")
    return [str(own)] if (ROOT / own).is_file() else []


def tests_of_floors() -> list[str]:
    names = [f"tests/test_{name}.py" for name in FLOORS]
    names += ["tests/wires", "tests/net", "tests/core", "tests/contracts", "tests/testing"]
    return [name for name in names if (ROOT / name).exists()]


def is_green(source: Path, tests: list[str]) -> bool:
    environment = os.environ | {
        "PYTHONPATH": str(source),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_PROFILE": "ci",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider"]
    command += ["-m", "not node and not browser", *tests]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            timeout=LONGEST_RUN,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def survives(found: Break, copies: SimpleQueue[Path]) -> bool:
    source = copies.get()
    path = source / found.path
    original = path.read_bytes()
    try:
        path.write_bytes(found.apply(original))
        own = tests_of(found.path)
        return (not own or is_green(source, own)) and is_green(source, tests_of_floors())
    finally:
        path.write_bytes(original)
        copies.put(source)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=80, help="breaks to try (80)")
    parser.add_argument("--seed", type=int, default=1, help="another seed tries others (1)")
    parser.add_argument("--only", default="", help="files whose path holds this text")
    parser.add_argument("--jobs", type=int, default=2, help="breaks at a time (2)")
    options = parser.parse_args()

    selected = chosen(options.count, options.seed, options.only)
    if not selected:
        print(f"mutants: no line to break in files with '{options.only}' in their path")
        return 2
    with tempfile.TemporaryDirectory(prefix="anywire-mutants-") as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.jobs):
            ignore = shutil.ignore_patterns("__pycache__")
            copies.put(shutil.copytree(SOURCE, Path(folder) / str(number), ignore=ignore))
        print("mutants: the tests on the unbroken source", flush=True)
        if not is_green(Path(folder) / "0", tests_of_floors()):
            print("mutants: the tests are red before anything is broken; run: make check")
            return 2
        survivors = []
        started = time.monotonic()
        with ThreadPoolExecutor(options.jobs) as pool:
            verdicts = pool.map(lambda found: survives(found, copies), selected)
            for number, (found, survived) in enumerate(zip(selected, verdicts, strict=True), 1):
                line = found.describe((SOURCE / found.path).read_bytes())
                verdict = "SURVIVED" if survived else "caught  "
                print(f"[{number}/{len(selected)}] {verdict} {line}", flush=True)
                if survived:
                    survivors.append(line)
    caught = len(selected) - len(survivors)
    share = caught / len(selected)
    if survivors:
        print("\nsurvivors:", *survivors, sep="\n  ")
    print(
        f"mutants: {caught} of {len(selected)} caught ({share:.0%}; {ASKED:.0%} is asked for) "
        f"in {time.monotonic() - started:.0f} s"
    )
    return 0 if share >= ASKED else 1


if __name__ == "__main__":
    sys.exit(main())
