"""Checks: what of a machine would stop so many connections, one function a question. Pure.

Each is told where `/proc` is, and the limits of this process, so that a test makes a machine up out
of a folder. What is not there to be read is not judged.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from anywire.brokers.local.folder import LONGEST, NAME
from anywire.servers.listening import BACKLOG

OWN = 256
"""Files a process has open beside its connections: modules, sockets it listens on, logs."""
UNEVEN = 1.2
"""The fullest worker has at most so many times the mean."""
RSS = 6 * 1024
"""Bytes of an idle connection on our own wire, with its session and a room: at most (bench)."""
KERNEL = 4608
"""Bytes the kernel has for a socket (4.5 KB of slab, measured)."""
PROCESS = 48 * 1024 * 1024
"""Bytes of a worker without connections."""
TRAFFIC = 1.5
"""Of the least memory: what is left for messages under way."""
_SOCKET_NAME = len("/anywire-4294967295/0123456789abcdef/") + NAME
"""Bytes of the longest path that workers make below the folder (brokers.local.folder)."""
_WIDEST = "1024 65535"


class Level(StrEnum):
    """How bad it is: `fail` stops the connections asked for."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """What a check found; `mend`: lines to type or to write that make it well."""

    name: str
    level: Level
    value: str
    why: str = ""
    mend: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the machine is to hold."""

    connections: int
    workers: int = 1

    @property
    def files(self) -> int:
        """Files that one process must be able to open."""
        share = self.connections / self.workers * (UNEVEN if self.workers > 1 else 1.0)
        return math.ceil(share) + OWN

    @property
    def memory(self) -> int:
        """Bytes that idle connections and their workers need."""
        return self.connections * (RSS + KERNEL) + self.workers * PROCESS


def open_files(wanted: Wanted, soft: int, hard: int) -> Finding:
    """The limit of open files of a process (RLIMIT_NOFILE); -1: none. Each connection is a file."""
    value = f"soft {_limit(soft)}, hard {_limit(hard)}"
    need = wanted.files
    roomy = _round(need)
    if 0 <= hard < need:
        return Finding(
            "open files",
            Level.FAIL,
            value,
            f"a worker needs {need:,}",
            (
                f"LimitNOFILE={roomy}  (systemd, in [Service])",
                f"ulimit -n {roomy}  (shell, as root)",
                f"docker run --ulimit nofile={roomy}:{roomy}",
            ),
        )
    if 0 <= soft < need:
        return Finding(
            "open files",
            Level.OK,
            value,
            "anywire serve raises the soft limit itself; under another server: "
            f"ulimit -n {min(roomy, hard) if hard >= 0 else roomy}",
        )
    return Finding("open files", Level.OK, value)


def open_files_of_all(wanted: Wanted, proc: Path) -> Iterator[Finding]:
    """The kernel's own bounds: of one process (fs.nr_open), and of all (fs.file-max)."""
    most = _number(proc, "sys/fs/nr_open")
    if most is not None:
        yield _at_least(
            "fs.nr_open", most, wanted.files, Level.FAIL, "no process can open more files"
        )
    allocated = _numbers(proc, "sys/fs/file-nr")
    if len(allocated) == 3:
        used, _, bound = allocated
        need = used + wanted.connections + wanted.workers * OWN
        yield _at_least("fs.file-max", bound, need, Level.FAIL, f"{used:,} are open already")


def backlog(proc: Path) -> Iterator[Finding]:
    """How many may wait to be accepted: a burst over it is dropped, and comes again after 1 s."""
    for name, why in (
        ("net.core.somaxconn", "the backlog of the server is cut to it"),
        ("net.ipv4.tcp_max_syn_backlog", "half-open connections of a burst are dropped"),
    ):
        found = _number(proc, f"sys/{name.replace('.', '/')}")
        if found is not None:
            yield _at_least(name, found, BACKLOG, Level.WARN, why)


def ports(wanted: Wanted, proc: Path) -> Iterator[Finding]:
    """Ports that a client, or a proxy, on this machine may connect from to one address."""
    found = _numbers(proc, "sys/net/ipv4/ip_local_port_range")
    if len(found) != 2:
        return
    name = "net.ipv4.ip_local_port_range"
    first, last = found
    count = last - first + 1
    value = f"{first} {last}: {count:,} ports"
    if count >= wanted.connections:
        yield Finding(name, Level.OK, value)
        return
    why = (
        f"a proxy or load test on this machine has {count:,} connections to one address at most;"
        " clients elsewhere are not bound"
    )
    if count < 64512:
        yield Finding(name, Level.WARN, value, why, (f'sysctl -w {name}="{_WIDEST}"',))
    else:
        # All there are. A proxy needs several addresses to connect from, or a Unix socket.
        yield Finding(
            name,
            Level.WARN,
            value,
            f"{why}; a Unix socket has no such bound",
            ("anywire serve APP --unix /run/anywire.sock",),
        )


def connection_tracking(wanted: Wanted, proc: Path) -> Iterator[Finding]:
    """The firewall's table of connections; when it is full, new ones are dropped."""
    name = "net.netfilter.nf_conntrack_max"
    bound = _number(proc, "sys/net/netfilter/nf_conntrack_max")
    if bound is None:
        return
    used = _number(proc, "sys/net/netfilter/nf_conntrack_count") or 0
    why = f"{used:,} are tracked already; past it the firewall drops new ones"
    yield _at_least(name, bound, used + wanted.connections, Level.FAIL, why)


def memory(wanted: Wanted, proc: Path, cgroup: Path) -> Iterator[Finding]:
    """Whether idle connections fit into what is free, here and in this container."""
    free = _available(proc)
    bound = _number(cgroup, "memory.max")
    used = _number(cgroup, "memory.current") or 0
    if bound is not None:
        free = bound - used if free is None else min(free, bound - used)
    if free is None:
        return
    need = wanted.memory
    each = (RSS + KERNEL) / 1024
    value = f"{_size(free)} free"
    why = (
        f"{wanted.connections:,} idle connections take about {_size(need)}"
        f" ({each:.1f} KiB each, {RSS / 1024:.0f} of them ours, the rest the kernel's)"
    )
    if free < need:
        few = max(0, (free - wanted.workers * PROCESS) // (RSS + KERNEL))
        mend = (f"anywire doctor --connections {few // 1000 * 1000}  (what fits)",)
        yield Finding("memory", Level.FAIL, value, why, mend)
    elif free < need * TRAFFIC:
        yield Finding("memory", Level.WARN, value, f"{why}; little is left for messages under way")
    else:
        yield Finding("memory", Level.OK, value, why)


def group_of(proc: Path, root: Path) -> Path:
    """The folder of this process's control group (cgroups(7), version 2), where its bounds are."""
    for line in (_text(proc, "self/cgroup") or "").splitlines():
        if line.startswith("0::/"):
            return root / line.removeprefix("0::/").strip()
    return root


def cores(wanted: Wanted, available: int, cgroup: Path) -> Finding:
    """Whether workers and cores go together; a container may have less than it sees."""
    quota = (_text(cgroup, "cpu.max") or "max").split()
    if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit():
        available = max(1, min(available, int(quota[0]) // int(quota[1])))
    value = f"{_count(available, 'core')}, {_count(wanted.workers, 'worker')}"
    fitting = (f"anywire serve APP --workers {available}",)
    if wanted.workers > available:
        return Finding("workers", Level.WARN, value, "workers share cores, and wait", fitting)
    if wanted.workers < available:
        return Finding("workers", Level.WARN, value, "a worker uses one core", fitting)
    return Finding("workers", Level.OK, value)


def socket_folder(folder: Path, *, is_writable: bool) -> Finding:
    """Whether workers can meet: they make their Unix sockets here."""
    name, value = "socket folder", str(folder)
    mend = ("export XDG_RUNTIME_DIR=/run/user/$(id -u)", "export TMPDIR=/tmp")
    if not is_writable:
        why = "workers cannot make their sockets there"
        return Finding(name, Level.FAIL, value, why, mend)
    if len(bytes(folder)) + _SOCKET_NAME > LONGEST:
        why = f"too long: the path of a Unix socket has {LONGEST} bytes at most"
        return Finding(name, Level.FAIL, value, why, mend)
    return Finding(name, Level.OK, value)


def _at_least(name: str, found: int, need: int, level: Level, why: str) -> Finding:
    """A setting of the kernel that must not be smaller."""
    if found >= need:
        return Finding(name, Level.OK, f"{found:,}")
    return Finding(
        name,
        level,
        f"{found:,}",
        f"{need:,} are needed: {why}",
        (f"sysctl -w {name}={_round(need)}",),
    )


def _available(proc: Path) -> int | None:
    for line in (_text(proc, "meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _number(folder: Path, name: str) -> int | None:
    """The one number in a file; None where there is none."""
    found = _numbers(folder, name)
    return found[0] if len(found) == 1 else None


def _numbers(folder: Path, name: str) -> list[int]:
    words = (_text(folder, name) or "").split()
    return [int(word) for word in words if word.isascii() and word.isdigit()]


def _text(folder: Path, name: str) -> str | None:
    try:
        return (folder / name).read_text("ascii", "replace")
    except OSError:
        return None


def _round(need: int) -> int:
    """A round number with room to spare: the next power of two."""
    return 1 << (need - 1).bit_length()


def _limit(limit: int) -> str:
    return "unlimited" if limit < 0 else f"{limit:,}"


def _size(size: float) -> str:
    gibibytes = size / 1024**3
    return f"{gibibytes:.1f} GiB" if gibibytes >= 1 else f"{size / 1024**2:.0f} MiB"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
