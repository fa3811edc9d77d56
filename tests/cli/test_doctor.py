"""`anywire doctor`: what it finds, how it looks, and what it exits with."""

import json
from pathlib import Path

import pytest

from anywire.cli.checks import Finding, Level, Wanted
from anywire.cli.doctor import as_json, as_text, browser_client, extras, libraries
from anywire.cli.main import main
from tests.cli.commands import run

WELL = Finding("a", Level.OK, "1")
BAD = Finding("long name", Level.FAIL, "2", "3 are needed", ("sysctl -w a=3",))
SO_SO = Finding("b", Level.WARN, "4", "better 5", ("ulimit -n 5",))
FEW = Wanted(connections=5000, workers=2)


def test_each_finding_has_its_value_its_reason_and_what_mends_it() -> None:
    assert as_text([WELL, BAD, SO_SO], FEW) == [
        "ok    a          1",
        "fail  long name  2",
        "                 3 are needed",
        "                 mend: sysctl -w a=3",
        "warn  b          4",
        "                 better 5",
        "                 mend: ulimit -n 5",
        "5,000 connections: stopped by long name",
    ]


def test_warnings_stop_nothing() -> None:
    assert as_text([WELL, SO_SO], FEW)[-1] == "5,000 connections: nothing stops them"
    assert json.loads(as_json([WELL, SO_SO], FEW))["ok"] is True


def test_json_is_one_object() -> None:
    assert json.loads(as_json([BAD], FEW)) == {
        "connections": 5000,
        "workers": 2,
        "ok": False,
        "findings": [
            {
                "name": "long name",
                "level": "fail",
                "value": "2",
                "why": "3 are needed",
                "mend": ["sysctl -w a=3"],
            }
        ],
    }


def test_what_we_stand_on_must_be_there() -> None:
    found = {one.name: one for one in libraries({"msgspec": "0.19.0", "uvloop": "0.21.0"})}
    assert [(one.name, one.level, one.value) for one in found.values()] == [
        ("msgspec", Level.OK, "0.19.0"),
        ("httptools", Level.FAIL, "not installed"),
        ("uvloop", Level.OK, "0.21.0"),
    ]


def test_without_uvloop_it_is_slower() -> None:
    (*_, found) = libraries({"msgspec": "1", "httptools": "1", "uvloop": None})
    assert (found.level, found.mend) == (Level.WARN, ("pip install 'anywire[fast]'",))


def test_an_extra_is_installed_when_all_of_it_is() -> None:
    needs = [
        "msgspec>=0.19",
        "uvloop>=0.21; extra == 'fast'",
        'redis>=5; extra == "redis"',
        'hiredis[x]>=3; python_version >= "3.11" and extra == "redis"',
        "pytest>=8; extra == 'test'",
    ]
    found = extras(needs, {"uvloop": "0.21.0", "redis": "5.0"})
    assert (found.level, found.value, found.why) == (Level.OK, "fast", "not installed: redis")
    assert extras([], {}).value == "none"


def test_a_browser_client_that_is_not_built_is_a_warning(tmp_path: Path) -> None:
    assert browser_client(tmp_path).level is Level.WARN
    (tmp_path / "anywire.js").write_text("x" * 2000)
    assert browser_client(tmp_path) == Finding("browser client", Level.OK, "2,000 bytes")


@pytest.mark.parametrize(
    "arguments",
    [["--connections", "0"], ["--connections", "many"], ["--workers", "-1"], ["--workers", "x"]],
)
def test_numbers_that_are_none_are_a_usage_error(arguments: list[str]) -> None:
    assert main(["doctor", *arguments]) == 2


def test_this_machine_can_hold_ten_connections(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--connections", "10", "--workers", "auto"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "10 connections: nothing stops them"
    names = [line[6:].split("  ")[0] for line in said if line[:2] == "ok"]
    assert {"open files", "memory", "workers", "socket folder", "python", "msgspec"} <= set(names)


def test_no_machine_can_hold_a_hundred_million(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--connections", "100000000", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    failures = [one for one in report["findings"] if one["level"] == "fail"]
    assert not report["ok"]
    assert failures and all(one["mend"] for one in failures)


@pytest.mark.slow
async def test_a_script_reads_the_report_of_this_machine() -> None:
    ended = await run("doctor", "--json")
    report = json.loads(ended.out)
    assert report["connections"] == 100_000
    assert ended.code == (0 if report["ok"] else 1)
