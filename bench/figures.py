"""What the runs say: ratios per round, medians, verdicts, and the tables that show them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from msgspec import Struct, toml

NOT_SHOWN = 1.25
"""Up to this multiple of its limit a figure is neither met nor missed."""

BEGIN = "<!-- figures: begin (written by compare.py) -->"
END = "<!-- figures: end -->"


class Sample(Struct, frozen=True):
    """What the generator reports of one run; the fields that are used here."""

    rate: float
    p50_us: float
    server_cpu_us: float
    server_busy: float
    client_busy: float


class Bound(Struct, frozen=True):
    """A promise: the CPU per message of one server is at most `limit` times that of another."""

    workload: str
    of: str
    to: str
    limit: float


class Budget(Struct, frozen=True):
    """All bounds, as bench/budget.toml lists them."""

    bound: list[Bound]


Round = dict[tuple[str, str], Sample]
"""One sample by workload and server."""


def read_budget(path: Path) -> list[Bound]:
    """The bounds of a budget file."""
    return toml.decode(path.read_bytes(), type=Budget).bound


def ratios(bound: Bound, rounds: Sequence[Round]) -> list[float]:
    """The ratio of each round that has both samples."""
    of, to = (bound.workload, bound.of), (bound.workload, bound.to)
    return [r[of].server_cpu_us / r[to].server_cpu_us for r in rounds if of in r and to in r]


def verdict(figure: float, limit: float) -> str:
    """`met`, `not shown` or `missed`."""
    if figure <= limit:
        return "met"
    return "not shown" if figure <= limit * NOT_SHOWN else "missed"


def spread(values: Sequence[float], form: str) -> str:
    """The median and, when there are several values, the least and the greatest."""
    middle = format(median(values), form)
    if len(values) == 1:
        return middle
    return f"{middle} ({format(min(values), form)} .. {format(max(values), form)})"


def bound_table(bounds: Sequence[Bound], rounds: Sequence[Round]) -> list[str]:
    """The ratios with their bounds and verdicts, as lines of Markdown."""
    lines = [
        "| Workload | Ratio | Bound | Median (spread) | Verdict |",
        "|---|---|---|---|---|",
    ]
    for bound in bounds:
        if not (found := ratios(bound, rounds)):
            continue
        words = verdict(median(found), bound.limit)
        lines.append(
            f"| {bound.workload} | {bound.of} / {bound.to} | {bound.limit:g} "
            f"| {spread(found, '.3f')} | {words} |"
        )
    return lines


def sample_table(
    workloads: Sequence[str], servers: Sequence[str], rounds: Sequence[Round]
) -> list[str]:
    """Each server's CPU per message and rate, as lines of Markdown."""
    lines = [
        "| Workload | Server | CPU per message, us | Messages/s | Busy: server, generator |",
        "|---|---|---|---|---|",
    ]
    for workload in workloads:
        for server in servers:
            samples = [r[workload, server] for r in rounds if (workload, server) in r]
            if not samples:
                continue
            cost = spread([s.server_cpu_us for s in samples], ".2f")
            rate = median(s.rate for s in samples)
            busy = f"{median(s.server_busy for s in samples):.2f}"
            drove = f"{median(s.client_busy for s in samples):.2f}"
            lines.append(f"| {workload} | {server} | {cost} | {rate:,.0f} | {busy}, {drove} |")
    return lines


def fill(page: Path, lines: Sequence[str]) -> None:
    """Replaces what stands between the two markers of a page.

    Raises ValueError when a marker is missing.
    """
    before, found, rest = page.read_text().partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise ValueError(f"{page.name} lacks the lines {BEGIN!r} and {END!r}")
    page.write_text("\n".join([before + BEGIN, "", *lines, "", END + after]))
