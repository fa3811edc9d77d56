"""A served process: its start, its signals and its end."""

import asyncio
import signal
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.cli.commands import end, run, serving, start

ECHO = "examples/echo/app.py:app"

pytestmark = [pytest.mark.slow, pytest.mark.net]

STUCK = """
import asyncio
from anywire import Anywire
app = Anywire()
stuck = app.channel("stuck")

@stuck.message
async def message(data: str) -> str:
    if data == "loop":
        while True:
            pass
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_sessions_with_1001_and_the_process_with_0(
    number: signal.Signals,
) -> None:
    async with serving("serve", ECHO, "--port", "0") as (process, url):
        async with connect(f"{url.replace('http', 'ws')}/raw/echo") as client:
            await client.send("hi")
            assert await client.recv() == "hi"
            process.send_signal(number)
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1001
        ended = await end(process)
    assert (ended.code, ended.err) == (0, "")


async def test_a_second_signal_ends_a_stuck_process_at_once(tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    async with serving("serve", "stuck:app", "--port", "0", cwd=tmp_path) as (process, url):
        async with connect(f"{url.replace('http', 'ws')}/raw/stuck") as client:
            await client.send("wait")
            await client.send("ping")
            await (await client.ping())
            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed):
                await client.recv()
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == -signal.SIGTERM


SLOW = """
import asyncio
from anywire import Anywire, Limits

async def site(scope, receive, send):
    await receive()
    print("starting", flush=True)
    await asyncio.Event().wait()

app = Anywire(fallback=site, limits=Limits(stop=0.2))
"""


async def test_a_signal_ends_a_process_whose_asgi_app_is_still_starting(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    process = await start("serve", "slow:app", "--port", "0", cwd=tmp_path)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"starting\n"
    process.terminate()
    ended = await end(process)
    assert (ended.code, ended.out) == (0, "")


async def test_a_port_in_use_is_one_line_and_exit_code_1() -> None:
    async with serving("serve", ECHO, "--port", "0") as (_, url):
        port = url.rpartition(":")[2]
        ended = await run("serve", ECHO, "--port", port)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"anywire: port {port} on 127.0.0.1 is in use: stop what listens there,"
        " or choose another port\n"
    )


async def test_a_host_that_is_not_here_is_one_line_and_exit_code_1() -> None:
    ended = await run("serve", ECHO, "--host", "192.0.2.1", "--port", "0")
    assert ended.code == 1
    assert ended.err.startswith("anywire: 192.0.2.1 is no address of this machine")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_either_loop_serves(loop: str) -> None:
    async with serving("serve", ECHO, "--port", "0", "--loop", loop) as (process, url):
        ws = url.replace("http", "ws")
        ended = await run("talk", f"{ws}/raw/echo", "-x", "hi", "-w", "0.5")
        process.terminate()
        assert (await end(process)).code == 0
    assert ended.out == "hi\n"


WORKER = """
import os
from anywire import Anywire

async def site(scope, receive, send):
    told = f"{os.environ.get('ANYWIRE_HUB')} {app.broker}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": told})

app = Anywire(fallback=site)
"""


async def test_the_served_app_knows_where_workers_meet_and_its_children_do_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "member.py").write_text(WORKER)
    options = ("--port", "0", "--workers", "2")
    async with serving("serve", "member:app", *options, cwd=tmp_path) as (_, url):
        host, _, port = url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        told = (await reader.read()).decode()
        writer.close()
    assert "None local:/" in told


async def test_several_commands_can_serve_at_once() -> None:
    async with serving("serve", ECHO, "--port", "0") as (_, one):
        async with serving("serve", ECHO, "--port", "0") as (_, two):
            assert one != two
            talks = (
                run("talk", f"{url.replace('http', 'ws')}/raw/echo", "-x", url, "-w", "0.5")
                for url in (one, two)
            )
            assert [ended.out for ended in await asyncio.gather(*talks)] == [f"{one}\n", f"{two}\n"]
