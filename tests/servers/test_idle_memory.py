"""What one idle connection holds, in bytes of our own objects: counted, not measured.

Allocations are counted by the line that makes them; those of the event loop, the kernel and these
tests are left out. What the whole process costs is `bench/memory.py`'s to measure.
"""

import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import anywire
from anywire.core.channel import Channel
from anywire.core.member import Member
from anywire.net.deflate import deflate_alone
from anywire.net.http1 import Request, RequestParser
from anywire.servers.exchange import HttpExchange
from anywire.servers.http import HttpConnection
from anywire.wires.anywire import Own
from anywire.wires.base import Wire
from anywire.wires.raw import Raw
from tests.servers.serving import Dialed, dial, echo, frame, make_node, serving, upgrade

OURS = str(Path(anywire.__file__).parent / "*")
COUNT = 32
KNOWN_AS = "Sec-WebSocket-Protocol: anywire.json.1"
OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
LONG = b"hello world " * 40


async def shaken(dialed: Dialed, path: str, *lines: str) -> None:
    """Upgraded."""
    dialed.send(upgrade(path, *lines))
    assert (await dialed.answer()).status == 101


async def raw(dialed: Dialed) -> None:
    """A join of the path's room and one message."""
    await shaken(dialed, "/echo")
    dialed.send(frame("hello"))
    assert await dialed.frame() == (0x81, b"hello")


async def deflated(dialed: Dialed) -> None:
    """The same with a message that is compressed both ways."""
    await shaken(dialed, "/echo", OFFER)
    packed = deflate_alone(LONG, 15)
    assert packed is not None
    dialed.send(frame(packed, first=0xC1))
    assert await dialed.frame() == (0xC1, packed)


async def own(dialed: Dialed) -> None:
    """A welcome, a join and one call, nothing of it acknowledged."""
    await shaken(dialed, "/ws", KNOWN_AS)
    dialed.send(frame('{"type":"join","ref":1,"address":"echo"}'))
    await dialed.frame()
    assert b'"joined"' in (await dialed.frame())[1]
    data = "x" * 64
    call = f'{{"type":"call","ref":2,"address":"echo","event":"say","data":"{data}"}}'
    dialed.send(frame(call))
    assert b'"reply"' in (await dialed.frame())[1]


def channel() -> Channel:
    """Says back, on both wires."""
    channel = echo()

    @channel.on("say")
    async def say(member: Member, text: str) -> str:
        return text

    return channel


def held() -> int:
    """Bytes that our lines have allocated."""
    gc.collect()
    snapshot = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, OURS)])
    return sum(statistic.size for statistic in snapshot.statistics("filename"))


@pytest.mark.parametrize(
    ("talk", "most"),
    [
        pytest.param(raw, 2_500, id="raw"),
        pytest.param(deflated, 2_600, id="raw, deflate"),
        pytest.param(own, 4_200, id="own wire"),
    ],
)
async def test_an_idle_connection_keeps_to_its_budget(
    talk: Callable[[Dialed], Awaitable[None]], most: int
) -> None:
    wires: list[Wire] = [Raw(paths={"/echo": "echo"}), Own("/ws")]
    async with serving(node=make_node(channel()), wires=wires) as server, AsyncExitStack() as stack:

        async def hold(count: int) -> None:
            for _ in range(count):
                await talk(await stack.enter_async_context(dial(server)))

        await hold(COUNT)  # tables grow, caches fill
        tracemalloc.start()
        try:
            before = held()
            await hold(COUNT)
            after = held()
        finally:
            tracemalloc.stop()
        assert (after - before) / COUNT <= most


async def test_the_request_of_an_open_websocket_is_forgotten() -> None:
    kinds = (HttpConnection, HttpExchange, RequestParser, Request)
    before = count(kinds)
    async with serving() as server, dial(server) as dialed:
        await raw(dialed)
        assert server.connections == 1
        assert count(kinds) == before


def count(kinds: tuple[type, ...]) -> int:
    """Objects of these types that are alive."""
    gc.collect()
    return sum(isinstance(one, kinds) for one in gc.get_objects())
