"""`anywire talk` as a process: what scripts rely on."""

import asyncio
import base64
import json
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from examples.chat.app import app as chat
from examples.echo.app import app as echo
from tests.cli.commands import end, run, served, start

pytestmark = [pytest.mark.slow, pytest.mark.net]

LOBBY = ("--wire", "anywire", "--join", "chat:lobby")


@asynccontextmanager
async def recording() -> AsyncIterator[tuple[str, list[ServerConnection]]]:
    """A server that keeps the connections it had, and speaks the subprotocol `two`."""
    connections: list[ServerConnection] = []

    async def handler(connection: ServerConnection) -> None:
        connections.append(connection)
        async for message in connection:
            await connection.send(message)

    def select(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return Subprotocol("two") if "two" in offered else None

    async with serve(handler, "127.0.0.1", 0, select_subprotocol=select) as running:
        host, port = next(iter(running.sockets)).getsockname()[:2]
        yield f"{host}:{port}", connections


async def test_x_sends_and_w_waits_for_the_answers() -> None:
    async with served(echo) as url:
        ended = await run("talk", f"{url}/raw/echo", "-x", "one", "-x", "two", "-w", "0.5")
    assert (ended.code, ended.out, ended.err) == (0, "one\ntwo\n", "")


async def test_c_is_the_url_and_ws_need_not_be_said() -> None:
    async with served(echo) as url:
        where = url.removeprefix("ws://")
        ended = await run("talk", "-c", f"{where}/raw/echo", "--execute", "hi", "--wait", "0.5")
    assert (ended.code, ended.out) == (0, "hi\n")


async def test_x_does_not_read_stdin() -> None:
    async with served(echo) as url:
        ended = await run("talk", f"{url}/raw/echo", "-x", "one", "-w", "0.5", stdin="two\n")
    assert ended.out == "one\n"


async def test_w_minus_one_holds_the_connection_open_until_a_signal() -> None:
    async with recording() as (where, _):
        process = await start("talk", where, "-x", "hi", "-w", "-1")
        assert process.stdout is not None
        assert await process.stdout.readline() == b"hi\n"
        process.send_signal(signal.SIGTERM)
        ended = await end(process)
    assert (ended.code, ended.out, ended.err) == (0, "", "")


async def test_each_line_of_a_pipe_is_a_message() -> None:
    async with served(echo) as url:
        ended = await run(
            "talk", f"{url}/raw/echo", "-w", "0.5", stdin="one\r\n\nsnow \N{SNOWMAN}\nlast"
        )
    assert (ended.code, ended.out) == (0, "one\n\nsnow \N{SNOWMAN}\nlast\n")


async def test_a_pipe_that_stays_open_is_said_line_by_line() -> None:
    async with served(echo) as url:
        process = await start("talk", f"{url}/raw/echo", "-w", "0")
        assert process.stdin is not None and process.stdout is not None
        for line in (b"one\n", b"two\n"):
            process.stdin.write(line)
            assert await process.stdout.readline() == line
        ended = await end(process)
    assert ended.code == 0


async def test_input_that_is_not_utf_8_is_one_line_and_exit_code_2() -> None:
    async with served(echo) as url:
        ended = await run("talk", f"{url}/raw/echo", "-w", "0", stdin=b"\xff\n")
    assert (ended.code, ended.err) == (
        2,
        "anywire: cannot read the input: the input is not UTF-8\n",
    )


async def test_headers_token_origin_and_subprotocols_reach_the_server() -> None:
    async with recording() as (where, connections):
        options = ("-H", "X-One: 1", "--header", "x-two:2", "-o", "https://a.example")
        ended = await run(
            "talk", where, *options, "--token", "t", "-s", "one", "-s", "two", "-x", "", "-w", "0"
        )
    assert (ended.code, ended.err) == (0, "")
    request = connections[0].request
    assert request is not None
    names = ("X-One", "X-Two", "Origin", "Authorization", "Sec-WebSocket-Protocol")
    assert [request.headers.get(name) for name in names] == [
        "1",
        "2",
        "https://a.example",
        "Bearer t",
        "one, two",
    ]
    assert connections[0].subprotocol == "two"


async def test_basic_authentication_reaches_the_server() -> None:
    async with recording() as (where, connections):
        await run("talk", where, "--auth", "ana:s3cret", "-x", "", "-w", "0")
    request = connections[0].request
    assert request is not None
    encoded = base64.b64encode(b"ana:s3cret").decode()
    assert request.headers["Authorization"] == f"Basic {encoded}"


async def test_json_is_one_object_a_line_in_and_out() -> None:
    said = '{"type": "text", "data": "hi"}\n{"type": "binary", "data": "AP8="}\n'
    async with served(echo) as url:
        ended = await run("talk", f"{url}/raw/echo", "--json", "-w", "0.5", stdin=said)
    assert ended.code == 0
    objects = [json.loads(line) for line in ended.lines]
    assert all(isinstance(one["time"], float) for one in objects)
    told = [(one["direction"], one["type"], one.get("data")) for one in objects]
    assert told[0] == ("here", "open", None)
    assert told[-1] == ("here", "close", {"code": 1000, "reason": ""})
    assert [one for one in told if one[0] == "in"] == [
        ("in", "text", "hi"),
        ("in", "binary", "AP8="),
    ]
    assert [one for one in told if one[0] == "out"] == [
        ("out", "text", "hi"),
        ("out", "binary", "AP8="),
    ]


async def test_binary_messages_are_shown_in_hex() -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send(b"\x00\xff")

    async with serve(handler, "127.0.0.1", 0) as running:
        host, port = next(iter(running.sockets)).getsockname()[:2]
        ended = await run("talk", f"{host}:{port}", "-w", "-1")
    assert (ended.code, ended.out) == (0, "<binary, 2 bytes> 00ff\n")


async def test_two_of_them_meet_in_a_room() -> None:
    async with served(chat) as url:
        bo = await start("talk", f"{url}/ws?name=bo", *LOBBY, "-w", "-1", "-x", "status")
        assert bo.stdout is not None
        assert await bo.stdout.readline() == b'joined chat:lobby {"welcome":"lobby"}\n'
        ana = await run(
            "talk", f"{url}/ws?name=ana", *LOBBY, "-x", 'say {"text": "hi"}', "-w", "0.5"
        )
        heard = b""
        while b"said" not in heard:
            heard = await bo.stdout.readline()
        bo.terminate()
        await end(bo)
    assert heard == b'said {"by":"ana","text":"hi"}\n'
    assert ana.code == 0
    assert 'said {"by":"ana","text":"hi"}' in ana.lines
    assert ana.lines[-1].startswith("reply to say: ")


async def test_json_lines_name_event_and_address() -> None:
    said = '{"event": "say", "data": {"text": "hi"}, "address": "chat:lobby"}\n'
    async with served(chat) as url:
        ended = await run("talk", f"{url}/ws?name=ana", *LOBBY, "--json", "-w", "0.5", stdin=said)
    objects = [json.loads(line) for line in ended.lines]
    (event,) = [one for one in objects if one["type"] == "event" and one["direction"] == "in"]
    assert (event["event"], event["address"]) == ("said", "chat:lobby")
    assert event["data"] == {"by": "ana", "text": "hi"}


async def test_our_wire_speaks_messagepack_too() -> None:
    async with served(chat) as url:
        packed = (*LOBBY, "-s", "anywire.msgpack.1")
        ended = await run("talk", f"{url}/ws?name=ana", *packed, "-x", "say hi", "-w", "0.5")
    assert 'said {"by":"ana","text":"hi"}' in ended.lines


async def test_the_refusal_of_a_room_is_one_line_and_exit_code_3() -> None:
    async with served(chat) as url:
        ended = await run(
            "talk", f"{url}/ws?name=ana", "--wire", "anywire", "--join", "chat:staff", "-x", "say"
        )
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == "anywire: join chat:staff: staff_only: this room is for staff\n"


async def test_nobody_there_is_one_line_and_exit_code_1() -> None:
    async with served(echo) as url:
        pass
    ended = await run("talk", f"{url}/raw/echo", "-x", "hi")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"anywire: cannot connect to {url}/raw/echo: Connection refused\n"


async def test_a_cut_is_exit_code_4() -> None:
    async def handler(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with serve(handler, "127.0.0.1", 0) as running:
        host, port = next(iter(running.sockets)).getsockname()[:2]
        ended = await run("talk", f"{host}:{port}", "-x", "hi", "-w", "-1")
    assert ended.code == 4
    assert ended.err.startswith("anywire: the server closed with code 1006")
    assert ended.err.count("\n") == 1


async def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    async with recording() as (where, connections):
        process = await start("talk", where, "-w", "-1")
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"one\n")
        assert await process.stdout.readline() == b"one\n"
        process.stdout._transport.close()  # type: ignore[attr-defined]
        process.stdin.write(b"two\nthree\n")
        assert process.stderr is not None
        assert await process.stderr.read() == b""
        assert await process.wait() == 0
        await connections[0].wait_closed()
        assert connections[0].close_code == 1000


async def test_a_server_that_stops_is_exit_code_4() -> None:
    process: asyncio.subprocess.Process
    async with served(echo) as url:
        process = await start("talk", f"{url}/raw/echo", "-w", "-1")
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"hi\n")
        assert await process.stdout.readline() == b"hi\n"
    ended = await end(process)
    assert (ended.code, ended.err) == (
        4,
        "anywire: the server closed with code 1001 (the server stops)\n",
    )


# --- being a server -------------------------------------------------------------------------------


@asynccontextmanager
async def listening(*options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`anywire talk -l 0` as a process, and its URL."""
    process = await start("talk", "-l", "0", *options)
    assert process.stderr is not None
    said = (await process.stderr.readline()).decode()
    assert said.endswith(" (press CTRL+C to quit)\n"), said
    try:
        yield process, f"127.0.0.1:{said.split()[3]}"
    finally:
        if process.returncode is None:
            process.kill()
            await end(process)


async def test_a_listener_says_x_to_one_client_and_prints_what_it_says() -> None:
    async with listening("-x", "hello", "-w", "-1") as (process, where):
        ended = await run("talk", where, "-x", "hi", "-w", "0.2")
        assert process.stdout is not None
        assert await process.stdout.readline() == b"hi\n"
        process.send_signal(signal.SIGTERM)
        served_to = await end(process)
    assert (ended.code, ended.out) == (0, "hello\n")
    assert (served_to.code, served_to.out, served_to.err) == (0, "", "")


async def test_a_listener_reads_lines_from_a_pipe() -> None:
    async with listening("-w", "0") as (process, where):
        client = await start("talk", where, "-w", "-1")
        ended = await end(process, "one\ntwo\n")
        heard = await end(client)
    assert (ended.code, ended.err) == (0, "")
    assert (heard.code, heard.out) == (0, "one\ntwo\n")


async def test_a_listener_says_where_it_listens_in_json() -> None:
    process = await start("talk", "-l", "0", "--json")
    assert process.stdout is not None
    first = json.loads(await process.stdout.readline())
    process.terminate()
    ended = await end(process)
    assert (first["direction"], first["type"]) == ("here", "listening")
    assert first["data"]["port"] > 0
    assert (ended.code, ended.err) == (0, "")
