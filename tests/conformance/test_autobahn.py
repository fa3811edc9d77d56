"""The runner of the Autobahn suite: what it says without one, and how it reads a report."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from conformance.suites.autobahn import (
    AGENT,
    STRICT,
    found,
    main,
    read_index,
    specification,
    told,
)

ROOT = Path(__file__).parents[2]


def index(agent: str = AGENT, **cases: tuple[str, str]) -> bytes:
    """A report as the suite writes it; `case_1_2` is the case 1.2."""
    return msgspec.json.encode(
        {
            agent: {
                name.removeprefix("case_").replace("_", "."): {
                    "behavior": behavior,
                    "behaviorClose": close,
                    "duration": 3,
                    "remoteCloseCode": 1000 if close == "OK" else None,
                    "reportfile": f"{name}.json",
                }
                for name, (behavior, close) in cases.items()
            }
        }
    )


def test_a_report_of_allowed_results_is_good() -> None:
    verdict = read_index(
        index(
            case_10_1=("OK", "OK"),
            case_7_1_6=("INFORMATIONAL", "INFORMATIONAL"),
            case_6_4_3=("NON-STRICT", "OK"),
            case_1_1=("OK", "OK"),
        )
    )
    assert verdict.is_good
    assert list(verdict.results) == ["1.1", "6.4.3", "7.1.6", "10.1"]
    assert told(verdict) == "autobahn: 4 cases: 1 INFORMATIONAL, 1 NON-STRICT, 2 OK"


@pytest.mark.parametrize(
    ("behavior", "close"),
    [
        ("FAILED", "OK"),
        ("OK", "FAILED"),
        ("OK", "UNCLEAN"),
        ("OK", "WRONG CODE"),
        ("OK", "FAILED BY CLIENT"),
        ("UNIMPLEMENTED", "OK"),
        ("something new", "OK"),
    ],
)
def test_any_other_result_of_a_case_or_of_its_close_fails(behavior: str, close: str) -> None:
    verdict = read_index(index(case_1_1=("OK", "OK"), case_2_10=(behavior, close)))
    assert not verdict.is_good
    assert list(verdict.failed) == ["2.10"]
    code = "1000" if close == "OK" else "no code"
    assert told(verdict).splitlines()[1:] == [
        f"autobahn: case 2.10 {behavior}, close {close} ({code})"
    ]


def test_results_that_are_not_strict_fail_where_that_is_asked() -> None:
    report = index(case_6_4_3=("NON-STRICT", "OK"))
    assert read_index(report).is_good
    assert list(read_index(report, allowed=STRICT).failed) == ["6.4.3"]


@pytest.mark.parametrize("report", [b"{}", index(), index("another", case_1_1=("OK", "OK"))])
def test_a_report_without_a_case_of_ours_is_not_good(report: bytes) -> None:
    verdict = read_index(report)
    assert not verdict.is_good
    assert told(verdict) == "autobahn: 0 cases: none was run"


@pytest.mark.parametrize("report", [b"", b"[]", b'{"anywire": {"1.1": {}}}'])
def test_what_is_no_report_is_an_error(report: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_index(report)


def test_the_specification_names_one_server_and_the_cases() -> None:
    spec = msgspec.json.decode(specification("ws://x/ws/echo", cases=["1.*"], without=["9.*"]))
    assert spec["servers"] == [
        {"agent": AGENT, "url": "ws://x/ws/echo", "options": {"version": 18}}
    ]
    assert (spec["cases"], spec["exclude-cases"]) == (["1.*"], ["9.*"])


def test_a_wstest_is_found_by_its_path_and_only_if_it_can_be_run(tmp_path: Path) -> None:
    wstest = tmp_path / "wstest"
    wstest.write_text("#!/bin/sh\n")
    assert found(str(wstest)) is None
    wstest.chmod(0o755)
    assert found(str(wstest)) == wstest


def test_a_suite_without_its_runner_says_so_in_one_line_and_ends_with_3(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "conformance.suites.autobahn", "--wstest", tmp_path / "wstest"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (3, "")
    (line,) = ended.stderr.splitlines()
    assert "is not there or cannot be run" in line
    assert line.endswith("make conformance SUITE=autobahn WSTEST=path")


def test_without_a_path_one_is_looked_for_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([]) == 3
    assert "no wstest (none)" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.net
def test_a_runner_that_leaves_no_report_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--wstest", "true", "--reports", str(tmp_path / "reports")]) == 1
    assert "no report" in capsys.readouterr().err
    spec = msgspec.json.decode((tmp_path / "reports" / "fuzzingclient.json").read_bytes())
    assert spec["cases"] == ["*"]
