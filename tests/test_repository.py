"""Rules about the repository as a whole, checked on the files that git knows or would add."""

import ast
import re
import subprocess
from pathlib import Path

import anywire
from tests.test_layers import FLOORS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "anywire"
LONGEST = 450

TESTED_ELSEWHERE = {
    "__main__.py": "one line; run as a process by tests/cli/test_main.py",
}

# In pieces, so that this file does not name what it looks for.
REGISTRIES = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("registry", "npmjs"),
            ("npmjs", "org"),
            ("yarnpkg", "com"),
            ("deb", "debian"),
            ("security", "debian"),
            ("crates", "io"),
        )
    )
)
MACHINE_PATH = re.compile(
    r"(?<![\w./-])/(?:" + "|".join(("home", "Users", "work", "root")) + r")/\w"
)


def files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    return [path for name in sorted(listed.split("\0")) if name and (path := ROOT / name).is_file()]


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if match := pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match.group()}")
    return found


def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def report(found: list[str]) -> str:
    return "\n" + "\n".join(found)


def test_each_module_has_its_test_file() -> None:
    missing = []
    for path in sources():
        name = path.relative_to(SOURCE)
        if name.name == "__init__.py" or name.as_posix() in TESTED_ELSEWHERE:
            continue
        test = Path("tests") / name.with_name(f"test_{name.name}")
        if not (ROOT / test).is_file():
            missing.append(f"src/anywire/{name} wants {test}")
    assert not missing, report(missing)


def test_each_exception_is_still_there() -> None:
    assert not [name for name in TESTED_ELSEWHERE if not (SOURCE / name).is_file()]


def test_no_file_names_a_registry() -> None:
    found = lines_with(REGISTRIES)
    assert not found, report(found)


def test_no_file_names_a_path_of_one_machine() -> None:
    found = lines_with(MACHINE_PATH)
    assert not found, report(found)


def test_lock_files_record_no_download_address() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in files()
        if path.name == "package-lock.json" and '"resolved"' in path.read_text(encoding="utf-8")
    ]
    assert not found, report(found)


def test_constraints_name_exact_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    wrong = [line for line in lines if not re.fullmatch(r"#.*|[\w.-]+==[\w.]+", line)]
    assert not wrong, report(wrong)


def test_source_runs_no_text_as_code_and_unpacks_no_objects() -> None:
    found = []
    for path in sources():
        for node in ast.walk(parsed(path)):
            match node:
                case ast.Import(names=names):
                    bad = {alias.name for alias in names} & {"pickle", "marshal", "shelve"}
                case ast.ImportFrom(module="pickle" | "marshal" | "shelve" as module):
                    bad = {module}
                case ast.Call(func=ast.Name(id="eval" | "exec" as name)):
                    bad = {name}
                case ast.Attribute(value=ast.Name(id="yaml"), attr="load"):
                    bad = {"yaml.load"}
                case _:
                    continue
            found += [f"{path.relative_to(ROOT)}:{node.lineno}: {name}" for name in bad]
    assert not found, report(found)


def test_a_long_file_says_why() -> None:
    found = []
    for path in sources():
        length = path.read_text(encoding="utf-8").count("\n")
        if length > LONGEST and "Length:" not in (ast.get_docstring(parsed(path)) or ""):
            found.append(
                f"{path.relative_to(ROOT)}: {length} lines and no 'Length:' in its docstring"
            )
    assert not found, report(found)


def test_each_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources()
        if (module := parsed(path)).body and not ast.get_docstring(module)
    ]
    assert not silent, report(silent)


def test_the_changelog_has_an_unreleased_section() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[Unreleased\]$", text, re.MULTILINE)


def test_the_version_stands_in_two_places_that_agree() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{anywire.__version__}"' in text


def test_the_gates_measure_the_floors_that_the_layer_test_names() -> None:
    tested = set[str]().union(*FLOORS[:3])
    makefile = re.search(r"^FLOORS := (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert makefile is not None
    assert set(makefile[1].split()) == tested
    for node in parsed(ROOT / "scripts" / "mutants.py").body:
        match node:
            case ast.Assign(targets=[ast.Name(id="FLOORS")], value=value):
                assert set(ast.literal_eval(value)) == tested
