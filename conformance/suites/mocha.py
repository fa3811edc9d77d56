"""Runs a protocol suite that is written for mocha, on a copy of its folder.

It ends with 0 when every case passes and the cases are those of our own tests, with 1 when not,
with 3 when there is no checkout of the suite, or Node or npm cannot run it.
"""

import argparse
import ast
import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from conformance.suites.serving import ROOT, serving

NO_RUNNER = 3
OLDEST_NODE = 20
ADDRESS = "http://localhost:3000"
"""Where a suite expects its server; the copy gets another address."""
REPORT = "report.json"
TIMEOUT = 300.0
"""Seconds for npm, and for all cases; these take ten."""


class Unready(Exception):
    """Why the suite cannot be run here, in one line."""


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite: `folder` is where a checkout has it; `table` is our file with `OFFICIAL`."""

    name: str
    folder: str
    table: Path

    @property
    def usage(self) -> str:
        """What to call."""
        return f"make conformance SUITE={self.name} REPO=path"


class Fault(msgspec.Struct, frozen=True):
    """What mocha says of an error; it says more."""

    message: str = ""


class Case(msgspec.Struct, frozen=True, rename="camel"):
    """What mocha says of a case; its title has the titles of its groups before it."""

    full_title: str
    err: Fault = Fault()


class Report(msgspec.Struct, frozen=True):
    """What mocha's JSON reporter says of a run. A failure may be one of no case, but of a hook."""

    tests: list[Case]
    passes: list[Case]
    failures: list[Case]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One run: how many cases passed, which failed and why, and which are not those we know."""

    name: str
    count: int
    passed: int
    failed: Mapping[str, str]
    unknown: Sequence[str]
    """Cases that our tests have not."""
    absent: Sequence[str]
    """Cases that our tests have, and the suite has not."""

    @property
    def is_good(self) -> bool:
        """A run without a case has shown nothing."""
        return self.count > 0 and not (self.failed or self.unknown or self.absent)


def official(table: Path) -> list[str]:
    """The titles of `OFFICIAL` in one of our test files, which is read and not run.

    Raises ValueError where it has no such table.
    """
    for node in ast.parse(table.read_text(encoding="utf-8")).body:
        match node:
            case ast.AnnAssign(target=ast.Name(id="OFFICIAL"), value=ast.Dict() as titles):
                return list(ast.literal_eval(titles))
    raise ValueError(f"{table.name} has no dictionary OFFICIAL")


def judge(name: str, report: bytes, known: Iterable[str]) -> Verdict:
    """What mocha's report says; `known` are titles as `group > group > case`.

    Raises msgspec.DecodeError for what is no report.
    """
    said = msgspec.json.decode(report, type=Report)
    # Mocha joins a title with spaces.
    titles = {title.replace(" > ", " "): title for title in known}
    passed = {case.full_title for case in said.passes}
    failed = {case.full_title: _line(case.err.message) for case in said.failures}
    for case in said.tests:
        if case.full_title not in passed:
            failed.setdefault(case.full_title, "it was not run")
    ran = [case.full_title for case in said.tests]
    return Verdict(
        name,
        count=len(ran),
        passed=sum(title not in failed for title in ran),
        failed={titles.get(title, title): why for title, why in failed.items()},
        unknown=[title for title in ran if title not in titles],
        absent=[title for said, title in titles.items() if said not in ran],
    )


def told(verdict: Verdict) -> str:
    """The verdict in words: how many, then each case that fails or is not where it should be."""
    name, failed = verdict.name, len(verdict.failed)
    lines = [f"{name}: {verdict.count} cases: {verdict.passed} passed, {failed} failed"]
    lines += [f"{name}: failed: {title}: {why}" for title, why in verdict.failed.items()]
    lines += [f"{name}: new: our tests have no case {title}" for title in verdict.unknown]
    lines += [f"{name}: gone: the suite has no case {title}" for title in verdict.absent]
    return "\n".join(lines)


def copy(source: Path, work: Path) -> None:
    """A fresh copy of a suite's files, without what is installed beside them."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_file():
            (work / path.name).write_bytes(path.read_bytes())


def redirect(work: Path, url: str) -> None:
    """Have the copy look for its server there. Raises Unready where it names none."""
    count = 0
    for path in work.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        count += text.count(ADDRESS)
        path.write_text(text.replace(ADDRESS, url), encoding="utf-8")
    if not count:
        raise Unready(f"no file of the suite names its server as {ADDRESS}")


def look_for_node() -> None:
    """Raises Unready where there is no Node that is new enough."""
    found = _said("node", "--version")
    version = re.match(r"v(\d+)\.", found)
    if version is None or int(version[1]) < OLDEST_NODE:
        raise Unready(f"Node {OLDEST_NODE} or newer is needed (found: {found or 'none'})")


def install(work: Path) -> None:
    """What the copy's package.json asks for, beside it. Raises Unready where npm cannot."""
    command = ("npm", "install", "--ignore-scripts", "--no-fund", "--no-audit", "--prefer-offline")
    try:
        ended = subprocess.run(
            (*command, "--loglevel=error"),
            cwd=work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unready(f"npm does not install what the suite needs: {_line(error)}") from error
    if ended.returncode:
        why = _line(ended.stderr or ended.stdout) or f"it ended with {ended.returncode}"
        raise Unready(f"npm does not install what the suite needs: {why}")


def run(suite: Suite, repo: Path, *, work: Path, url: str, timeout: float) -> int:
    """Copy, install, serve where no URL is given, run, judge; the exit status."""
    source = repo / suite.folder
    if not (source / "package.json").is_file():
        raise Unready(f"no {suite.folder} in {repo}; {suite.usage}")
    look_for_node()
    copy(source, work)
    install(work)
    with contextlib.nullcontext(url) if url else serving() as served:
        redirect(work, served.rstrip("/"))
        output = f"output={REPORT}"
        command = (work / "node_modules/.bin/mocha", "--exit", "--reporter", "json")
        with (work / "mocha.log").open("wb") as log:
            try:
                subprocess.run(
                    (*command, "--reporter-option", output, "test-suite.js"),
                    cwd=work,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=timeout,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                print(f"{suite.name}: not done after {timeout:g} s", file=sys.stderr)
                return 1
            except OSError as error:
                raise Unready(f"npm has installed no mocha that runs: {error}") from error
    report = work / REPORT
    if not report.is_file():
        print(f"{suite.name}: no report; {work / 'mocha.log'} has the reason", file=sys.stderr)
        return 1
    verdict = judge(suite.name, report.read_bytes(), official(suite.table))
    print(told(verdict))
    return 0 if verdict.is_good else 1


def main(suite: Suite, argv: Sequence[str] | None = None) -> int:
    """The command line of one suite; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog=f"conformance.suites.{suite.name}",
        description=f"Runs {suite.folder} of a checkout against the conformance app.",
    )
    parser.add_argument("--repo", default="", metavar="PATH", help="a checkout of socket.io")
    parser.add_argument("--url", default="", help="a server that runs (default: serves the app)")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds (%(default)g)")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / suite.name, metavar="DIR", help="of the copy"
    )
    arguments = parser.parse_args(argv)
    try:
        if not arguments.repo:
            raise Unready(f"no checkout of socket.io is given; {suite.usage}")
        return run(
            suite,
            Path(arguments.repo).expanduser(),
            work=arguments.work.resolve(),
            url=arguments.url,
            timeout=arguments.timeout,
        )
    except Unready as unready:
        print(f"{suite.name}: {unready}", file=sys.stderr)
        return NO_RUNNER


def _said(*command: str) -> str:
    """What a command prints; nothing where it cannot be run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def _line(text: object) -> str:
    """The first line that says something."""
    return next((line.strip() for line in str(text).splitlines() if line.strip()), "")
