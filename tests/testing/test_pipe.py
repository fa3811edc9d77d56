"""The pipe in memory: order, pauses, stalls, cuts; and what the dialer says when it cannot."""

import asyncio
from collections.abc import Sequence

import pytest

from anywire import Anywire, Closed, Hello, Refused, User
from anywire.client.dial import Link
from anywire.payload import Carrier, Message, Payload
from anywire.testing import MemoryDialer, connect, running
from anywire.testing.clock import settled
from anywire.testing.pipe import MemoryLink
from anywire.wires.base import Answer, Opening, Request, Route
from tests.wires.strangers.odd import Odd


class Heard:
    """Everything a link tells."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.signs = 0
        self.ends: list[tuple[int, str]] = []

    def on_message(self, message: Message) -> None:
        self.messages.append(message)

    def on_heard(self) -> None:
        self.signs += 1

    def on_writable(self) -> None: ...

    def on_closed(self, code: int, reason: str) -> None:
        self.ends.append((code, reason))


def echo() -> Anywire:
    app = Anywire()
    channel = app.channel("echo")

    @channel.message
    async def message(data: str | bytes) -> str | bytes:
        return data

    return app


async def dialled(dialer: MemoryDialer, path: str = "/raw/echo") -> tuple[MemoryLink, Heard]:
    link, heard = await dialer.dial(f"ws://memory{path}", Request()), Heard()
    link.start(heard)
    return link, heard


async def test_of_two_that_share_a_path_the_websocket_is_dialled_with_the_parts_of_its_path() -> (
    None
):
    seen: list[Hello] = []

    class Shared(Odd):
        def routes(self) -> Sequence[Route]:
            path = "/shared/{place}/{address}"
            return [Route("GET", path, kind) for kind in (Carrier.POLL, Carrier.WEBSOCKET)]

        def open(self, hello: Hello) -> Opening | Answer:
            seen.append(hello)
            return super().open(hello)

    app = echo()
    async with running(app) as node:
        link, heard = await dialled(MemoryDialer(node, [Shared()]), "/shared/here/echo")
        link.write([Payload.of("mhello")])
        await settled()
        assert heard.messages[1:] == ["mhello"]
        assert seen[0].carrier is Carrier.WEBSOCKET
        assert seen[0].parts == {"place": "here", "address": "echo"}


async def test_messages_arrive_in_order_and_never_inside_the_write() -> None:
    app = echo()
    async with running(app) as node:
        link, heard = await dialled(MemoryDialer(node, app.wires))
        link.write([Payload.of("a"), Payload.of(b"b"), Payload.of("c")])
        assert heard.messages == []
        await settled()
        assert heard.messages == ["a", b"b", "c"]


async def test_what_came_before_the_start_is_not_lost() -> None:
    app = echo()
    async with running(app) as node:
        link: Link = await MemoryDialer(node, app.wires).dial("ws://memory/raw/echo", Request())
        heard = Heard()
        link.write([Payload.of("early")])
        await settled()
        link.abort()
        await settled()
        link.start(heard)
        assert (heard.messages, heard.ends) == (["early"], [(1006, "")])


async def test_a_stalled_client_hears_nothing_until_it_flows() -> None:
    app = echo()
    async with running(app) as node:
        link, heard = await dialled(MemoryDialer(node, app.wires))
        link.pipe.stall()
        link.write([Payload.of("x" * 10), Payload.of("y")])
        await settled()
        assert (heard.messages, link.pipe.server.buffered) == ([], 11)
        link.pipe.flow()
        await settled()
        assert (heard.messages, link.pipe.server.buffered) == (["x" * 10, "y"], 0)


async def test_a_paused_server_reads_on_where_it_stopped() -> None:
    app = echo()
    async with running(app) as node:
        link, heard = await dialled(MemoryDialer(node, app.wires))
        link.pipe.server.pause()
        link.write([Payload.of("a"), Payload.of("b")])
        await settled()
        assert heard.messages == []
        link.pipe.server.resume()
        await settled()
        assert heard.messages == ["a", "b"]


async def test_both_ends_probe_each_other_without_a_message() -> None:
    app = echo()
    async with running(app) as node:
        link, heard = await dialled(MemoryDialer(node, app.wires))
        assert link.beat()
        assert link.pipe.server.beat()
        await settled()
        assert (heard.signs, heard.messages) == (1, [])


async def test_a_cut_is_told_once_to_both_ends() -> None:
    app = echo()
    async with running(app) as node:
        link, heard = await dialled(MemoryDialer(node, app.wires))
        assert len(node.sessions) == 1
        link.pipe.cut()
        link.close(1000, "")
        link.write([Payload.of("too late")])
        await settled()
        assert heard.ends == [(1006, "cut")]
        assert heard.messages == []
        assert not node.sessions


async def test_nothing_listens_while_the_dialer_is_down() -> None:
    app = echo()
    async with running(app) as node:
        dialer = MemoryDialer(node, app.wires)
        dialer.is_down = True
        with pytest.raises(ConnectionRefusedError):
            await dialled(dialer)
        dialer.is_down = False
        await dialled(dialer)


async def test_a_path_without_a_wire_and_a_wrong_offer_are_refused_as_http_does() -> None:
    app = echo()
    async with running(app) as node:
        dialer = MemoryDialer(node, app.wires)
        with pytest.raises(Refused, match=r"404: no wire has the path /nowhere"):
            await dialled(dialer, "/nowhere")
        with pytest.raises(Refused, match=r"400: none of the offered subprotocols"):
            await dialer.dial("ws://memory/ws", Request(subprotocols=["graphql-ws"]))
        with pytest.raises(Refused, match=r"400: none of the offered subprotocols"):
            known = MemoryDialer(node, app.wires, user="ana")
            await known.dial("ws://memory/ws", Request(subprotocols=["graphql-ws"]))


async def test_authenticate_sees_the_request_unless_the_test_says_who_it_is() -> None:
    app = echo()
    seen: list[tuple[str | None, str | None]] = []

    @app.authenticate
    async def who(hello: Hello) -> User:
        seen.append((hello.query.get("name"), hello.headers.get("authorization")))
        raise Refused("stranger", "who are you?")

    async with running(app) as node:
        asking = MemoryDialer(node, app.wires)
        request = Request(headers={"Authorization": "Bearer x"})
        with pytest.raises(Closed, match="4401") as closed:
            await asking.dial("ws://memory/raw/echo?name=ana", request)
        assert closed.value.reason == "who are you?"
        assert seen == [("ana", "Bearer x")]
        await dialled(MemoryDialer(node, app.wires, user=User("ana")))
        assert len(seen) == 1


async def test_a_stall_of_a_test_client_makes_a_slow_reader() -> None:
    async with connect(echo(), wire="raw") as client:
        member = await client.join("echo")
        client.stall()
        await member.push("message", "waits")
        await member.silence()
        client.flow()
        assert await member.next("message") == "waits"
        await asyncio.sleep(0)
