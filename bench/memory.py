"""Measures what an idle connection costs in memory: growth of the server's RSS, with its peers.

Each run starts a server in a fresh process and has a small client (`holding.py`) open connections,
each of which joins a room, says one message and stays; see bench/README.md, Memory.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import FrameType
from typing import NoReturn

from contenders import (
    ANYWIRE,
    HERE,
    PEERS,
    PYTHON,
    ROOT,
    UVICORN,
    WEBSOCKETS,
    WS,
    RunFailed,
    Running,
    started,
)

CONNECTIONS = 10_000
FIRST = 500
"""Connections before the first reading: tables have grown, caches are full."""
SPARE = 200
"""Files that a process has open beside its connections."""
LIMIT = 480.0
"""Seconds for everything."""
RUN_LIMIT = 90.0
QUIET = 0.25
"""Seconds without any CPU time after which a server is idle."""
OWN_PYTHON = str(ROOT / ".venv/bin/python")
HOLDING = str(HERE / "holding.py")
README = HERE / "README.md"
BEGIN = "<!-- memory: begin (written by memory.py) -->"
END = "<!-- memory: end -->"
TEXT = "x" * 128
LONG = "what deflate makes small " * 20


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a server, what each client says to it, and what we promise."""

    name: str
    command: tuple[str, ...]
    talk: tuple[str, ...]
    bound: int | None = None
    above: str = ""
    """The bound is what it may cost more than this row."""
    runs: int = 1


def collected(command: Sequence[str]) -> tuple[str, ...]:
    """A server's command, changed so that SIGUSR2 has it free what is garbage."""
    program, *words = command
    if program == "node":
        return (program, "--expose-gc", "-r", str(PEERS / "collect.cjs"), *words)
    if program == PYTHON:
        return (program, HOLDING, "collected", *(words[1:] if words[0] == "-m" else words))
    return (OWN_PYTHON, HOLDING, "collected", Path(program).name, *words)


def plain(path: str, text: str = TEXT) -> tuple[str, ...]:
    """A message that comes back as it is."""
    return (path, "--message", text, "--answer", text)


def own() -> tuple[str, ...]:
    """A join and a call on anywire's own wire, neither answer acknowledged."""
    call = f'{{"type":"call","ref":2,"address":"echo","event":"say","data":"{TEXT}"}}'
    return (
        *("/ws", "--subprotocol", "anywire.json.1"),
        *("--hello", '{"type":"join","ref":1,"address":"echo"}', "--ready", '"joined"'),
        *("--message", call, "--answer", '"reply"'),
    )


OURS = collected(ANYWIRE.command)
RAW = "anywire, raw"
JSON = "anywire, own wire"
ROWS = (
    Row(RAW, OURS, plain("/raw/echo"), bound=4 * 1024, runs=3),
    Row(
        f"{RAW}, deflate",
        OURS,
        (*plain("/raw/echo", LONG), "--deflate"),
        bound=512,
        above=RAW,
        runs=3,
    ),
    Row(JSON, OURS, own(), bound=6 * 1024, runs=3),
    Row(f"{JSON}, deflate", OURS, (*own(), "--deflate"), bound=512, above=JSON, runs=3),
    Row("ws", collected(WS.command), plain("/echo")),
    Row("websockets", collected(WEBSOCKETS.command), plain("/echo")),
    Row("uvicorn", collected(UVICORN.command), plain("/echo")),
)


@dataclass(frozen=True, slots=True)
class Growth:
    """What one run found, in bytes."""

    before: int
    after: int
    connections: int

    @property
    def each(self) -> float:
        """Bytes per connection."""
        return (self.after - self.before) / self.connections


def rss(running: Running) -> int:
    """Memory of the process that is in use, in bytes; the kernel's for its sockets is not in it."""
    for line in Path(f"/proc/{running.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RunFailed("the kernel does not say how much memory a process has")


def settled(running: Running, latest: float) -> int:
    """Frees what is garbage, waits until the server is idle; its memory then."""
    running.signal(signal.SIGUSR2)
    used = -1.0
    while used != (used := sum(running.cpu())):
        if time.monotonic() > latest:
            raise RunFailed("the server does not become idle")
        time.sleep(QUIET)
    return rss(running)


class Client:
    """The client of one run, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], latest: float) -> None:
        self.process = process
        self.latest = latest

    def open(self, count: int) -> None:
        """Opens so many connections more and has each say what it says."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        left = self.latest - time.monotonic()
        ready, _, _ = select.select([self.process.stdout], [], [], max(left, 0))
        if not ready:
            raise RunFailed("the connections were not open in time")
        if not self.process.stdout.readline():
            raise RunFailed("the client ended; its last words are above")


def measure(row: Row, count: int, cores: tuple[int, int]) -> Growth:
    """One run in a fresh process of the server."""
    latest = time.monotonic() + RUN_LIMIT
    with started(row.command, cores[0]) as running, ExitStack() as stack:
        command = [OWN_PYTHON, HOLDING, "hold", str(running.port), *row.talk]
        process = subprocess.Popen(
            ["taskset", "-c", str(cores[1]), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        client = Client(process, latest)
        client.open(FIRST)
        before = settled(running, latest)
        client.open(count)
        after = settled(running, latest)
        if process.poll() is not None:
            raise RunFailed("the server hung up on an idle connection")
        return Growth(before, after, count)


@dataclass(slots=True)
class Table:
    """What all runs found, by row."""

    found: dict[str, list[Growth]]

    def each(self, name: str) -> float:
        """Bytes per connection: the median of the row's runs."""
        return median(growth.each for growth in self.found[name])

    def verdict(self, row: Row) -> str:
        """What we promise of a row, and whether it is so."""
        if row.bound is None:
            return ""
        figure = self.each(row.name)
        if not row.above:
            return f"{row.bound:,}: {'met' if figure <= row.bound else 'missed'}"
        if row.above not in self.found:
            return ""
        more = figure - self.each(row.above)
        return f"+ {row.bound:,}: {'met' if more <= row.bound else 'missed'} ({more:+,.0f})"

    def lines(self) -> list[str]:
        """The table, as lines of Markdown."""
        lines = [
            "| Server | Bytes per connection (runs) | All, MB | Process before, MB | Bound |",
            "|---|---|---|---|---|",
        ]
        for row in ROWS:
            if row.name not in self.found:
                continue
            growths = self.found[row.name]
            runs = ", ".join(f"{growth.each:,.0f}" for growth in growths)
            more = median(growth.after - growth.before for growth in growths)
            before = median(growth.before for growth in growths)
            lines.append(
                f"| {row.name} | {self.each(row.name):,.0f} ({runs}) | {more / 1e6:.1f} "
                f"| {before / 1e6:.0f} | {self.verdict(row)} |"
            )
        return lines


def fill(lines: Sequence[str]) -> None:
    """Puts the table into bench/README.md."""
    text = README.read_text()
    begin, _, rest = text.partition(BEGIN)
    _, _, end = rest.partition(END)
    if not end:
        raise RunFailed("bench/README.md has no place for the table")
    README.write_text("\n".join([f"{begin}{BEGIN}", "", *lines, "", f"{END}{end}"]))


def conditions(count: int) -> list[str]:
    """Where, when and how the figures were made."""
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    pins = (PEERS / "constraints.txt").read_text().split()
    return [
        f"- Command: `python bench/memory.py`, {datetime.date.today().isoformat()}; "
        f"{count:,} connections after the first {FIRST}",
        f"- CPython {platform.python_version()}, uvloop; {', '.join(pins).replace('==', ' ')}; "
        f"Node {node.stdout.strip().removeprefix('v')}; Linux {platform.release().split('-')[0]}",
    ]


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measures the memory of idle connections.")
    parser.add_argument(
        "-n", "--connections", type=int, default=CONNECTIONS, help="how many (%(default)s)"
    )
    names = [row.name for row in ROWS]
    parser.add_argument("--only", action="append", choices=names, help="this row, repeatable")
    parser.add_argument("--once", action="store_true", help="one run of each row")
    return parser.parse_args()


def raise_limits(count: int) -> None:
    """Lets this process and its children hold enough sockets."""
    needed = count + FIRST + SPARE
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise RunFailed(f"{needed} open files are needed, and {hard} allowed: ulimit -Hn {needed}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def stop(number: int, frame: FrameType | None) -> NoReturn:
    """Leaves by an exception, so that every server is ended."""
    raise SystemExit(128 + number)


def run(asked: argparse.Namespace) -> int:
    """Every row in turn; a full run fills bench/README.md."""
    raise_limits(asked.connections)
    allowed = sorted(os.sched_getaffinity(0))
    cores = (allowed[0], allowed[1 % len(allowed)])
    latest = time.monotonic() + LIMIT
    table = Table({})
    rows = [row for row in ROWS if asked.only is None or row.name in asked.only]
    for row in rows:
        for _ in range(1 if asked.once else row.runs):
            if time.monotonic() > latest:
                raise RunFailed(f"the time of {LIMIT:.0f} s for all runs is over")
            growth = measure(row, asked.connections, cores)
            table.found.setdefault(row.name, []).append(growth)
            print(f"{row.name:<26} {growth.each:8,.0f} bytes per connection", flush=True)
    lines = [*table.lines(), "", *conditions(asked.connections)]
    print("", *lines, sep="\n")
    if len(rows) == len(ROWS) and not asked.once and asked.connections == CONNECTIONS:
        fill(lines)
        print("\nwritten to bench/README.md")
    return 0


def main() -> int:
    """The exit code is 0 unless something failed to run; a missed bound is no failure."""
    asked = options()
    for path, remedy in ((OWN_PYTHON, "make test"), (PYTHON, "sh bench/setup.sh")):
        if not Path(path).exists():
            print(f"bench: {Path(path).name} is missing; run {remedy}", file=sys.stderr)
            return 1
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        return run(asked)
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    except RunFailed as failed:
        print(f"bench: {failed}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
