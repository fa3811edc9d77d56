"""Doctor: `anywire doctor`, which looks for what would stop so many connections here.

The questions about the machine are `checks`; those about what is installed are here. Nothing is
changed: each finding comes with the line that mends it.
"""

import argparse
import importlib.metadata
import os
import platform
import re
import resource
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

import anywire
from anywire.brokers.local.folder import run_time_folder
from anywire.cli import checks
from anywire.cli.checks import Finding, Level, Wanted
from anywire.cli.command import FAILED, Parser, add_command

CONNECTIONS = 100_000
PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")
_EXAMPLES = """\
  anywire doctor                                     what would stop 100,000 connections
  anywire doctor --connections 5000 --workers 4
  anywire doctor --json | jq '.findings[] | select(.level == "fail")'

exit codes: 0 nothing stops them, 1 something does, 2 usage
"""
_EXTRA = re.compile(r"""([\w.-]+).*;.*\bextra\s*==\s*["']([\w-]+)["']""")
_OURS = frozenset({"test", "docs", "dev"})
"""Extras for working on anywire itself."""


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "doctor",
        doctor,
        summary="look for what would stop 100,000 connections, and say how to mend it",
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "--connections",
        type=_positive,
        default=CONNECTIONS,
        metavar="NUMBER",
        help="so many are wanted (%(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=_workers,
        default=1,
        metavar="NUMBER",
        help="processes that share them; auto: one for each core (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def doctor(arguments: argparse.Namespace) -> int:
    """Print the findings; returns the exit code."""
    wanted = Wanted(connections=arguments.connections, workers=arguments.workers)
    findings = [*_machine(wanted), *_software()]
    if arguments.json:
        text = as_json(findings, wanted)
    else:
        text = "\n".join(as_text(findings, wanted))
    sys.stdout.write(f"{text}\n")
    return FAILED if _failures(findings) else 0


def as_json(findings: Sequence[Finding], wanted: Wanted) -> str:
    """One object: what was asked, whether it is possible, and every finding."""
    report = {
        "connections": wanted.connections,
        "workers": wanted.workers,
        "ok": not _failures(findings),
        "findings": findings,
    }
    return msgspec.json.encode(report).decode()


def as_text(findings: Sequence[Finding], wanted: Wanted) -> list[str]:
    """One line a finding, what is wrong with it below, and the sum."""
    width = max(len(finding.name) for finding in findings)
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{finding.level:<4}  {finding.name:<{width}}  {finding.value}")
        if finding.why:
            lines.append(f"{'':<{width + 8}}{finding.why}")
        lines += [f"{'':<{width + 8}}mend: {line}" for line in finding.mend]
    wished = f"{wanted.connections:,} connections"
    failures = _failures(findings)
    if failures:
        lines.append(f"{wished}: stopped by {', '.join(finding.name for finding in failures)}")
    else:
        lines.append(f"{wished}: nothing stops them")
    return lines


def libraries(versions: Mapping[str, str | None]) -> Iterator[Finding]:
    """What we stand on, and what makes us faster; a version None is not installed."""
    for name in ("msgspec", "httptools"):
        version = versions.get(name)
        if version is None:
            mend = ("pip install --force-reinstall anywire",)
            yield Finding(name, Level.FAIL, "not installed", "anywire needs it", mend)
        else:
            yield Finding(name, Level.OK, version)
    if (version := versions.get("uvloop")) is None:
        mend = ("pip install 'anywire[fast]'",)
        yield Finding("uvloop", Level.WARN, "not installed", "asyncio's own loop is slower", mend)
    else:
        yield Finding("uvloop", Level.OK, version)


def extras(requirements: Sequence[str], versions: Mapping[str, str | None]) -> Finding:
    """Which extras of the package are installed whole; `requirements` as its metadata has them.

    >>> extras(["uvloop>=0.21; extra == 'fast'"], {"uvloop": "0.21.0"}).value
    'fast'
    """
    wanted: dict[str, list[str]] = {}
    for requirement in requirements:
        if (found := _EXTRA.match(requirement)) and found[2] not in _OURS:
            wanted.setdefault(found[2], []).append(found[1])
    whole = [extra for extra, names in wanted.items() if all(map(versions.get, names))]
    missing = sorted(set(wanted) - set(whole))
    why = f"not installed: {', '.join(missing)}" if missing else ""
    return Finding("extras", Level.OK, ", ".join(sorted(whole)) or "none", why)


def browser_client(static: Path) -> Finding:
    """Whether the server has `/anywire.js` to serve."""
    built = static / "anywire.js"
    if built.is_file():
        return Finding("browser client", Level.OK, f"{built.stat().st_size:,} bytes")
    why = "/anywire.js is answered with 404; an installed package has it, a checkout builds it"
    mend = ("make src/anywire/static/anywire.js",)
    return Finding("browser client", Level.WARN, "not built", why, mend)


def _machine(wanted: Wanted) -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    group = checks.group_of(PROC, CGROUP)
    yield checks.open_files(wanted, soft, hard)
    yield from checks.open_files_of_all(wanted, PROC)
    yield from checks.backlog(PROC)
    yield from checks.ports(wanted, PROC)
    yield from checks.connection_tracking(wanted, PROC)
    yield from checks.memory(wanted, PROC, group)
    yield checks.cores(wanted, len(os.sched_getaffinity(0)), group)
    folder = _socket_folder()
    yield checks.socket_folder(folder, is_writable=os.access(folder, os.W_OK | os.X_OK))


def _socket_folder() -> Path:
    """Where workers meet, found as they find it."""
    if (own := run_time_folder()) is not None:
        return own
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return Path("/tmp")  # no folder is writable


def _software() -> Iterator[Finding]:
    yield Finding(
        "python", Level.OK, f"{platform.python_implementation()} {sys.version.split()[0]}"
    )
    yield Finding("anywire", Level.OK, anywire.__version__)
    try:
        requirements = importlib.metadata.requires("anywire") or []
    except importlib.metadata.PackageNotFoundError:
        requirements = []  # it runs from a folder that nobody installed
    names = {"msgspec", "httptools", "uvloop"}
    names |= {found[1] for line in requirements if (found := _EXTRA.match(line))}
    versions = {name: _version(name) for name in names}
    yield from libraries(versions)
    yield extras(requirements, versions)
    yield browser_client(Path(anywire.__file__).parent / "static")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _failures(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is Level.FAIL]


def _workers(text: str) -> int:
    return len(os.sched_getaffinity(0)) if text == "auto" else _positive(text)


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 0 < number <= 100_000_000:
        raise argparse.ArgumentTypeError(f"a number over 0 is wanted, not {text!r}")
    return number
