"""A WebSocket's link: what it is, pings, clean ends, and a receiver that wants no more for now."""

import asyncio
from collections.abc import Callable

import pytest
from websockets.asyncio.server import ServerConnection

from anywire.client.dial import WebSocketLink
from anywire.client.websocket import SocketDialer
from anywire.net.connection import Connection
from anywire.net.deflate import PerMessageDeflate
from anywire.payload import Message, Payload
from anywire.wires.base import Request
from tests.client.test_websocket import Heard, echo, oracle

pytestmark = pytest.mark.net


class Watching(Heard):
    """A receiver that sees pings and pongs, in order with everything else."""

    def __init__(self) -> None:
        super().__init__()
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []

    def on_ping(self, data: bytes) -> None:
        self.pings.append(data)
        self._changed.set()

    def on_pong(self, data: bytes) -> None:
        self.pongs.append(data)
        self._changed.set()


class Stopping(Heard):
    """A receiver that does something to its link at each message."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self._act = act

    def on_message(self, message: Message) -> None:
        super().on_message(message)
        self._act()


async def test_a_link_says_what_was_agreed() -> None:
    async with oracle(echo, server_header="probe", subprotocols=["b"]) as url:
        request = Request(subprotocols=["b"])
        link = await SocketDialer().dial(url.replace("ws://", "ws://ana:pass@") + "a?b", request)
        assert link.url == f"{url}a?b"
        assert link.headers["server"] == "probe"
        assert link.headers["sec-websocket-protocol"] == link.subprotocol == "b"
        assert link.extensions.startswith("permessage-deflate")
        link.abort()
        plain = await SocketDialer(compress=False).dial(url, request)
        assert plain.extensions == ""
        plain.abort()


async def test_pings_and_pongs_are_seen_by_who_wants_to_see_them() -> None:
    async def ping(connection: ServerConnection) -> None:
        await (await connection.ping(b"from there"))
        await echo(connection)

    async with oracle(ping) as url:
        link = await SocketDialer().dial(url, Request())
        heard = Watching()
        link.start(heard)
        assert link.ping(b"from here")
        assert link.pong(b"unasked")
        await heard.until(lambda: bool(heard.pings and heard.pongs))
        assert heard.pings == [b"from there"]
        assert heard.pongs == [b"from here"]
        assert heard.signs >= 2
        with pytest.raises(ValueError, match="at most 125"):
            link.ping(bytes(126))
        link.close(1000, "")
        assert not link.ping()
        assert not link.pong()
        await heard.until(lambda: bool(heard.ends))


async def test_an_end_is_clean_when_both_said_goodbye() -> None:
    async def leave(connection: ServerConnection) -> None:
        if (said := await connection.recv()) == "cut":
            connection.transport.abort()
        elif said == "break the rules":
            connection.transport.write(b"\x83\x00")
            await connection.wait_closed()
        elif said == "go":
            await connection.close(4000, "gone")

    async with oracle(leave) as url:
        for said, code, was_clean in (
            ("go", 4000, True),
            ("return", 1000, True),
            ("cut", 1006, False),
            ("break the rules", 1002, False),
        ):
            link = await SocketDialer().dial(url, Request())
            heard = Heard()
            link.start(heard)
            assert not link.was_clean
            link.write([Payload.of(said)])
            await heard.until(lambda heard=heard: bool(heard.ends))  # type: ignore[misc]
            assert heard.ends[0][0] == code
            assert link.was_clean == was_clean


async def pouring(connection: ServerConnection) -> None:
    for number in range(1000):
        await connection.send(f"{number} " + "x" * 1000)


@pytest.mark.parametrize("compress", [True, False])
async def test_who_pauses_hears_no_more_until_resuming_and_loses_nothing(compress: bool) -> None:
    async with oracle(pouring) as url:
        link = await SocketDialer(compress=compress).dial(url, Request())
        link.pause()
        heard = Heard()
        link.start(heard)
        for _ in range(20):
            await asyncio.sleep(0)
        assert heard.messages == []
        link.resume()
        link.resume()
        await heard.until(lambda: bool(heard.ends))
        assert [str(message).split()[0] for message in heard.messages] == [*map(str, range(1000))]
        assert heard.ends == [(1000, "")]
        link.pause()


async def test_who_pauses_within_a_burst_hears_no_more_than_was_inflated() -> None:
    async with oracle(echo) as url:
        link = await SocketDialer().dial(url, Request())
        heard = Stopping(link.pause)
        link.start(heard)
        burst: list[bytes] = []
        server = Connection(write=burst.append, deflate=PerMessageDeflate())
        while len(b"".join(burst)) < 64 * 1024:
            server.send(str(len(burst)) * 5000)
        data_received = link.data_received  # type: ignore[attr-defined]
        data_received(b"".join(burst))
        assert 0 < len(heard.messages) <= len(burst) // 3
        for _ in range(8):
            link.resume()
        assert heard.messages == [str(number) * 5000 for number in range(len(burst))]
        link.abort()
        await heard.until(lambda: bool(heard.ends))


async def test_what_a_receiver_does_to_its_link_disturbs_no_order() -> None:
    async with oracle(pouring) as url:
        link = await SocketDialer().dial(url, Request())

        def restless() -> None:
            link.pause()
            link.resume()

        heard = Stopping(restless)
        link.start(heard)
        await heard.until(lambda: bool(heard.ends))
        assert [str(message).split()[0] for message in heard.messages] == [*map(str, range(1000))]


async def test_a_connection_that_breaks_while_nobody_listens_is_told_with_what_came() -> None:
    async with oracle(echo) as url:
        link = await SocketDialer().dial(url, Request())
        heard = Heard()
        link.start(heard)
        link.write([Payload.of("first")])
        await heard.until(lambda: bool(heard.messages))
        link.pause()
        arrived: list[bytes] = []
        Connection(write=arrived.append).send("second")
        link.data_received(arrived[0])  # type: ignore[attr-defined]
        assert heard.messages == ["first"]
        link.abort()
        await heard.until(lambda: bool(heard.ends))
        assert heard.messages == ["first", "second"]
        assert heard.ends[0][0] == 1006


async def test_a_close_ends_a_pause_for_the_answer_stands_behind_it() -> None:
    async with oracle(pouring) as url:
        link: WebSocketLink = await SocketDialer().dial(url, Request())
        heard = Heard()
        link.pause()
        link.start(heard)
        link.close(4000, "enough")
        await heard.until(lambda: bool(heard.ends))
        assert heard.ends[0][0] in (1000, 4000)
        assert link.was_clean


async def test_an_end_is_told_though_the_server_has_reset_the_connection() -> None:
    def reset() -> None:
        raise OSError("Transport endpoint is not connected")

    async with oracle(echo) as url:
        link = await SocketDialer().dial(url, Request())
        heard = Heard()
        link.start(heard)
        link._transport.write_eof = reset  # type: ignore[attr-defined]
        link.close(1000, "")  # we said goodbye first: so we end our half when it has answered
        await heard.until(lambda: bool(heard.ends))
        assert heard.ends[0][0] == 1000
