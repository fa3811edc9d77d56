"""Measures anywire against its peers on this machine: server CPU per message, round by round.

Each round runs every workload on every server in turn, each in a fresh process on one core, the
generator on another. A figure is the median of the rounds' ratios; see bench/README.md.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from types import FrameType
from typing import NoReturn

from contenders import (
    ACTION_CABLE,
    ANYWIRE,
    ANYWIRE_SOCKETIO,
    HERE,
    OWN,
    PEERS,
    PHOENIX,
    PYTHON,
    PYTHON_SOCKETIO,
    SIGNALR,
    SOCKETIO,
    UVICORN,
    WEBSOCKETS,
    WS,
    RunFailed,
    Running,
    Server,
    pinned,
    started,
)
from figures import Round, Sample, bound_table, fill, read_budget, sample_table
from msgspec import DecodeError, Struct, json
from sampling import profile


class Package(Struct):
    """What is read of a package.json."""

    dependencies: dict[str, str]


WSLOAD = HERE / "load/wsload"
SIZE = 128
OPEN_FILES = 16_384
SETUP = "bench/setup.sh"


@dataclass(frozen=True, slots=True)
class Workload:
    """One way to load a server."""

    name: str
    mode: str
    connections: int
    in_flight: int
    servers: tuple[Server, ...]
    """Anywire comes first."""

    def names(self) -> list[str]:
        """What it may be asked for by: the beginnings of its name, by words, and the name."""
        return list(accumulate(self.name.split("-"), "{}-{}".format))


EVENT_SERVERS = (ANYWIRE_SOCKETIO, SOCKETIO, PYTHON_SOCKETIO)
WORKLOADS = (
    Workload("echo-1", "echo", 64, 1, (ANYWIRE, OWN, WS, UVICORN, WEBSOCKETS)),
    Workload("echo-16", "echo", 64, 16, (ANYWIRE, WS, UVICORN, WEBSOCKETS)),
    Workload("fanout-1", "fanout", 1000, 1, (ANYWIRE, OWN, WS, UVICORN, WEBSOCKETS)),
    Workload("fanout-16", "fanout", 1000, 16, (ANYWIRE, WS, UVICORN, WEBSOCKETS)),
    Workload("wires-echo-1", "echo", 64, 1, (OWN, SIGNALR, PHOENIX, ACTION_CABLE)),
    Workload("socketio-echo-1", "echo", 64, 1, EVENT_SERVERS),
    Workload("socketio-echo-16", "echo", 64, 16, EVENT_SERVERS),
    Workload("socketio-fanout-16", "fanout", 1000, 16, EVENT_SERVERS),
)


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure; all times in seconds."""

    rounds: int
    warmup: float
    measured: float
    limit: float
    """The whole comparison takes no longer."""


FULL = Effort(rounds=5, warmup=1.0, measured=1.5, limit=540.0)
QUICK = Effort(rounds=1, warmup=0.3, measured=0.5, limit=90.0)


def load(
    server: Server,
    workload: Workload,
    core: int,
    running: Running,
    warmup: float,
    measured: float,
) -> list[str]:
    """The generator's command for one run."""
    talk = server.talks[workload.mode]
    return [
        *(*pinned(core), str(WSLOAD), workload.mode, f"ws://127.0.0.1:{running.port}{talk.path}"),
        *("-c", str(workload.connections), "-f", str(workload.in_flight)),
        *("-w", str(warmup), "-d", str(measured), "-p", str(running.pid)),
        *talk.options(SIZE),
    ]


@dataclass(slots=True)
class Comparison:
    """The rounds of one comparison and what went wrong in them."""

    effort: Effort
    workloads: Sequence[Workload]
    cores: tuple[int, int]
    latest: float
    rounds: list[Round]
    loops: dict[str, str]
    repeats: int = 0
    failures: int = 0

    def run(self) -> None:
        """Runs rounds until there are enough, or until another would take too long."""
        longest = 0.0
        for number in range(1, self.effort.rounds + 1):
            began = time.monotonic()
            if began + longest > self.latest:
                print(f"no time for round {number}: {len(self.rounds)} rounds must do", flush=True)
                return
            self.rounds.append(self.round(number))
            longest = max(longest, time.monotonic() - began)

    def round(self, number: int) -> Round:
        """Every workload on every server, once."""
        samples: Round = {}
        for workload in self.workloads:
            for server in workload.servers:
                if (sample := self.sample(workload, server)) is None:
                    continue
                samples[workload.name, server.name] = sample
                print(
                    f"round {number}/{self.effort.rounds}  {workload.name:<18}  {server.name:<16}  "
                    f"{sample.server_cpu_us:8.2f} us CPU per message  {sample.rate:>9,.0f}/s",
                    flush=True,
                )
        return samples

    def sample(self, workload: Workload, server: Server) -> Sample | None:
        """One run, repeated once when it failed; None when that failed too."""
        for left in (1, 0):
            try:
                return self.measure(workload, server)
            except RunFailed as failed:
                print(f"{workload.name}, {server.name}: {failed}", file=sys.stderr, flush=True)
                self.repeats += left
        self.failures += 1
        return None

    def measure(self, workload: Workload, server: Server) -> Sample:
        """One run in a fresh process of the server."""
        if time.monotonic() > self.latest:
            raise RunFailed(f"the time of {self.effort.limit:.0f} s for all runs is over")
        warmup = max(self.effort.warmup, server.warmup)
        with started(server.command, self.cores[0]) as running:
            command = load(server, workload, self.cores[1], running, warmup, self.effort.measured)
            try:
                done = subprocess.run(
                    command,
                    capture_output=True,
                    text=True,
                    timeout=warmup + self.effort.measured + 20,
                )
            except subprocess.TimeoutExpired:
                raise RunFailed("the generator did not end in time") from None
            if done.returncode:
                raise RunFailed(
                    f"the generator ended with {done.returncode}: {done.stderr[-2000:]}"
                )
            if server.name == ANYWIRE.name or "python" in server.command[0]:
                self.loops[server.name] = running.loop()
        try:
            sample = json.decode(done.stdout, type=Sample)
        except DecodeError as error:
            raise RunFailed(f"the generator printed no result: {error}") from None
        if sample.server_cpu_us <= 0:
            raise RunFailed("the generator saw no CPU time of the server")
        return sample


def cpu_model() -> str:
    """The processor's name for itself."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def conditions(comparison: Comparison, average: float) -> list[str]:
    """Where, when and how the figures were made."""
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    loops = ", ".join(f"{name} on {loop}" for name, loop in sorted(comparison.loops.items()))
    return [
        f"- Command: `{spelled()}`, {datetime.date.today().isoformat()}",
        f"- Machine: {os.cpu_count()} cores, {cpu_model()}, Linux "
        f"{'.'.join(platform.release().split('.')[:2])}; load average {average:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after",
        f"- CPython {platform.python_version()}; {loops}",
        f"- Peers: {', '.join(peers())}; Node {node.stdout.strip().removeprefix('v')}",
        f"- Rounds: {len(comparison.rounds)}, {comparison.effort.measured:g} s measured per run, "
        f"{SIZE} bytes per message; runs repeated: {comparison.repeats}",
    ]


def peers() -> list[str]:
    """The peers with their versions, as setup.sh has installed them."""
    pins = [line.replace("==", " ") for line in (PEERS / "constraints.txt").read_text().split()]
    package = json.decode((PEERS / "package.json").read_bytes(), type=Package)
    return pins + [f"{name} {version}" for name, version in package.dependencies.items()]


def spelled() -> str:
    """The command as a reader types it."""
    return " ".join(["python bench/compare.py", *sys.argv[1:]])


def report(comparison: Comparison, average: float) -> list[str]:
    """Both tables and the conditions, as lines of Markdown."""
    servers = dict.fromkeys(s.name for w in comparison.workloads for s in w.servers)
    return [
        *bound_table(read_budget(HERE / "budget.toml"), comparison.rounds),
        "",
        *sample_table(
            [workload.name for workload in comparison.workloads],
            list(servers),
            comparison.rounds,
        ),
        "",
        *conditions(comparison, average),
    ]


def options() -> argparse.Namespace:
    """The command line."""
    names = [workload.name for workload in WORKLOADS]
    short = dict.fromkeys(name for workload in WORKLOADS for name in workload.names())
    parser = argparse.ArgumentParser(description="Measures anywire against its peers.")
    parser.add_argument("--quick", action="store_true", help="one short round, under 90 s")
    parser.add_argument(
        "--only", action="append", choices=short, help="workloads that begin so, repeatable"
    )
    parser.add_argument(
        "--profile", choices=names, help="instead: where anywire's time goes in this workload"
    )
    parser.add_argument("--own", action="store_true", help="with --profile: on the own wire")
    asked = parser.parse_args()
    if asked.own and asked.profile not in [w.name for w in WORKLOADS if OWN in w.servers]:
        parser.error("--own goes with --profile echo-1 or --profile fanout-1")
    return asked


def raise_limits() -> None:
    """Lets this process and its children hold enough sockets."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def stop(number: int, frame: FrameType | None) -> NoReturn:
    """Leaves by an exception, so that every server is ended."""
    raise SystemExit(128 + number)


def compare(asked: argparse.Namespace, cores: tuple[int, int]) -> int:
    """Runs a comparison, prints its tables and keeps those of a full one."""
    effort = QUICK if asked.quick else FULL
    chosen = [w for w in WORKLOADS if asked.only is None or {*w.names()} & {*asked.only}]
    average = os.getloadavg()[0]
    latest = time.monotonic() + effort.limit
    comparison = Comparison(effort, chosen, cores, latest, rounds=[], loops={})
    comparison.run()
    lines = report(comparison, average)
    print("", *lines, sep="\n")
    if comparison.failures:
        print(f"\n{comparison.failures} runs failed; bench/README.md stays", file=sys.stderr)
        return 1
    if effort is FULL and len(chosen) == len(WORKLOADS):
        fill(HERE / "README.md", lines)
        print("\nwritten to bench/README.md")
    else:
        print("\nnot a full run: bench/README.md stays")
    return 0


def main() -> int:
    """The exit code is 0 unless something failed to run; a missed bound is no failure."""
    asked = options()
    needed = {ANYWIRE.command[0]: "pip install -e .", PYTHON: SETUP, str(WSLOAD): SETUP}
    for path, remedy in needed.items():
        if not Path(path).exists():
            print(f"bench: {Path(path).name} is missing; run {remedy}", file=sys.stderr)
            return 1
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    raise_limits()
    allowed = sorted(os.sched_getaffinity(0))
    cores = (allowed[0], allowed[1 % len(allowed)])
    try:
        if asked.profile is None:
            return compare(asked, cores)
        workload = next(w for w in WORKLOADS if w.name == asked.profile)
        server = OWN if asked.own else workload.servers[0]
        profile(server, cores, lambda *times: load(server, workload, cores[1], *times))
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    except RunFailed as failed:
        print(f"bench: {failed}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
