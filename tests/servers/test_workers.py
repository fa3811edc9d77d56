"""Workers: shared accepting, replacement, reload, and every way to an end, with real processes."""

import asyncio
import collections
import contextlib
import os
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
import trustme
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from anywire.servers import workers
from anywire.servers.workers import Worker, delay, private_folder
from tests.cli.person import Person, at_terminal
from tests.servers.supervised import (
    APP,
    REQUEST,
    Supervised,
    gone,
    start,
    supervised,
    worker_of,
    write_app,
)

pytestmark = [pytest.mark.slow, pytest.mark.net]


@pytest.fixture
def app(tmp_path: Path) -> str:
    return f"{write_app(tmp_path)}:app"


def ws(one: Supervised) -> str:
    return f"{one.url.replace('http', 'ws')}/raw/who"


async def everybody(one: Supervised) -> set[int]:
    """Who answers so many connections that nobody is left out by chance."""
    return set(await asyncio.gather(*(one.ask() for _ in range(30 * len(one.workers)))))


# --- accepting ----------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def four(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Supervised]:
    """Four workers that several tests share."""
    app = write_app(tmp_path_factory.mktemp("four"))
    async with supervised(f"{app}:app", count=4) as one:
        yield one


@pytest.mark.asyncio(loop_scope="module")
async def test_connections_spread_evenly_over_workers(four: Supervised) -> None:
    found = collections.Counter(await asyncio.to_thread(_ask_often, four, 2000))
    assert found.keys() == set(four.workers)
    assert found.total() == 2000
    assert max(found.values()) / 500 <= 1.2


def _ask_often(one: Supervised, count: int) -> list[int]:
    """Who answers so many connections, a hundred at a time."""
    found: list[int] = []
    while len(found) < count:
        with contextlib.ExitStack() as open_sockets:
            clients = [
                open_sockets.enter_context(socket.create_connection(one.address))
                for _ in range(100)
            ]
            for client in clients:
                client.sendall(REQUEST)
            found += [worker_of(client.makefile("rb").read()) for client in clients]
    return found


@pytest.mark.asyncio(loop_scope="module")
async def test_signals_for_the_supervisor_do_not_end_a_worker(four: Supervised) -> None:
    before = four.workers
    for pid in before:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGHUP)
    assert await everybody(four) == set(before) == set(four.workers)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_workers_log_has_their_number(four: Supervised) -> None:
    for number in range(1, 5):
        await four.says(f" INFO worker {number} anywire.servers.tcp: listening on {four.url}")


async def test_workers_share_a_unix_socket_and_its_path_goes_with_the_last(
    app: str, tmp_path: Path
) -> None:
    path = tmp_path / "app.sock"
    async with supervised(app, "--unix", path, "--loop", "asyncio", port=None) as one:
        assert one.url == f"unix:{path}"
        found = await asyncio.gather(*(one.ask() for _ in range(64)))
        assert set(found) <= set(one.workers)
        before = len(one.process.lines)
        os.kill(one.workers[0], signal.SIGTERM)
        await one.says("worker 1 is ready", after=before)
        assert await one.ask() in one.workers
        one.process.signal(signal.SIGTERM)
        assert await one.process.ended() == 0
    assert not path.exists()


async def test_workers_serve_over_tls(app: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "both.pem"
    )
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with supervised(app, "--ssl-certfile", tmp_path / "both.pem") as one:
        assert one.url.startswith("https://")
        async with connect(ws(one), ssl=trusting) as client:
            await client.send("who?")
            assert int(await client.recv()) in one.workers


@pytest.mark.asyncio(loop_scope="module")
async def test_nobody_gets_a_port_that_other_workers_serve(four: Supervised) -> None:
    port = four.address[1]
    second = await start("examples/echo/app.py:app", "--workers", 2, "--port", port)
    said = await second.line("anywire: ")
    assert await second.ended() == 1
    assert said == (
        f"anywire: port {port} on 127.0.0.1 is in use: stop what listens there,"
        " or choose another port"
    )
    assert second.lines == [said]


# --- a worker that ends -------------------------------------------------------------------------


@pytest.mark.asyncio(loop_scope="module")
async def test_a_killed_worker_is_replaced_and_who_connects_meanwhile_waits_for_it(
    four: Supervised,
) -> None:
    victim, *others = four.workers
    before = len(four.process.lines)
    os.kill(victim, signal.SIGKILL)
    await four.says(f"worker 1 (pid {victim}) died of SIGKILL")
    answered = await everybody(four)
    await four.says("worker 1 is ready", after=before)
    assert answered == set(four.workers)
    assert four.workers[0] != victim
    assert four.workers[1:] == others


async def test_a_successor_that_cannot_start_is_tried_again(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    async with supervised(app, "--loop", "asyncio") as one:
        app.write_text("raise RuntimeError('half written')")
        os.kill(one.workers[0], signal.SIGKILL)
        await one.says("RuntimeError: half written")
        await one.says("worker 1 ended with exit status 1 before it was ready")
        assert await one.process.line("Listening on ")
        app.write_text(APP)
        await one.says("worker 1 is ready", after=len(one.process.lines))
        assert await everybody(one) == set(one.workers)


def test_who_dies_young_again_and_again_is_replaced_later_each_time() -> None:
    assert [delay(deaths) for deaths in range(8)] == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5]
    assert delay(10_000) == 5


# --- a start that fails -------------------------------------------------------------------------


async def test_when_no_worker_can_start_the_reason_is_said_once(tmp_path: Path) -> None:
    app = write_app(tmp_path, "print('here')\nraise RuntimeError('no database')")
    process = await start(app, "--workers", 3, "--port", 0)
    assert await process.ended() == 1
    # Three that print at once may share a line.
    said = [line for line in process.lines if line.replace("here", "")]
    assert said.count("Traceback (most recent call last):") == 1
    assert said[-2:] == [
        "RuntimeError: no database",
        f"anywire: {app} could not be imported: RuntimeError: no database",
    ]


async def test_a_worker_that_dies_at_its_start_ends_the_start(tmp_path: Path) -> None:
    app = write_app(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    process = await start(app, "--workers", 2, "--port", 0)
    assert await process.ended() == 1
    (said,) = process.lines
    assert "died of SIGKILL before it was ready" in said


# --- reload -------------------------------------------------------------------------------------


@asynccontextmanager
async def asking(one: Supervised) -> AsyncIterator[set[int]]:
    """Clients who connect and ask all the time; none may fail. Yields the pids that answered."""
    answered: set[int] = set()
    is_over = False

    async def client() -> None:
        while not is_over:
            answered.add(await one.ask())

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(client())
        yield answered
        is_over = True


async def test_a_reload_replaces_all_workers_and_no_client_notices(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    async with supervised(app) as one:
        old = one.workers
        async with connect(ws(one)) as client, asking(one) as answered:
            await client.send("who?")
            assert int(await client.recv()) in old
            one.process.signal(signal.SIGHUP)
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1001
            await one.says("reloaded")
            answered.clear()
        assert not set(one.workers) & set(old)
        assert answered <= set(one.workers)

        app.write_text("app = 1")
        serving = one.workers
        one.process.signal(signal.SIGHUP)
        await one.says(f"anywire: {app} is a int, not an Anywire app")
        await one.says("the reload ends here")
        assert await everybody(one) == set(serving)


# --- the end ------------------------------------------------------------------------------------


async def test_a_signal_to_all_processes_at_once_still_drains(app: str) -> None:
    async with supervised(app) as one:
        async with connect(ws(one)) as client:
            await client.send("who?")
            await client.recv()
            for pid in (*one.workers, one.pid):
                os.kill(pid, signal.SIGTERM)
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1001
        assert await one.process.ended() == 0
        assert not [line for line in one.process.lines if " WARNING " in line]


async def test_a_second_signal_ends_stuck_workers_at_once(app: str) -> None:
    async with supervised(app) as one:
        async with connect(ws(one)) as client:
            await client.send("loop")
            await one.says("looping")
            one.process.signal(signal.SIGTERM)
            await one.says("anywire.servers.tcp: stopped")  # the other worker
            one.process.signal(signal.SIGTERM)
            assert await one.process.ended() == -signal.SIGTERM
            with pytest.raises(ConnectionClosed):
                await client.recv()


async def test_workers_go_on_without_their_supervisor_until_sigterm(app: str) -> None:
    async with supervised(app) as one:
        one.process.signal(signal.SIGKILL)
        await one.says("the supervisor is gone: worker 1 goes on")
        await one.says("the supervisor is gone: worker 2 goes on")
        assert await everybody(one) == set(one.workers)
        for pid in one.workers:
            os.kill(pid, signal.SIGTERM)
        for pid in one.workers:
            await gone(pid)
        with pytest.raises(ConnectionRefusedError):
            await one.ask()


async def test_ctrl_c_at_a_terminal_stops_all(app: str) -> None:
    options = ("--workers", "2", "--port", "0", "--log-level", "info")
    async with at_terminal("serve", app, *options) as person:
        await person.sees("with 2 workers")
        person.type("\x03")
        await person.sees("stopped", times=2)
        assert await person.ends() == 0
    assert "anywire: stopping; once more stops it at once" in person.screen
    assert "KeyboardInterrupt" not in person.screen


@pytest.fixture
def hearing_hangups() -> Iterator[None]:
    """What these tests start hears a SIGHUP, though they may run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hearing_hangups")
async def test_workers_go_with_their_terminal(app: str) -> None:
    options = ("--workers", "2", "--port", "0", "--log-level", "info")
    async with at_terminal("serve", app, *options) as person:
        await person.sees("with 2 workers")
        pids = [int(text.partition(")")[0]) for text in person.screen.split("(pid ")[1:]]
        assert len(pids) == 2
        _hang_up(person)
        await person.ends()
        for pid in pids:
            await gone(pid)


def _hang_up(person: Person) -> None:
    asyncio.get_running_loop().remove_reader(person._master)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), person._master)


def test_the_private_folder_is_ours_alone_and_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with private_folder() as folder:
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "socket").touch()
    assert not folder.exists()


def test_a_run_time_folder_that_is_gone_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "of" / "another" / "user"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with private_folder() as folder:
        assert folder.parent == tmp_path


# --- one worker, from without -------------------------------------------------------------------

_LINE = """
import json, os, signal, socket, sys
line = socket.socket(fileno=json.loads(os.environ["ANYWIRE_WORKER"])["line"])
"""


@asynccontextmanager
async def working(script: str) -> AsyncIterator[Worker]:
    command = (sys.executable, "-S", "-c", _LINE + script)
    worker = await Worker.start(command, number=1, sockets=(), environment={})
    try:
        yield worker
    finally:
        worker.kill()
        await worker.ended()


@pytest.mark.parametrize(
    "script",
    ["", "line.send(b'failed\\n')", "line.send(b'ready soon\\n')", "line.send(b'ready')"],
    ids=["it ends", "it fails", "it says nonsense", "it says half"],
)
async def test_a_worker_that_does_not_say_so_is_not_ready(script: str) -> None:
    async with working(script) as worker:
        assert not await worker.ready()


async def test_a_failed_worker_is_let_speak() -> None:
    async with working("line.send(b'failed\\n'); sys.exit(len(line.recv(64)))") as worker:
        assert not await worker.ready()
        assert await worker.speak() == len("speak\n")


async def test_a_worker_that_does_not_stop_in_time_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "MARGIN", 0.05)
    stuck = "signal.signal(signal.SIGTERM, signal.SIG_IGN); line.send(b'ready 0.05\\n')"
    async with working(f"{stuck}; line.recv(1)") as worker:
        assert await worker.ready()
        assert await worker.stop() == -signal.SIGKILL


async def test_a_worker_inherits_its_sockets_and_nothing_else() -> None:
    script = """
given = json.loads(os.environ["ANYWIRE_WORKER"])
files = {int(name) for name in os.listdir("/proc/self/fd")}
wanted = {0, 1, 2, given["line"], *given["sockets"]}
port = socket.socket(fileno=given["sockets"][0]).getsockname()[1]
line.send(f"ready {port if wanted <= files and len(files) == len(wanted) + 1 else 0}\\n".encode())
"""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = (sys.executable, "-S", "-c", _LINE + script)
        worker = await Worker.start(command, number=1, sockets=(listener,), environment={})
        with contextlib.closing(listener):
            assert await worker.ready()
            assert worker._stop == listener.getsockname()[1]
            await worker.ended()
