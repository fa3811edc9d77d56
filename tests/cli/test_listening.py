"""Being a server: who is let in, who is talked to, and when it ends."""

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from anywire.cli import tls
from anywire.cli.conversation import RawConversation
from anywire.cli.entry import Entry, Exit
from anywire.cli.listening import Door, Listening
from anywire.cli.talking import Plan, Talk
from anywire.errors import ConfigurationError
from anywire.wires.base import Request
from tests.cli.certificates import write_certificates

pytestmark = pytest.mark.net

PLAN = Plan(
    url="", request=Request(), timeout=5.0, wait=0.0, is_strict=True, has_slash=True, peer="client"
)


class Host:
    """A listener, and what it showed."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.entries: list[Entry] = []
        self.typed: asyncio.Queue[str] = asyncio.Queue()
        self.plan = PLAN
        self._more = asyncio.Event()

    def listen(
        self, lines: Callable[[], AsyncIterator[str]], *, is_typed: bool = False
    ) -> Listening:
        def make() -> Talk:
            return Talk(self.plan, RawConversation(), show=self.show, complain=lambda _: None)

        return Listening(self.door, make, lines, show=self.show, is_typed=is_typed)

    def show(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._more.set()

    async def sees(self, kind: str, data: object, *, times: int = 1) -> None:
        """Wait until this was shown."""
        while [(one.type, one.data) for one in self.entries].count((kind, data)) < times:
            self._more.clear()
            await self._more.wait()

    def connect(self, **options: object) -> "connect":
        return connect(f"ws://127.0.0.1:{self.door.port}/any/path", **options)  # type: ignore[arg-type]


@asynccontextmanager
async def hosting(
    subprotocols: tuple[str, ...] = (), context: ssl.SSLContext | None = None
) -> AsyncIterator[Host]:
    door = Door(subprotocols=subprotocols)
    await door.open("127.0.0.1", 0, context)
    try:
        yield Host(door)
    finally:
        await door.close()


class Typed:
    """What a person types, from one client to the next; `end` is Ctrl-D."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()

    def type(self, *lines: str) -> None:
        for line in lines:
            self._queue.put_nowait(line)

    def end(self) -> None:
        self._queue.put_nowait(None)

    def __aiter__(self) -> "Typed":
        return self

    async def __anext__(self) -> str:
        line = await self._queue.get()
        if line is None:
            raise StopAsyncIteration
        return line


def said(*lines: str) -> Callable[[], AsyncIterator[str]]:
    async def each() -> AsyncIterator[str]:
        for line in lines:
            yield line

    return each


async def test_a_script_is_said_to_one_client_and_ends() -> None:
    async with hosting() as host:
        running = asyncio.create_task(host.listen(said("one", "two")).run(is_for_ever=False))
        async with host.connect() as client:
            assert [await client.recv(), await client.recv()] == ["one", "two"]
            await client.wait_closed()
            assert client.close_code == 1000
        assert await running is Exit.MEANT
    assert [(one.type, one.data) for one in host.entries[:2]] == [
        ("listening", {"port": host.door.port}),
        ("open", {"peer": "client"}),
    ]


async def test_what_a_client_says_is_shown_and_a_ping_is_answered() -> None:
    async with hosting() as host:
        host.plan = Plan(
            url="", request=Request(), timeout=5.0, wait=None, is_strict=True, shows_pings=True
        )
        listening = host.listen(said())
        running = asyncio.create_task(listening.run(is_for_ever=True))
        async with host.connect() as client:
            await client.send("hello")
            await client.send(b"\x00")
            await (await client.ping(b"p"))
            await client.pong(b"q")
            await host.sees("text", "hello")
            await host.sees("binary", b"\x00")
            await host.sees("ping", {"data": "p"})
            await host.sees("pong", {"data": "q"})
            await client.close(4001, "bye")
        await host.sees("close", {"code": 4001, "reason": "bye"})
        listening.stop()
        assert await running is Exit.MEANT


async def test_for_ever_is_one_client_after_another_until_a_signal() -> None:
    async with hosting() as host:
        host.plan = Plan(url="", request=Request(), timeout=5.0, wait=None, is_strict=True)
        running = asyncio.create_task(host.listen(said("welcome")).run(is_for_ever=True))
        for _ in range(2):
            async with host.connect() as client:
                assert await client.recv() == "welcome"
        await host.sees("close", {"code": 1000, "reason": ""}, times=2)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running is Exit.MEANT


async def test_a_second_client_is_told_to_wait_and_comes_in_later() -> None:
    async with hosting() as host:
        typed = Typed()
        running = asyncio.create_task(
            host.listen(lambda: typed, is_typed=True).run(is_for_ever=False)
        )
        async with host.connect() as first:
            await host.sees("open", {"peer": "client"})
            with pytest.raises(InvalidStatus) as refused:
                await host.connect()
            assert refused.value.response.status_code == 503
            typed.type("still here")
            assert await first.recv() == "still here"
        await host.sees("close", {"code": 1000, "reason": ""})
        async with host.connect() as second:
            typed.type("next")
            assert await second.recv() == "next"
            typed.end()
            await second.wait_closed()
        assert await running is Exit.MEANT


async def test_what_is_typed_to_nobody_is_said_to_nobody() -> None:
    async with hosting() as host:
        typed = Typed()
        running = asyncio.create_task(
            host.listen(lambda: typed, is_typed=True).run(is_for_ever=False)
        )
        typed.type("lost")
        await host.sees("error", "nobody is connected")
        async with host.connect() as client:
            await host.sees("open", {"peer": "client"})
            typed.type("found")
            assert await client.recv() == "found"
        await host.sees("close", {"code": 1000, "reason": ""})
        typed.end()
        assert await running is Exit.MEANT


async def test_a_terminal_that_is_gone_ends_it() -> None:
    async def gone() -> AsyncIterator[str]:
        raise OSError("the terminal is gone")
        yield "never"

    async with hosting() as host:
        with pytest.raises(OSError, match="the terminal is gone"):
            await host.listen(gone, is_typed=True).run(is_for_ever=False)


async def test_slash_close_ends_a_client_and_waits_for_the_next() -> None:
    async with hosting() as host:
        typed = Typed()
        listening = host.listen(lambda: typed, is_typed=True)
        running = asyncio.create_task(listening.run(is_for_ever=False))
        async with host.connect() as client:
            await host.sees("open", {"peer": "client"})
            typed.type("/close 4002 enough")
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (4002, "enough")
        async with host.connect() as client:
            await host.sees("open", {"peer": "client"}, times=2)
            listening.stop()
            await client.wait_closed()
            assert client.close_code == 1000
        assert await running is Exit.MEANT


async def test_a_client_that_does_not_say_goodbye_is_left_at_the_second_signal() -> None:
    async with hosting() as host:
        typed = Typed()
        listening = host.listen(lambda: typed, is_typed=True)
        running = asyncio.create_task(listening.run(is_for_ever=False))
        async with host.connect() as client:
            client.transport.pause_reading()
            await host.sees("open", {"peer": "client"})
            listening.stop()
            listening.stop()
            assert await running is Exit.MEANT
            client.transport.resume_reading()


async def test_a_client_that_is_cut_off_is_told() -> None:
    async with hosting() as host:
        typed = Typed()
        running = asyncio.create_task(
            host.listen(lambda: typed, is_typed=True).run(is_for_ever=False)
        )
        async with host.connect() as client:
            await host.sees("open", {"peer": "client"})
            client.transport.abort()
        await host.sees("close", {"code": 1006, "reason": "the connection was lost"})
        typed.end()
        assert await running is Exit.MEANT


async def test_a_pipe_goes_on_with_the_next_client() -> None:
    async with hosting() as host:
        piped = Typed()
        running = asyncio.create_task(host.listen(lambda: piped).run(is_for_ever=False))
        async with host.connect() as client:
            piped.type("one")
            assert await client.recv() == "one"
        await host.sees("close", {"code": 1000, "reason": ""})
        async with host.connect() as client:
            piped.type("two")
            assert await client.recv() == "two"
            piped.end()
        assert await running is Exit.MEANT


@pytest.mark.parametrize(
    ("known", "offered", "chosen"),
    [
        ((), ("one", "two"), "one"),
        ((), (), None),
        (("two",), ("one", "two"), "two"),
        (("three",), ("one", "two"), None),
    ],
)
async def test_the_first_subprotocol_that_is_known_is_taken(
    known: tuple[str, ...], offered: tuple[str, ...], chosen: str | None
) -> None:
    async with hosting(known) as host:
        running = asyncio.create_task(host.listen(said()).run(is_for_ever=False))
        wanted = [Subprotocol(name) for name in offered]
        async with host.connect(subprotocols=wanted or None) as client:
            assert client.subprotocol == chosen
        await running


async def test_a_request_that_is_no_handshake_is_answered_as_one() -> None:
    async with hosting() as host:
        reader, writer = await asyncio.open_connection("127.0.0.1", host.door.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 426 ")


async def test_it_listens_over_tls(tmp_path: Path) -> None:
    files = write_certificates(tmp_path)
    async with hosting(context=tls.for_server(cert=files.both)) as host:
        running = asyncio.create_task(host.listen(said("safe")).run(is_for_ever=False))
        trusting = tls.for_client(ca=files.ca)
        async with connect(f"wss://127.0.0.1:{host.door.port}/", ssl=trusting) as client:
            assert await client.recv() == "safe"
        await running


async def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} on 127.0.0.1 is in use"):
            await Door().open("127.0.0.1", port)
