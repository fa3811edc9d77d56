"""Runs the official SockJS suite against `/sockjs` of the conformance app.

`make conformance SUITE=sockjs REPO=path` calls it with a checkout of the suite, sockjs-protocol. It
ends with 0 when every case passes and they are the cases known here, with 1 when not, with 3 when
there is no checkout or the suite's WebSocket client cannot be had. The checkout is only read: what
runs is its text made Python 3, in the folder of the reports.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from conformance.suites.serving import ROOT, serving
from conformance.suites.sockjs_inside import Result
from conformance.suites.sockjs_python3 import FILES, Untranslatable, cases_in, translate

NO_RUNNER = 3
REPORTS = ROOT / "build" / "sockjs"
CLIENT = "websocket-client==1.9.2"
"""The WebSocket client that the suite asks for; installed apart, where Python has none."""
TIMEOUT = 20.0
"""Seconds for one case; the longest takes two."""

_GROUPS = {
    "BaseUrlGreeting": "greeting notFound",
    "IframePage": "simpleUrl versionedUrl queriedUrl invalidUrl cacheability",
    "InfoTest": "basic entropy options options_null_origin disabled_websocket",
    "SessionURLs": "anyValue invalidPaths ignoringServerId",
    "Protocol": "simpleSession closeSession",
    "WebsocketHttpErrors": "httpMethod invalidConnectionHeader invalidMethod",
    "Websocket": "transport close headersSanity empty_frame reuseSessionId haproxy broken_json",
    "XhrPolling": "options transport invalid_session invalid_json content_types"
    " request_headers_cors sending_empty_frame",
    "XhrStreaming": "options transport response_limit",
    "EventSource": "transport response_limit",
    "HtmlFile": "transport no_callback invalid_callback response_limit",
    "JsonPolling": "transport no_callback invalid_callback invalid_json content_types close"
    " sending_empty_frame",
    "JsessionidCookie": "basic xhr xhr_streaming eventsource htmlfile jsonp",
    "RawWebsocket": "transport close",
    "JSONEncoding": "xhr_server_encodes xhr_server_decodes",
    "HandlingClose": "close_frame close_request abort_xhr_streaming abort_xhr_polling",
    "Http10": "synchronous streaming",
    "Http11": "synchronous streaming",
    "HttpQuirks": "emptyContentLengthForPost",
}
CASES = tuple(f"{group}.test_{name}" for group, names in _GROUPS.items() for name in names.split())
"""The official cases, in their order: 68 of sockjs-protocol.py, one of http-quirks.py."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All results of one run, by case; of a case that was asked for, there may be none."""

    asked: Sequence[str]
    results: Mapping[str, Result]

    @property
    def failed(self) -> list[str]:
        """The cases without a result that is good."""
        return [
            case
            for case in self.asked
            if case not in self.results or not self.results[case].has_passed
        ]

    @property
    def is_good(self) -> bool:
        """A run without a case has shown nothing."""
        return bool(self.asked) and not self.failed


def told(verdict: Verdict) -> str:
    """The verdict in words: how many, then each case that fails, and why."""
    passed = len(verdict.asked) - len(verdict.failed)
    counts = f"{passed} passed, {len(verdict.failed)} failed" if verdict.asked else "none was run"
    lines = [f"sockjs: {len(verdict.asked)} cases: {counts}"]
    for case in verdict.failed:
        result = verdict.results.get(case)
        lines.append(f"sockjs: {case}: {result.reason if result else 'the run ended before it'}")
    return "\n".join(lines)


def differences(cases: Sequence[str]) -> list[str]:
    """What a checkout's cases are that ours are not, and the other way round, in words."""
    new = [f"sockjs: {case} is new in the checkout" for case in cases if case not in CASES]
    gone = [f"sockjs: {case} is not in the checkout" for case in CASES if case not in cases]
    return new + gone


def chosen(cases: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """The cases that fit one of the patterns, in their own order."""
    return [case for case in cases if any(fnmatchcase(case, pattern) for pattern in patterns)]


def missing(repo: str) -> str:
    """What keeps this path from being a checkout of the suite; empty when it is one."""
    if not repo:
        return "none given"
    folder = Path(repo).expanduser()
    absent = [file for file in FILES if not (folder / file).is_file()]
    return f"{repo} has no {', '.join(absent)}" if absent else ""


def websocket_client(packages: Path) -> str:
    """Have the suite's WebSocket client, from Python or in this folder; what went wrong, if so."""
    if (packages / "websocket").is_dir():
        return ""
    with contextlib.suppress(PackageNotFoundError):
        if version("websocket-client"):
            return ""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q")
    command = (*pip, "install", "--no-deps", "--target", packages, CLIENT)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return ""
    shutil.rmtree(packages, ignore_errors=True)
    said = done.stderr.strip().splitlines()
    return said[-1] if said else f"pip ended with {done.returncode}"


def results(reports: Path, cases: Sequence[str], *, url: str, timeout: float) -> Iterator[Result]:
    """Run these cases of the translated suite against this server; each result as it comes."""
    paths = [str(reports / "packages"), *filter(None, [os.environ.get("PYTHONPATH")])]
    inside = ("-m", "conformance.suites.sockjs_inside", str(reports / "suite"), f"{timeout}")
    command = (sys.executable, "-W", "ignore", *inside, *cases)
    environment = os.environ | {"SOCKJS_URL": url, "PYTHONPATH": os.pathsep.join(paths)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield msgspec.json.decode(line, type=Result)
        finally:
            process.terminate()


@contextmanager
def served(url: str) -> Iterator[str]:
    """The URL of the mounts: of the server at this one, or of the conformance app, now started."""
    with contextlib.nullcontext(url) if url else serving() as base:
        yield f"{base.rstrip('/')}/sockjs"


def run(repo: Path, reports: Path, *, arguments: argparse.Namespace) -> int:
    """Translate, serve, run, judge; the exit status."""
    folder = reports / "suite"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        translate(repo, folder)
    except Untranslatable as error:
        print(f"sockjs: {error}", file=sys.stderr)
        return 1
    cases = cases_in(folder)
    different = differences(cases)
    asked = chosen(cases, arguments.cases)
    got: dict[str, Result] = {}
    with served(arguments.url) as url, (reports / "report.txt").open("w") as report:
        for result in results(reports, asked, url=url, timeout=arguments.timeout):
            got[result.case] = result
            word = "passed" if result.has_passed else "failed"
            print(f"sockjs: {word} {result.case}", flush=True)
            report.write(f"{word} {result.case}\n{result.traceback}")
    verdict = Verdict(asked, got)
    print("\n".join([told(verdict), *different]))
    print(f"sockjs: tracebacks in {reports / 'report.txt'}")
    return 0 if verdict.is_good and not different else 1


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="conformance.suites.sockjs", description=__doc__)
    parser.add_argument("--repo", default="", metavar="PATH", help="a checkout of sockjs-protocol")
    parser.add_argument("--url", default="", help="a server that runs, as http://127.0.0.1:8000")
    parser.add_argument("--cases", nargs="*", default=["*"], help="as Http1* Websocket.test_close")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds (%(default)g)")
    parser.add_argument("--reports", type=Path, default=REPORTS, metavar="DIR")
    arguments = parser.parse_args(argv)
    if reason := missing(arguments.repo):
        print(
            f"sockjs: no suite ({reason}); give a checkout of sockjs-protocol: "
            "make conformance SUITE=sockjs REPO=path",
            file=sys.stderr,
        )
        return NO_RUNNER
    reports = arguments.reports.resolve()
    if reason := websocket_client(reports / "packages"):
        print(
            f"sockjs: no WebSocket client for the suite ({reason}); "
            f"pip install {CLIENT} and run it again",
            file=sys.stderr,
        )
        return NO_RUNNER
    repo = Path(arguments.repo).expanduser().resolve()
    return run(repo, reports, arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
