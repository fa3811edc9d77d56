"""WebSockets of the user's own ASGI app."""

import asyncio
import logging
from typing import Any

import pytest
import websockets

from anywire.limits import Limits
from anywire.servers.guest import Asgi, Receive, Send
from anywire.servers.tcp import Server
from tests.servers.serving import close_frame, dial, frame, make_node, serving, upgrade
from tests.servers.test_guest import Scope, http_only


async def connect(receive: Receive, send: Send, **accept: Any) -> None:
    """The handshake, as every app does it."""
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept", **accept})


@http_only
async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Says back what it hears."""
    await connect(receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def url(server: Server, path: str = "/guest") -> str:
    return server.addresses[0].url.replace("http", "ws") + path


async def test_text_and_bytes_come_back_as_they_were() -> None:
    async with (
        serving(fallback=echo) as server,
        websockets.connect(url(server)) as client,
    ):
        for message in ("hi", b"\x00\xff", "x" * 300_000, ""):
            await client.send(message)
            assert await client.recv() == message


async def test_the_scope_and_the_answer_have_what_a_handshake_has() -> None:
    scopes: list[Scope] = []

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await connect(receive, send, subprotocol="b", headers=[(b"x-hello", b"there")])
        await send({"type": "websocket.close", "code": 4001, "reason": "enough"})

    async with serving(fallback=app) as server, dial(server) as client:
        client.send(upgrade("/guest?x=1", "Sec-WebSocket-Protocol: a, b"))
        said = await client.answer(has_body=False)
        assert said.headers["sec-websocket-protocol"] == "b"
        assert said.headers["x-hello"] == "there"
        assert await client.frame() == (0x88, (4001).to_bytes(2, "big") + b"enough")
        client.send(close_frame(4001))
        assert await client.rest() == b""
    scope = scopes[0]
    assert (scope["type"], scope["scheme"], scope["path"]) == ("websocket", "ws", "/guest")
    assert (scope["query_string"], scope["subprotocols"]) == (b"x=1", ["a", "b"])
    assert "method" not in scope


async def test_the_app_hears_why_its_client_left() -> None:
    heard: list[Any] = []
    left = asyncio.Event()

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await connect(receive, send)
        heard.append(await receive())
        heard.append(await receive())
        await send({"type": "websocket.send", "text": "to nobody"})
        left.set()

    async with serving(fallback=app) as server:
        async with dial(server) as client:
            client.send(upgrade("/guest"), close_frame(4002))
            await client.answer(has_body=False)
            assert (await client.frame())[0] == 0x88
            assert await client.rest() == b""
        async with dial(server) as client:
            client.send(upgrade("/guest"))
            await client.answer(has_body=False)
            left.clear()
        async with asyncio.timeout(5):
            await left.wait()
    assert heard[0] == {"type": "websocket.disconnect", "code": 4002, "reason": ""}
    assert heard[2]["code"] == 1006


@pytest.mark.parametrize("kind", ["close", "denial", "raises", "returns", "wrong"])
async def test_a_handshake_that_is_not_accepted_is_an_http_answer(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert "websocket.http.response" in scope["extensions"]
        await receive()
        match kind:
            case "close":
                await send({"type": "websocket.close"})
                assert (await receive())["type"] == "websocket.disconnect"
            case "denial":
                await send({"type": "websocket.http.response.start", "status": 402})
                body = {"type": "websocket.http.response.body"}
                await send({**body, "body": b"pay", "more_body": True})
                await send({**body, "body": b" me"})
            case "raises":
                raise KeyError("secret")
            case "wrong":
                await send({"type": "websocket.send", "text": "too early"})

    async with serving(fallback=app) as server, dial(server) as client:
        client.send(upgrade("/guest"))
        with caplog.at_level(logging.ERROR):
            said = await client.answer()
        expected = {"close": 403, "denial": 402}.get(kind, 500)
        assert said.status == expected
        if kind == "denial":
            assert said.body == b"pay me"
        if expected == 500:
            assert said.body.decode().split()[-1] in caplog.text


async def test_a_wrong_handshake_never_reaches_the_app() -> None:
    async with serving(fallback=echo) as server, dial(server) as client:
        client.send(upgrade("/guest").replace(b"Version: 13", b"Version: 12"))
        assert (await client.answer()).status == 426


async def test_a_bug_after_the_handshake_is_1011() -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await connect(receive, send)
        await send({"type": "http.response.start"})

    async with serving(fallback=app) as server, dial(server) as client:
        client.send(upgrade("/guest"))
        await client.answer(has_body=False)
        assert (await client.frame())[1][:2] == (1011).to_bytes(2, "big")


async def test_an_app_that_returns_closes() -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await connect(receive, send)

    async with serving(fallback=app) as server, dial(server) as client:
        client.send(upgrade("/guest"))
        await client.answer(has_body=False)
        assert (await client.frame())[1] == (1000).to_bytes(2, "big")


async def test_a_client_is_read_only_as_fast_as_the_app_reads() -> None:
    may_go = asyncio.Event()
    sizes: list[int] = []

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await connect(receive, send)
        await may_go.wait()
        while (message := await receive())["type"] == "websocket.receive":
            sizes.append(len(message["bytes"]))

    async with serving(fallback=app) as server, dial(server) as client:
        client.send(upgrade("/guest"), *[frame(b"x" * 100_000)] * 200)
        drained = asyncio.create_task(client.writer.drain())
        await asyncio.wait([drained], timeout=0.1)
        assert not drained.done()
        may_go.set()
        await drained
        client.send(close_frame(1000))
        await client.answer(has_body=False)
        assert (await client.frame())[0] == 0x88
    assert sizes == [100_000] * 200


async def test_the_app_waits_for_a_client_that_does_not_read() -> None:
    sent = 0

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await connect(receive, send)
        for _ in range(300):
            await send({"type": "websocket.send", "bytes": b"x" * 60_000})
            sent += 1
        await receive()

    async with serving(fallback=app) as server, dial(server) as client:
        client.send(upgrade("/guest"))
        await client.answer(has_body=False)
        waited = asyncio.Event()
        server.deadlines.at(server.now() + 0.1, waited.set)
        await waited.wait()
        assert 0 < sent < 300
        for _ in range(300):
            assert len((await client.frame())[1]) == 60_000


async def test_a_stop_closes_with_1001() -> None:
    async with serving(fallback=echo) as server, dial(server) as client:
        client.send(upgrade("/guest"))
        await client.answer(has_body=False)
        stopping = asyncio.create_task(server.stop())
        assert (await client.frame())[1] == (1001).to_bytes(2, "big")
        client.send(close_frame(1001))
        assert await client.rest() == b""
        await stopping


async def test_a_stop_ends_a_handshake_the_app_has_not_answered() -> None:
    asked = asyncio.Event()

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        await asyncio.Event().wait()

    limits = Limits(closing=0.05)
    async with (
        serving(node=make_node(limits=limits), fallback=app) as server,
        dial(server) as client,
    ):
        client.send(upgrade("/guest"))
        await asked.wait()
        await server.stop()
        assert (await client.answer()).status == 503


async def test_a_silent_peer_is_asked_and_then_cut() -> None:
    limits = Limits(beat=0.05, beat_timeout=0.05)
    async with (
        serving(node=make_node(limits=limits), fallback=echo) as server,
        dial(server) as client,
    ):
        client.send(upgrade("/guest"))
        await client.answer(has_body=False)
        assert await client.frame() == (0x89, b"")
        client.send(frame(b"", first=0x8A))
        assert await client.frame() == (0x89, b"")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.frame()


async def test_the_guests_messages_have_a_limit_of_their_own() -> None:
    limits = Limits(message=10, guest_message=1000)
    guest: Asgi = echo
    async with (
        serving(node=make_node(limits=limits), fallback=guest) as server,
        dial(server) as client,
    ):
        client.send(upgrade("/guest"), frame(b"x" * 1000))
        await client.answer(has_body=False)
        assert len((await client.frame())[1]) == 1000
        client.send(frame(b"x" * 1001)[:14])
        assert (await client.frame())[1][:2] == (1009).to_bytes(2, "big")
