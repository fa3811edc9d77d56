"""What stops connections, on machines made up out of a folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anywire.cli import checks
from anywire.cli.checks import Finding, Level, Wanted

MANY = Wanted(connections=100_000)
GIB = 1024**3

Machine = Callable[..., Path]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Makes a tree of files: `machine({"meminfo": "…"})`."""

    def make(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


def told(found: Iterator[Finding]) -> list[tuple[str, Level]]:
    return [(one.name, one.level) for one in found]


def lone(found: Iterator[Finding]) -> Finding:
    (one,) = found
    return one


# --- open files -----------------------------------------------------------------------------------


def test_a_hard_limit_under_what_is_wanted_stops_it() -> None:
    found = checks.open_files(MANY, 1024, 20_000)
    assert (found.level, found.value) == (Level.FAIL, "soft 1,024, hard 20,000")
    assert found.why == "a worker needs 100,256"
    assert "LimitNOFILE=131072  (systemd, in [Service])" in found.mend
    assert "ulimit -n 131072  (shell, as root)" in found.mend


def test_a_soft_limit_is_raised_by_our_own_server() -> None:
    found = checks.open_files(MANY, 1024, 1_048_576)
    assert (found.level, found.mend) == (Level.OK, ())
    assert found.why.endswith("under another server: ulimit -n 131072")


def test_a_soft_limit_is_not_told_to_be_raised_over_the_hard_one() -> None:
    assert checks.open_files(MANY, 1024, 110_000).why.endswith("ulimit -n 110000")
    assert checks.open_files(MANY, 1024, -1).why.endswith("ulimit -n 131072")


@pytest.mark.parametrize("limit", [100_256, 1_048_576, -1])
def test_limits_that_are_large_enough_are_well(limit: int) -> None:
    found = checks.open_files(MANY, limit, limit)
    assert (found.level, found.why) == (Level.OK, "")


def test_workers_share_the_files_nearly_evenly() -> None:
    wanted = Wanted(connections=100_000, workers=8)
    assert wanted.files == 15_256
    assert checks.open_files(wanted, 1024, 15_256).level is Level.OK
    assert checks.open_files(wanted, 1024, 15_255).level is Level.FAIL


def test_the_kernels_own_bounds_of_files_stop_it(machine: Machine) -> None:
    proc = machine({"sys/fs/nr_open": "65536\n", "sys/fs/file-nr": "5000\t0\t104000\n"})
    nr_open, file_max = checks.open_files_of_all(MANY, proc)
    assert (nr_open.level, nr_open.mend) == (Level.FAIL, ("sysctl -w fs.nr_open=131072",))
    assert (file_max.level, file_max.mend) == (Level.FAIL, ("sysctl -w fs.file-max=131072",))
    assert file_max.why == "105,256 are needed: 5,000 are open already"


def test_bounds_of_files_that_are_large_enough_are_well(machine: Machine) -> None:
    proc = machine({"sys/fs/nr_open": "1048576\n", "sys/fs/file-nr": "5000\t0\t9223372036\n"})
    assert told(checks.open_files_of_all(MANY, proc)) == [
        ("fs.nr_open", Level.OK),
        ("fs.file-max", Level.OK),
    ]


# --- accepting and connecting ---------------------------------------------------------------------


def test_a_short_backlog_is_a_warning(machine: Machine) -> None:
    proc = machine(
        {"sys/net/core/somaxconn": "128\n", "sys/net/ipv4/tcp_max_syn_backlog": "4096\n"}
    )
    short, long = checks.backlog(proc)
    assert (short.level, short.value) == (Level.WARN, "128")
    assert short.mend == ("sysctl -w net.core.somaxconn=4096",)
    assert (long.level, long.mend) == (Level.OK, ())


def test_few_ports_are_a_warning_for_clients_here(machine: Machine) -> None:
    proc = machine({"sys/net/ipv4/ip_local_port_range": "32768\t60999\n"})
    found = lone(checks.ports(MANY, proc))
    assert (found.level, found.value) == (Level.WARN, "32768 60999: 28,232 ports")
    assert found.mend == ('sysctl -w net.ipv4.ip_local_port_range="1024 65535"',)


def test_when_all_ports_are_too_few_another_way_is_told(machine: Machine) -> None:
    proc = machine({"sys/net/ipv4/ip_local_port_range": "1024\t65535\n"})
    found = lone(checks.ports(MANY, proc))
    assert found.level is Level.WARN
    assert found.mend == ("anywire serve APP --unix /run/anywire.sock",)
    assert lone(checks.ports(Wanted(connections=5000), proc)).level is Level.OK


def test_a_small_table_of_connections_stops_it(machine: Machine) -> None:
    proc = machine(
        {
            "sys/net/netfilter/nf_conntrack_max": "65536\n",
            "sys/net/netfilter/nf_conntrack_count": "120\n",
        }
    )
    found = lone(checks.connection_tracking(MANY, proc))
    assert found.level is Level.FAIL
    assert found.mend == ("sysctl -w net.netfilter.nf_conntrack_max=131072",)
    assert lone(checks.connection_tracking(Wanted(connections=60_000), proc)).level is Level.OK


# --- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "level"),
    [(0.5 * GIB, Level.FAIL), (1.2 * GIB, Level.WARN), (4 * GIB, Level.OK)],
)
def test_free_memory_is_compared_with_what_idle_connections_take(
    machine: Machine, free: float, level: Level
) -> None:
    proc = machine({"proc/meminfo": f"MemTotal: 1 kB\nMemAvailable: {int(free) // 1024} kB\n"})
    found = lone(checks.memory(MANY, proc / "proc", proc / "cgroup"))
    assert found.level is level
    assert found.why.startswith("100,000 idle connections take about 1.0 GiB (10.5 KiB each")


def test_what_fits_is_told_where_memory_is_short(machine: Machine) -> None:
    proc = machine({"meminfo": "MemAvailable: 524288 kB\n"})
    found = lone(checks.memory(MANY, proc, proc))
    assert found.mend == ("anywire doctor --connections 45000  (what fits)",)


def test_a_container_has_what_it_is_given(machine: Machine) -> None:
    root = machine(
        {
            "meminfo": "MemAvailable: 67108864 kB\n",
            "memory.max": str(GIB),
            "memory.current": str(GIB // 2),
        }
    )
    found = lone(checks.memory(MANY, root, root))
    assert (found.level, found.value) == (Level.FAIL, "512 MiB free")


def test_a_container_without_a_bound_has_what_is_free(machine: Machine) -> None:
    root = machine({"meminfo": "MemAvailable: 67108864 kB\n", "memory.max": "max\n"})
    assert lone(checks.memory(MANY, root, root)).value == "64.0 GiB free"


def test_a_bound_is_enough_to_judge(machine: Machine) -> None:
    root = machine({"memory.max": str(8 * GIB)})
    assert lone(checks.memory(MANY, root, root)).value == "8.0 GiB free"


@pytest.mark.parametrize(
    ("lines", "folder"),
    [
        ("0::/system.slice/chat.service\n", "cgroup/system.slice/chat.service"),
        ("12:cpu:/x\n0::/\n", "cgroup"),
        ("12:cpu:/x\n", "cgroup"),
    ],
)
def test_the_bounds_of_a_service_are_in_the_folder_of_its_group(
    machine: Machine, lines: str, folder: str
) -> None:
    root = machine({"self/cgroup": lines})
    assert checks.group_of(root, Path("cgroup")) == Path(folder)


# --- workers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "available", "level", "value"),
    [
        (1, 1, Level.OK, "1 core, 1 worker"),
        (1, 4, Level.WARN, "4 cores, 1 worker"),
        (8, 4, Level.WARN, "4 cores, 8 workers"),
    ],
)
def test_workers_are_compared_with_cores(
    tmp_path: Path, workers: int, available: int, level: Level, value: str
) -> None:
    found = checks.cores(Wanted(connections=1, workers=workers), available, tmp_path)
    assert (found.level, found.value) == (level, value)
    fitting = (f"anywire serve APP --workers {available}",)
    assert found.mend == (() if level is Level.OK else fitting)


@pytest.mark.parametrize(
    ("quota", "value"),
    [
        ("200000 100000\n", "2 cores, 1 worker"),
        ("50000 100000\n", "1 core, 1 worker"),
        ("max 100000\n", "8 cores, 1 worker"),
    ],
)
def test_a_container_has_the_cores_it_is_given(machine: Machine, quota: str, value: str) -> None:
    assert checks.cores(MANY, 8, machine({"cpu.max": quota})).value == value


def test_a_folder_for_sockets_must_be_writable_and_short(tmp_path: Path) -> None:
    short = Path("/run/user/1000")
    assert checks.socket_folder(short, is_writable=True).level is Level.OK
    assert checks.socket_folder(short, is_writable=False).level is Level.FAIL
    found = checks.socket_folder(Path("/tmp") / ("x" * 60), is_writable=True)
    assert (found.level, found.mend[-1]) == (Level.FAIL, "export TMPDIR=/tmp")


def test_what_is_not_there_to_be_read_is_not_judged(tmp_path: Path) -> None:
    assert told(checks.open_files_of_all(MANY, tmp_path)) == []
    assert told(checks.backlog(tmp_path)) == []
    assert told(checks.ports(MANY, tmp_path)) == []
    assert told(checks.connection_tracking(MANY, tmp_path)) == []
    assert told(checks.memory(MANY, tmp_path, tmp_path)) == []


def test_what_cannot_be_understood_is_not_judged(machine: Machine) -> None:
    proc = machine(
        {
            "sys/fs/nr_open": "many\n",
            "sys/fs/file-nr": "1 2\n",
            "sys/net/ipv4/ip_local_port_range": "\n",
            "meminfo": "nothing\n",
        }
    )
    assert told(checks.open_files_of_all(MANY, proc)) == []
    assert told(checks.ports(MANY, proc)) == []
    assert told(checks.memory(MANY, proc, proc)) == []
