"""Ten thousand requests that no well-behaved client sends leave nothing behind in the server.

Its sessions, open files and memory are where they were, and somebody new is served. Sessions are
counted by the app's `GET /counters`, which answers `{"sessions": 12}`; files and memory by /proc.
"""

import asyncio
import random
import struct
from collections.abc import Awaitable, Callable
from socket import SO_LINGER, SOL_SOCKET

import pytest

from tests.conformance.engineio import (
    MOUNTS,
    PING_TIMEOUT,
    POLLING,
    WEBSOCKET,
    Client,
    settles,
    status,
)
from tests.conformance.engineio import client as connected
from tests.conformance.served import TIMEOUT, Served
from tests.servers.serving import Dialed, request, upgrade

pytestmark = [pytest.mark.slow, pytest.mark.net]

WARMING, REQUESTS = 2_000, 10_000
AT_ONCE = 16
"""Clients, each with connections that it keeps where it can."""
CONNECTIONS = 4
"""Those that this test itself keeps."""
ROOM = 16 * 1024 * 1024
"""Bytes that a process may have grown by, for reasons of its allocator's."""


async def hang_up(line: Dialed, chance: random.Random) -> None:
    """Leave in good order, or have the server's next read or write fail."""
    if chance.random() < 0.5:
        linger = struct.pack("ii", 1, 0)
        line.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, linger)
        line.writer.transport.abort()
    await line.close()


Deed = Callable[[Client, random.Random], Awaitable[int]]
"""Something bad; it returns how many requests that took."""


async def another_revision(client: Client, chance: random.Random) -> int:
    assert (await client.get(f"EIO={chance.choice('0123abc')}&transport=polling")).status == 400
    return 1


async def another_transport(client: Client, chance: random.Random) -> int:
    assert (await client.get(f"EIO=4&transport={chance.randrange(100)}")).status == 400
    return 1


async def an_unknown_session(client: Client, chance: random.Random) -> int:
    sid = f"{chance.getrandbits(120):020x}"
    assert (await client.poll(sid)).status == 400
    assert (await client.post(sid, client.question)).status == 400
    return 2


async def a_session_that_is_left_alone(client: Client, chance: random.Random) -> int:
    await client.open()
    return 1


async def a_body_of_bytes(client: Client, chance: random.Random) -> int:
    sid = await client.open()
    body = chance.randbytes(chance.randrange(2000))
    assert (await client.post(sid, body, kind="application/octet-stream")).status == 400
    return 2


async def a_body_that_is_no_packet(client: Client, chance: random.Random) -> int:
    sid = await client.open()
    answer = await client.post(sid, b"\xff" + chance.randbytes(chance.randrange(2000)))
    assert answer.status in (200, 400)  # the official server takes it before it looks
    return 2


async def a_body_that_never_comes(client: Client, chance: random.Random) -> int:
    sid = await client.open()
    line = await client.dial()
    line.send(request(f"{client.path}?{POLLING}&sid={sid}", "Content-Length: 9", method="POST"))
    line.send(client.question[: chance.randrange(4)].encode())
    await hang_up(line, chance)
    return 2


async def a_poll_that_is_left(client: Client, chance: random.Random) -> int:
    sid = await client.open()
    line = await client.dial()
    line.send(request(f"{client.path}?{POLLING}&sid={sid}"))
    await hang_up(line, chance)
    return 2


async def half_a_packet(client: Client, chance: random.Random) -> int:
    """On `/socket.io/` an event whose attachments do not come."""
    sid = await client.open()
    await client.post(sid, '40\x1e4510-["message",{"_placeholder":true,"num":0}]\x1ebAQID')
    return 2


async def an_upgrade_of_another_revision(client: Client, chance: random.Random) -> int:
    sid = await client.open()
    line = await client.dial()
    line.send(upgrade(f"{client.path}?EIO=3&transport=websocket&sid={sid}"))
    assert await status(line) == 400
    await line.close()
    return 2


async def an_upgrade_that_comes_to_nothing(client: Client, chance: random.Random) -> int:
    sid = await client.open()
    line = await client.dial()
    line.send(upgrade(f"{client.path}?{WEBSOCKET}&sid={sid}"))
    assert await status(line) == 101
    line.send(chance.randbytes(20))
    await hang_up(line, chance)
    return 2


async def a_socket_that_says_anything(client: Client, chance: random.Random) -> int:
    line = await client.dial()
    line.send(upgrade(f"{client.path}?{WEBSOCKET}"), chance.randbytes(20))
    await status(line)
    await hang_up(line, chance)
    return 1


DEEDS: list[Deed] = [
    another_revision,
    another_transport,
    an_unknown_session,
    a_session_that_is_left_alone,
    a_body_of_bytes,
    a_body_of_bytes,
    a_body_that_is_no_packet,
    a_body_that_never_comes,
    a_poll_that_is_left,
    half_a_packet,
    an_upgrade_of_another_revision,
    an_upgrade_that_comes_to_nothing,
    a_socket_that_says_anything,
]


async def flood(server: Served, count: int) -> None:
    """So many requests, the same ones each time, some at once, to both mounts."""

    async def visit(path: str, chance: random.Random) -> None:
        made = 0
        async with connected(server, path) as visitor:
            while made < count / AT_ONCE:
                made += await chance.choice(DEEDS)(visitor, chance)

    paths = [MOUNTS[number % 2] for number in range(AT_ONCE)]
    async with asyncio.timeout(60):
        visits = (visit(path, random.Random(number)) for number, path in enumerate(paths))
        await asyncio.gather(*visits)


async def all_leave(client: Client) -> None:
    """Wait until the server has no session any more."""
    for _ in range(round(TIMEOUT / PING_TIMEOUT)):
        if await client.sessions() == 0:
            return
        await asyncio.sleep(PING_TIMEOUT)
    raise AssertionError(f"{await client.sessions()} sessions are left")


@pytest.mark.timeout(150)
async def test_ten_thousand_bad_requests_leave_nothing_behind(server: Served) -> None:
    async with (
        connected(server, MOUNTS[0]) as engine,
        connected(server, MOUNTS[1]) as socket,
    ):
        await flood(server, WARMING)
        await all_leave(engine)
        files, memory = server.files() + CONNECTIONS, server.memory() + ROOM
        await flood(server, REQUESTS)
        await all_leave(engine)
        assert await settles(server.files, files) <= files
        assert await settles(server.memory, memory) <= memory
        await engine.works()
        await socket.works()
    assert "Traceback" not in server.said()
