"""Exact counts of system calls per message: most of a server's time is spent in them."""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from anywire.core.channel import Channel
from anywire.core.member import Member
from anywire.wires.raw import Raw
from tests.servers.serving import dial, frame, make_node, serving, upgrade

Calls = Counter[str]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """Counts the calls of the server's sockets; the tests' clients use bare descriptors."""
    counted: Calls = Counter()
    for name in ("send", "recv", "recv_into", "sendmsg"):
        call = getattr(socket.socket, name)

        def counting(self: socket.socket, *args: object, call: object = call, name: str = name):  # type: ignore[no-untyped-def]
            if self.family == socket.AF_INET:  # the loop has a pair of its own to wake itself
                counted[name.removesuffix("_into")] += 1
            return call(self, *args)  # type: ignore[operator]

        monkeypatch.setattr(socket.socket, name, counting)
    yield counted


class Bare:
    """A client on a bare descriptor, whose calls are not counted."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._number = self._socket.fileno()

    def send(self, data: bytes) -> None:
        """Write all of it in one call."""
        assert os.write(self._number, data) == len(data)

    async def read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        data = b""
        while len(data) < size:
            data += await asyncio.to_thread(os.read, self._number, size - len(data))
        return data

    async def open(self, path: str) -> None:
        """The handshake."""
        self.send(upgrade(path))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await asyncio.to_thread(os.read, self._number, 1)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


async def test_a_batch_of_echoes_is_one_recv_and_one_send(calls: Calls) -> None:
    async with serving() as server:
        client = Bare(server.addresses[0].port)
        await client.open("/echo")
        for size in (1, 16, 100):
            calls.clear()
            client.send(frame("x" * 64) * size)
            answer = await client.read(66 * size)
            assert answer == (b"\x81\x40" + b"x" * 64) * size
            assert calls == {"recv": 1, "send": 1}
        client.close()


async def test_a_burst_of_publishes_is_one_send_a_member(calls: Calls) -> None:
    channel = Channel("news", kinds={Member: "member"})

    @channel.message
    async def heard(member: Member, message: str) -> None:
        for n in range(16):
            await member.room.publish("message", f"{message} {n:02}")

    node = make_node(channel)
    async with serving(node=node, wires=[Raw(paths={"/news": "news"})]) as server:
        clients = [Bare(server.addresses[0].port) for _ in range(10)]
        for client in clients:
            await client.open("/news")
        calls.clear()
        clients[0].send(frame("hi"))
        for client in clients:
            assert len(await client.read(16 * 7)) == 16 * 7
        assert calls == {"recv": 1, "send": 10}
        for client in clients:
            client.close()


async def test_an_upgrade_is_one_recv_and_one_send(calls: Calls) -> None:
    async with serving() as server, dial(server):
        client = Bare(server.addresses[0].port)
        calls.clear()
        await client.open("/echo")
        assert calls == {"recv": 1, "send": 1}
        client.close()
