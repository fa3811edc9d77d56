"""Runs the Autobahn test suite's fuzzing client against `/ws/echo` of the conformance app.

`make conformance SUITE=autobahn WSTEST=path` calls it with a built `wstest`. It ends with 0 when
every case has a result that is allowed, with 1 when one has not, with 3 when there is no `wstest`.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from conformance.suites.serving import ROOT, serving

NO_RUNNER = 3
REPORTS = ROOT / "build" / "autobahn"
AGENT = "anywire"
TIMEOUT = 3600.0
"""Seconds for all cases; those of compression take minutes."""

ALLOWED = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})
"""Results that do not fail. A case whose result is NON-STRICT obeys RFC 6455, only later or in
another order than the suite likes best; `--strict` fails it too."""
STRICT = ALLOWED - {"NON-STRICT"}


class Result(msgspec.Struct, frozen=True, rename="camel"):
    """What the suite's index says of one case; it says more."""

    behavior: str
    behavior_close: str
    remote_close_code: int | None = None
    duration: int = 0
    """Milliseconds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All results of one run, and those of them that fail, by case."""

    results: Mapping[str, Result]
    failed: Mapping[str, Result]

    @property
    def is_good(self) -> bool:
        """A run without a case has shown nothing."""
        return bool(self.results) and not self.failed


def read_index(index: bytes, *, allowed: frozenset[str] = ALLOWED) -> Verdict:
    """Judge the suite's `index.json`; cases are in the order of their numbers.

    Raises msgspec.DecodeError for what is none.
    """
    agents = msgspec.json.decode(index, type=dict[str, dict[str, Result]])
    results = dict(sorted(agents.get(AGENT, {}).items(), key=lambda item: _numbers(item[0])))
    failed = {
        case: result
        for case, result in results.items()
        if not {result.behavior, result.behavior_close} <= allowed
    }
    return Verdict(results, failed)


def told(verdict: Verdict) -> str:
    """The verdict in words: how many of which result, then each case that fails."""
    counts: dict[str, int] = {}
    for result in verdict.results.values():
        counts[result.behavior] = counts.get(result.behavior, 0) + 1
    parts = [f"{count} {behavior}" for behavior, count in sorted(counts.items())]
    lines = [f"autobahn: {len(verdict.results)} cases: {', '.join(parts) or 'none was run'}"]
    for case, result in verdict.failed.items():
        code = "no code" if result.remote_close_code is None else result.remote_close_code
        lines.append(
            f"autobahn: case {case} {result.behavior}, close {result.behavior_close} ({code})"
        )
    return "\n".join(lines)


def specification(url: str, *, cases: Sequence[str], without: Sequence[str]) -> bytes:
    """The fuzzing client's specification for one server; its reports go to the folder it runs in.

    `version` is the number that RFC 6455 had as its last draft.
    """
    server = {"agent": AGENT, "url": url, "options": {"version": 18}}
    return msgspec.json.encode(
        {
            "outdir": ".",
            "servers": [server],
            "cases": list(cases),
            "exclude-cases": list(without),
            "exclude-agent-cases": {},
        }
    )


def found(path: str) -> Path | None:
    """The `wstest` at this path, or of this name on PATH; None where it cannot be run."""
    known = shutil.which(os.path.expanduser(path)) if path else shutil.which("wstest")
    return None if known is None else Path(known).resolve()


def run(wstest: Path, reports: Path, *, arguments: argparse.Namespace) -> int:
    """Serve, fuzz, judge; the exit status."""
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    with serving() as url:
        target = f"{url.replace('http', 'ws', 1)}/ws/echo"
        told_to = specification(target, cases=arguments.cases, without=arguments.without)
        (reports / "fuzzingclient.json").write_bytes(told_to)
        command = (wstest, "--mode", "fuzzingclient", "--spec", "fuzzingclient.json")
        with (reports / "wstest.log").open("wb") as log:
            try:
                subprocess.run(
                    command,
                    cwd=reports,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=arguments.timeout,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                print(f"autobahn: not done after {arguments.timeout:g} s", file=sys.stderr)
                return 1
    index = reports / "index.json"
    if not index.is_file():
        print(f"autobahn: no report; {reports / 'wstest.log'} has the reason", file=sys.stderr)
        return 1
    verdict = read_index(index.read_bytes(), allowed=STRICT if arguments.strict else ALLOWED)
    print(told(verdict))
    print(f"autobahn: reports in {reports}")
    return 0 if verdict.is_good else 1


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="conformance.suites.autobahn", description=__doc__)
    parser.add_argument("--wstest", default="", metavar="PATH", help="a built fuzzing client")
    parser.add_argument("--cases", nargs="*", default=["*"], help="as 1.* 6.4.1 (all)")
    parser.add_argument("--without", nargs="*", default=[], metavar="CASES", help="cases to leave")
    parser.add_argument("--strict", action="store_true", help="NON-STRICT fails too")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds (%(default)g)")
    parser.add_argument("--reports", type=Path, default=REPORTS, metavar="DIR")
    arguments = parser.parse_args(argv)
    wstest = found(arguments.wstest)
    if wstest is None:
        where = f"{arguments.wstest} is not there or cannot be run" if arguments.wstest else "none"
        print(
            f"autobahn: no wstest ({where}); give the path of a built fuzzing client: "
            "make conformance SUITE=autobahn WSTEST=path",
            file=sys.stderr,
        )
        return NO_RUNNER
    return run(wstest, arguments.reports.resolve(), arguments=arguments)


def _numbers(case: str) -> list[int]:
    return [int(part) for part in case.split(".")]


if __name__ == "__main__":
    sys.exit(main())
