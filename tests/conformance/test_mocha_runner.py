"""The runner of the suites that are written for mocha: what it copies, asks for, reads and says."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from conformance.suites import engineio, socketio
from conformance.suites.mocha import (
    ADDRESS,
    REPORT,
    Suite,
    Unready,
    Verdict,
    copy,
    judge,
    look_for_node,
    main,
    official,
    redirect,
    told,
)

ROOT = Path(__file__).parents[2]
KNOWN = ["Wire > opens", "Wire > closes > in time"]
SUITES = [engineio.SUITE, socketio.SUITE]


def report(*, passes: list[str], failures: dict[str, str] | None = None, others: str = "") -> bytes:
    """A report as mocha writes it; `others` is a case that was left out."""
    failed = failures or {}
    cases = {title: {"fullTitle": title, "duration": 3, "err": {}} for title in passes}
    cases |= {
        title: {"fullTitle": title, "err": {"message": why, "stack": f"Error: {why}"}}
        for title, why in failed.items()
    }
    tests = [case for title, case in cases.items() if '" hook' not in title]
    if others:
        tests.append({"fullTitle": others, "err": {}})
    return msgspec.json.encode(
        {
            "stats": {"tests": len(tests)},
            "tests": tests,
            "pending": [],
            "passes": [cases[title] for title in passes],
            "failures": [cases[title] for title in failed],
        }
    )


def judged(content: bytes) -> Verdict:
    return judge("wire", content, KNOWN)


# --- verdicts -----------------------------------------------------------------------------------


def test_a_report_in_which_all_known_cases_pass_is_good() -> None:
    verdict = judged(report(passes=["Wire opens", "Wire closes in time"]))
    assert verdict.is_good
    assert told(verdict) == "wire: 2 cases: 2 passed, 0 failed"


def test_a_case_that_fails_is_told_by_our_title_in_one_line() -> None:
    verdict = judged(
        report(passes=["Wire opens"], failures={"Wire closes in time": "\n expected 1\nto be 2"})
    )
    assert not verdict.is_good
    assert told(verdict).splitlines() == [
        "wire: 2 cases: 1 passed, 1 failed",
        "wire: failed: Wire > closes > in time: expected 1",
    ]


def test_a_hook_that_fails_is_told_though_it_is_no_case() -> None:
    hook = 'Wire "before each" hook for "opens"'
    verdict = judged(report(passes=["Wire opens", "Wire closes in time"], failures={hook: "no"}))
    assert not verdict.is_good
    assert told(verdict).splitlines() == [
        "wire: 2 cases: 2 passed, 1 failed",
        f"wire: failed: {hook}: no",
    ]


def test_a_case_that_was_left_out_fails() -> None:
    verdict = judged(report(passes=["Wire opens"], others="Wire closes in time"))
    assert not verdict.is_good
    assert verdict.failed == {"Wire > closes > in time": "it was not run"}


def test_cases_that_are_new_or_gone_are_not_good() -> None:
    verdict = judged(report(passes=["Wire opens", "Wire upgrades"]))
    assert not verdict.is_good
    assert told(verdict).splitlines() == [
        "wire: 2 cases: 2 passed, 0 failed",
        "wire: new: our tests have no case Wire upgrades",
        "wire: gone: the suite has no case Wire > closes > in time",
    ]


def test_a_run_without_a_case_is_not_good() -> None:
    verdict = judge("wire", report(passes=[]), [])
    assert not verdict.is_good
    assert told(verdict) == "wire: 0 cases: 0 passed, 0 failed"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"tests": [], "passes": []}'])
def test_what_is_no_report_is_an_error(content: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        judged(content)


# --- the cases of ours --------------------------------------------------------------------------


@pytest.mark.parametrize(("suite", "count"), [(engineio.SUITE, 25), (socketio.SUITE, 32)])
def test_the_titles_of_a_suite_are_read_from_our_tests(suite: Suite, count: int) -> None:
    titles = official(suite.table)
    assert len(titles) == count
    # Mocha's titles have spaces only: two must not become one.
    assert len({title.replace(" > ", " ") for title in titles}) == count


def test_a_file_without_titles_is_an_error(tmp_path: Path) -> None:
    table = tmp_path / "test_wire.py"
    table.write_text('OTHER: dict[str, str] = {"a": "b"}\n')
    with pytest.raises(ValueError, match="has no dictionary OFFICIAL"):
        official(table)


# --- the copy -----------------------------------------------------------------------------------


def test_a_copy_is_fresh_and_has_files_only(tmp_path: Path) -> None:
    source, work = tmp_path / "source", tmp_path / "build" / "work"
    (source / "node_modules" / "old").mkdir(parents=True)
    (source / "suite.js").write_text("// a suite")
    (work / "node_modules").mkdir(parents=True)
    copy(source, work)
    assert [path.name for path in work.iterdir()] == ["suite.js"]


def test_the_copy_looks_for_its_server_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "suite.js").write_text(f'const URL = "{ADDRESS}"; // é')
    (tmp_path / "more.js").write_text("import './suite.js'")
    redirect(tmp_path, "http://127.0.0.1:4321")
    assert (tmp_path / "suite.js").read_text() == 'const URL = "http://127.0.0.1:4321"; // é'
    assert (tmp_path / "more.js").read_text() == "import './suite.js'"


def test_a_suite_that_names_no_server_cannot_be_run(tmp_path: Path) -> None:
    (tmp_path / "suite.js").write_text('const URL = "http://localhost:8080"')
    with pytest.raises(Unready, match=ADDRESS):
        redirect(tmp_path, "http://127.0.0.1:4321")


# --- runs, with programs that stand for Node and npm ---------------------------------------------

Program = Callable[[str, str], None]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Program:
    """Writes a shell script that is found by its name, and before all others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def write(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return write


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """A suite of two cases, and our table of them."""
    folder = tmp_path / "checkout" / "docs" / "suite"
    folder.mkdir(parents=True)
    (folder / "package.json").write_text("{}")
    (folder / "test-suite.js").write_text(f'const URL = "{ADDRESS}"\n')
    table = tmp_path / "test_wire.py"
    table.write_text(f"OFFICIAL: dict[str, str] = {dict.fromkeys(KNOWN, 'test_it')!r}\n")
    return Suite(name="wire", folder="docs/suite", table=table)


def installed(content: bytes | None, *, then: str = "") -> str:
    """What an npm does that installs a mocha; it leaves this report."""
    mocha = f"printf '%s' '{content.decode()}' > {REPORT}" if content else ""
    script = f'#!/bin/sh\n{mocha}\ncat test-suite.js\necho "$@"\n{then}\n'
    return (
        "mkdir -p node_modules/.bin\n"
        f"cat > node_modules/.bin/mocha <<'END'\n{script}END\n"
        "chmod +x node_modules/.bin/mocha"
    )


def run(suite: Suite, tmp_path: Path, *more: str) -> int:
    repo, work = tmp_path / "checkout", tmp_path / "work"
    url = "http://127.0.0.1:4321/"
    return main(suite, ["--repo", str(repo), "--work", str(work), "--url", url, *more])


def test_a_run_is_of_a_copy_that_asks_our_server(
    program: Program, suite: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program("node", "echo v20.1.0")
    program("npm", installed(report(passes=["Wire opens", "Wire closes in time"])))
    assert run(suite, tmp_path) == 0
    assert capsys.readouterr().out == "wire: 2 cases: 2 passed, 0 failed\n"
    asked, arguments = (tmp_path / "work" / "mocha.log").read_text().splitlines()
    assert asked == 'const URL = "http://127.0.0.1:4321"'
    assert arguments == f"--exit --reporter json --reporter-option output={REPORT} test-suite.js"
    source = tmp_path / "checkout" / "docs" / "suite"
    assert sorted(path.name for path in source.iterdir()) == ["package.json", "test-suite.js"]
    assert ADDRESS in (source / "test-suite.js").read_text()


def test_a_run_with_a_case_that_fails_ends_with_1(
    program: Program, suite: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program("node", "echo v22.0.0")
    content = report(passes=["Wire opens"], failures={"Wire closes in time": "late"})
    program("npm", installed(content, then="exit 1"))
    assert run(suite, tmp_path) == 1
    assert "wire: failed: Wire > closes > in time: late" in capsys.readouterr().out


def test_a_run_that_leaves_no_report_ends_with_1(
    program: Program, suite: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program("node", "echo v20.1.0")
    program("npm", installed(None))
    assert run(suite, tmp_path) == 1
    assert "mocha.log has the reason" in capsys.readouterr().err


def test_a_run_that_takes_too_long_ends_with_1(
    program: Program, suite: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program("node", "echo v20.1.0")
    program("npm", installed(None, then="exec tail -f /dev/null"))
    assert run(suite, tmp_path, "--timeout", "0.05") == 1
    assert capsys.readouterr().err == "wire: not done after 0.05 s\n"


@pytest.mark.parametrize(
    ("npm", "why"),
    [
        ("echo >&2; echo 'npm error code E404' >&2; exit 1", "npm error code E404"),
        ("exit 7", "it ended with 7"),
    ],
)
def test_what_npm_does_not_install_is_told_in_one_line_with_3(
    program: Program,
    suite: Suite,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    npm: str,
    why: str,
) -> None:
    program("node", "echo v20.1.0")
    program("npm", npm)
    assert run(suite, tmp_path) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"wire: npm does not install what the suite needs: {why}"


def test_an_npm_that_installs_no_mocha_is_told_in_one_line_with_3(
    program: Program, suite: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program("node", "echo v20.1.0")
    program("npm", "exit 0")
    assert run(suite, tmp_path) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("wire: npm has installed no mocha that runs")


def test_a_machine_without_npm_is_told_in_one_line_with_3(
    program: Program,
    suite: Suite,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program("node", "echo v20.1.0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert run(suite, tmp_path) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("wire: npm does not install what the suite needs:")


@pytest.mark.parametrize(
    ("says", "found"), [("echo v18.20.1", "v18.20.1"), ("exit 1", "none"), ("echo odd", "odd")]
)
def test_a_node_that_is_too_old_cannot_run_a_suite(program: Program, says: str, found: str) -> None:
    program("node", says)
    with pytest.raises(Unready, match=rf"Node 20 or newer is needed \(found: {found}\)"):
        look_for_node()


def test_a_machine_without_node_cannot_run_a_suite(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unready, match="found: none"):
        look_for_node()


# --- the command line ---------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_suite_without_a_checkout_says_so_in_one_line_and_ends_with_3(
    suite: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(suite, []) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"no checkout of socket.io is given; {suite.usage}")
    assert main(suite, ["--repo", str(tmp_path)]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"{suite.name}: no {suite.folder} in {tmp_path}; {suite.usage}"


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_suite_is_run_by_its_name(suite: Suite) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", f"conformance.suites.{suite.name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith(f"{suite.name}: no checkout")


def test_the_options_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(engineio.SUITE, ["--help"])
    out = capsys.readouterr().out
    assert all(option in out for option in ("--repo", "--url", "--timeout", "--work"))
