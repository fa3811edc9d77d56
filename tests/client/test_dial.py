"""What every link keeps: nothing before `start`, messages in order, one end, nothing after it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from anywire.client.dial import Dialer, Link
from anywire.client.websocket import SocketDialer
from anywire.payload import Payload
from anywire.wires.base import Request
from tests.client.memory import PipeLink
from tests.client.test_websocket import Heard

pytestmark = pytest.mark.net


class Talkative:
    """An in-memory dialer whose server greets twice, answers, and hangs up at `bye`."""

    async def dial(self, url: str, request: Request) -> PipeLink:
        link = PipeLink(None)

        def hear(message: str | bytes) -> None:
            if message == "bye":
                link.cut(4000, "bye", True)
            else:
                link.deliver(message)

        link.to_server = hear
        link.deliver("hello")
        link.deliver("there")
        return link


async def greet(connection: ServerConnection) -> None:
    await connection.send("hello")
    await connection.send("there")
    async for message in connection:
        if message == "bye":
            await connection.close(4000, "bye")
        else:
            await connection.send(message)


@asynccontextmanager
async def in_memory() -> AsyncIterator[tuple[Dialer, str]]:
    yield Talkative(), "ws://nowhere/"


@asynccontextmanager
async def over_sockets() -> AsyncIterator[tuple[Dialer, str]]:
    async with serve(greet, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield SocketDialer(), f"ws://127.0.0.1:{port}/"


@pytest.mark.parametrize("world", [in_memory, over_sockets])
async def test_a_link_keeps_what_it_promises(world: Callable[[], AsyncIterator[object]]) -> None:
    async with world() as (dialer, url):  # type: ignore[attr-defined]
        link: Link = await dialer.dial(url, Request())
        for _ in range(5):
            await asyncio.sleep(0)
        heard = Heard()
        link.start(heard)
        await heard.until(lambda: len(heard.messages) == 2)
        link.write([Payload.of("a"), Payload.of(b"b")])
        link.write([Payload.of("c")])
        await heard.until(lambda: len(heard.messages) == 5)
        assert heard.messages == ["hello", "there", "a", b"b", "c"]
        assert not link.is_blocked
        link.write([Payload.of("bye")])
        await heard.until(lambda: bool(heard.ends))
        link.write([Payload.of("too late")])
        link.close(1000, "")
        link.abort()
        for _ in range(5):
            await asyncio.sleep(0)
        assert heard.ends == [(4000, "bye")]
        assert len(heard.messages) == 5
