"""Where a Python server's CPU time goes: its stack, sampled by a timer that counts CPU time.

The runner's half is `profile`. The server's half is this file as a script,
`sampling.py REPORT MODULE [ARGUMENT ...]`: it runs a module as `python -m` does, samples from
SIGUSR1 to SIGUSR2 and then writes the report. A call into C counts for the line that makes it.
"""

from __future__ import annotations

import linecache
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, FrameType

from contenders import ROOT, RunFailed, Running, Server, started
from msgspec import Struct, json

INTERVAL = 0.001
"""Seconds of CPU between two samples; the kernel may round it up."""
SHOWN = 25
WARMUP = 2.0
MEASURED = 4.0


class Spot(Struct):
    """A function: its samples with it on top and with it anywhere, and its hottest line."""

    name: str
    file: str
    line: int
    own: int = 0
    total: int = 0


class Report(Struct):
    """All samples of one run, by function."""

    samples: int
    spots: list[Spot]


class Sampler:
    """Counts the stacks that the timer finds."""

    __slots__ = ("lines", "report", "samples", "totals")

    def __init__(self, report: Path) -> None:
        self.report = report
        self.samples = 0
        self.lines: Counter[tuple[CodeType, int]] = Counter()
        self.totals: Counter[CodeType] = Counter()

    def begin(self, number: int, frame: FrameType | None) -> None:
        """Starts the timer."""
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)

    def tick(self, number: int, frame: FrameType | None) -> None:
        """Counts one stack."""
        if frame is None:
            return
        self.samples += 1
        self.lines[frame.f_code, frame.f_lineno or frame.f_code.co_firstlineno] += 1
        codes = set()
        level: FrameType | None = frame
        while level is not None:
            codes.add(level.f_code)
            level = level.f_back
        self.totals.update(codes)

    def finish(self, number: int, frame: FrameType | None) -> None:
        """Stops the timer and writes what was counted."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        spots = {
            code: Spot(code.co_qualname, code.co_filename, code.co_firstlineno, total=total)
            for code, total in self.totals.items()
        }
        for (code, line), count in reversed(self.lines.most_common()):
            spots[code].own += count
            spots[code].line = line
        draft = self.report.with_suffix(".draft")
        draft.write_bytes(json.encode(Report(self.samples, list(spots.values()))))
        draft.rename(self.report)


def profile(
    server: Server, cores: tuple[int, int], load: Callable[[Running, float, float], Sequence[str]]
) -> None:
    """Runs a server under the sampler and the load, and prints its hottest functions.

    `load` makes the generator's command from warm-up and measured seconds. The server's command
    is a console script: the module of its name is run instead. Raises RunFailed.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        script, *arguments = server.command
        python = Path(script).with_name("python")
        command = [str(python), __file__, str(report), Path(script).name, *arguments]
        with started(command, cores[0]) as running:
            print(f"sampling for {MEASURED:.0f} s after {WARMUP:.0f} s", flush=True)
            with subprocess.Popen(
                load(running, WARMUP, MEASURED), stdout=subprocess.PIPE, text=True
            ) as generator:
                try:
                    time.sleep(WARMUP)
                    before, wall = running.cpu(), time.monotonic()
                    running.signal(signal.SIGUSR1)
                    time.sleep(MEASURED - 0.5)
                    running.signal(signal.SIGUSR2)
                    after, wall = running.cpu(), time.monotonic() - wall
                    printed, _ = generator.communicate(timeout=20)
                except subprocess.TimeoutExpired:
                    raise RunFailed("the generator did not end in time") from None
                finally:
                    generator.kill()
            found = read(report)
    if generator.returncode:
        raise RunFailed(f"the generator ended with {generator.returncode}")
    mine, kernel = after[0] - before[0], after[1] - before[1]
    used = max(mine + kernel, 1e-9)
    print(printed.strip())
    print(
        f"CPU: {used / wall:.0%} of a core; {mine / used:.0%} the program, {kernel / used:.0%} "
        f"the kernel; {found.samples} samples (the sampler's own cost included)\n"
    )
    print(*table(found), sep="\n")


def read(report: Path) -> Report:
    """The report of the server, as soon as it is written."""
    latest = time.monotonic() + 5
    while not report.exists():
        if time.monotonic() > latest:
            raise RunFailed("the server wrote no report")
        time.sleep(0.02)
    return json.decode(report.read_bytes(), type=Report)


def table(report: Report) -> list[str]:
    """The functions with the most samples of their own, the hottest line of each beside it."""
    lines = ["   own  total  function"]
    share = 100 / max(report.samples, 1)
    for spot in sorted(report.spots, key=lambda spot: -spot.own)[:SHOWN]:
        text = linecache.getline(spot.file, spot.line).strip()
        place = f"{spot.name}  {short(spot.file)}:{spot.line}"
        lines.append(f"{spot.own * share:5.1f}% {spot.total * share:5.1f}%  {place}  | {text[:60]}")
    return lines


def short(file: str) -> str:
    """A file's path without what is particular to this machine."""
    for root in ("site-packages/", f"python{sys.version_info[0]}.{sys.version_info[1]}/"):
        if root in file:
            return file.rpartition(root)[2]
    return file.removeprefix(f"{ROOT}/")


def main() -> None:
    """Runs the module that the arguments name, ready to be sampled."""
    _, report, module, *arguments = sys.argv
    sampler = Sampler(Path(report))
    signal.signal(signal.SIGPROF, sampler.tick)
    signal.signal(signal.SIGUSR1, sampler.begin)
    signal.signal(signal.SIGUSR2, sampler.finish)
    sys.argv = [module, *arguments]
    del sys.path[0]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
