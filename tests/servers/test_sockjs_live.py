"""SockJS over real sockets: what only a server shows. The protocol's own cases stand elsewhere."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from anywire.core.channel import Channel
from anywire.core.member import Member
from anywire.core.node import Authenticate, Node
from anywire.errors import Refused
from anywire.limits import Limits
from anywire.servers.tcp import Server
from anywire.wires.base import Hello, User
from anywire.wires.sockjs import SockJS
from tests.servers.serving import (
    Dialed,
    close_frame,
    dial,
    frame,
    make_node,
    request,
    serving,
    upgrade,
)

pytestmark = pytest.mark.net

PRELUDE = b"h" * 2048 + b"\n"


async def until(condition: Callable[[], bool]) -> None:
    """Give the server turns until it holds; five seconds are too many."""
    end = asyncio.get_running_loop().time() + 5
    while not condition():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0)


@dataclass(slots=True)
class Client:
    """A session on requests; each carrier of it has a connection of its own."""

    node: Node
    server: Server
    asks: Dialed
    says: Dialed
    path: str = "/echo/000/s1"

    async def poll(self, *lines: str) -> str:
        """The frame that a poll is answered with."""
        self.asks.send(request(f"{self.path}/xhr", *lines, method="POST"))
        return await self.polled()

    async def polled(self) -> str:
        said = await self.asks.answer()
        assert said.status == 200, said
        assert said.body.endswith(b"\n")
        return said.body.decode()[:-1]

    async def send(self, *messages: object, lines: tuple[str, ...] = ()) -> int:
        """The status of an answer to these messages."""
        body = json.dumps(messages).encode()
        self.says.send(request(f"{self.path}/xhr_send", *lines, method="POST", body=body))
        said = await self.says.answer(has_body=False)
        await self.says.reader.readexactly(int(said.headers.get("content-length", 0)))
        return said.status

    def ask(self) -> None:
        """Have a poll wait."""
        self.asks.send(request(f"{self.path}/xhr", method="POST"))

    async def stream(self) -> None:
        """Have a stream go on; the head and the prelude are read."""
        self.asks.send(request(f"{self.path}/xhr_streaming", method="POST"))
        await self.asks.reader.readuntil(b"\r\n\r\n")
        assert await self.chunk() == PRELUDE

    async def chunk(self) -> bytes:
        size = int(await self.asks.reader.readline(), 16)
        return (await self.asks.reader.readexactly(size + 2))[:-2]

    @property
    def sessions(self) -> int:
        return len(self.node.sessions)


def channel() -> Channel:
    """Echoes; tells all what begins with `all:`; closes, or says what is gone, when asked to."""
    made = Channel("echo", kinds={Member: "member"})

    @made.message
    async def heard(member: Member, text: str) -> None:
        if text == "close":
            await member.close(3000, "Go away!")
        elif text.startswith("all:"):
            for word in text.split(":")[1:]:
                await member.room.publish("message", word)
        else:
            await member.send("message", text)

    return made


@asynccontextmanager
async def sockjs(
    *,
    gap: float = 5.0,
    heartbeat: float = 25.0,
    response_limit: int = 128 * 1024,
    authenticate: Authenticate | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Client]:
    node = make_node(channel(), authenticate=authenticate, limits=limits)
    wire = SockJS(
        "/echo",
        to="echo",
        timeout=gap,
        heartbeat=heartbeat,
        response_limit=response_limit,
        old_browsers=True,
    )
    async with (
        serving(node=node, wires=[wire]) as server,
        dial(server) as asks,
        dial(server) as says,
    ):
        yield Client(node, server, asks, says)


async def test_a_session_echoes_what_it_is_sent() -> None:
    async with sockjs() as client:
        assert await client.poll() == "o"
        assert await client.send("a", 'b"\u2028') == 204
        assert await client.poll() == 'a["a","b\\"\\u2028"]'
        client.ask()
        assert await client.send("c") == 204
        assert await client.polled() == 'a["c"]'


async def test_all_that_waits_goes_into_one_poll() -> None:
    async with sockjs() as client:
        assert await client.poll() == "o"
        for number in range(20):
            assert await client.send(str(number)) == 204
        frame = await client.poll()
        assert json.loads(frame[1:]) == [str(number) for number in range(20)]


async def test_publications_that_follow_each_other_are_one_frame_of_a_stream() -> None:
    async with sockjs() as client:
        await client.stream()
        assert await client.chunk() == b"o\n"
        assert await client.send("all:a:b:c") == 204
        assert await client.chunk() == b'a["a","b","c"]\n'


async def test_a_stream_ends_at_its_limit_and_the_session_goes_on() -> None:
    async with sockjs(response_limit=10) as client:
        await client.stream()
        assert await client.chunk() == b"o\n"
        assert await client.send("12345") == 204
        assert await client.chunk() == b'a["12345"]\n'
        assert await client.chunk() == b""
        assert await client.send("more") == 204
        await client.stream()
        assert await client.chunk() == b'a["more"]\n'


async def test_one_carrier_goes_on_where_another_ended() -> None:
    async with sockjs() as client:
        assert await client.poll() == "o"
        assert await client.send("a") == 204
        client.asks.send(request(f"{client.path}/jsonp?c=cb"))
        assert (await client.asks.answer()).body == b'/**/cb("a[\\"a\\"]");\r\n'
        client.asks.send(request(f"{client.path}/eventsource"))
        await client.asks.reader.readuntil(b"\r\n\r\n")
        assert await client.chunk() == b"\r\n"
        assert await client.send("5%") == 204
        assert await client.chunk() == b'data: a["5%25"]\r\n\r\n'


async def test_a_second_request_is_turned_away_and_the_first_waits_on() -> None:
    async with sockjs() as client:
        assert await client.poll() == "o"
        client.ask()
        async with dial(client.server) as other:
            while True:  # until the first one waits
                other.send(request(f"{client.path}/xhr", method="POST"))
                said = await other.answer()
                if said.body == b'c[2010,"Another connection still open"]\n':
                    break
        assert await client.send("a") == 204
        assert await client.polled() == 'a["a"]'


async def test_a_request_that_is_cut_ends_the_session() -> None:
    async with sockjs() as client:
        await client.stream()
        assert await client.chunk() == b"o\n"
        await client.asks.close()
        await until(lambda: not client.sessions)
        assert await client.send("a") == 404
        async with dial(client.server) as again:
            again.send(request(f"{client.path}/xhr", method="POST"))
            assert (await again.answer()).body == b"o\n"


async def test_a_client_that_asks_no_more_is_gone() -> None:
    async with sockjs(gap=0.06) as client:
        assert await client.poll() == "o"
        await until(lambda: not client.sessions)
        assert await client.poll() == "o"


async def test_heartbeats_end_a_poll_and_go_on_on_a_stream() -> None:
    async with sockjs(heartbeat=0.02) as client:
        assert await client.poll() == "o"
        assert await client.poll() == "h"
        await client.stream()
        for _ in range(3):
            assert await client.chunk() == b"h\n"


@pytest.mark.parametrize("is_waiting", [True, False])
async def test_a_poll_hears_the_end_and_so_does_who_asks_again(is_waiting: bool) -> None:
    async with sockjs() as client:
        assert await client.poll() == "o"
        if is_waiting:
            client.ask()
        assert await client.send("a", "close") == 204
        if not is_waiting:
            client.ask()
        assert await client.polled() == 'a["a"]'
        for _ in range(3):
            assert await client.poll() == 'c[3000,"Go away!"]'
        assert not client.sessions


async def test_a_stream_hears_the_end_and_so_does_who_asks_again() -> None:
    async with sockjs() as client:
        await client.stream()
        assert await client.chunk() == b"o\n"
        assert await client.send("close") == 204
        for _ in range(2):
            assert await client.chunk() == b'c[3000,"Go away!"]\n'
            assert await client.chunk() == b""
            await client.stream()
        assert await client.chunk() == b'c[3000,"Go away!"]\n'


async def test_a_stream_that_ends_with_its_session_says_so_to_who_asks_again() -> None:
    async with sockjs(response_limit=3) as client:
        await client.stream()
        assert await client.chunk() == b"o\n"
        assert await client.send("close") == 204
        assert await client.chunk() == b'c[3000,"Go away!"]\n'
        assert await client.chunk() == b""
        assert await client.poll() == 'c[3000,"Go away!"]'


async def test_what_is_sent_to_a_session_that_has_ended_is_dropped() -> None:
    """A client that hears of a send that failed takes that for the end, and not what we say."""
    async with sockjs() as client:
        assert await client.poll() == "o"
        assert await client.send("close", "a") == 204
        assert await client.send("b") == 204
        assert await client.poll() == 'c[3000,"Go away!"]'
        assert await client.send("c") == 204
        client.path = "/echo/000/another"
        assert await client.send("d") == 404


async def test_the_name_of_a_session_that_has_ended_is_free_again() -> None:
    async with sockjs(gap=0.06) as client:
        assert await client.poll() == "o"
        (session,) = client.node.sessions.values()
        assert await client.send("close") == 204
        assert await client.poll() == 'c[3000,"Go away!"]'
        assert await client.node.directory.owner("sockjs", session.id) is None
        while (said := await client.poll()) != "o":
            assert said == 'c[3000,"Go away!"]'
        (again,) = client.node.sessions.values()
        assert again.id == session.id


async def test_a_message_that_is_too_large_ends_the_session() -> None:
    async with sockjs(limits=Limits(message=10)) as client:
        assert await client.poll() == "o"
        assert await client.send("x" * 11) == 204
        assert await client.poll() == 'c[1009,"a message has at most 10 bytes"]'


async def test_a_session_belongs_to_who_opened_it() -> None:
    async def authenticate(hello: Hello) -> User:
        if hello.token == "no":
            raise Refused("bad_token", "no")
        return User(hello.token or "")

    async with sockjs(authenticate=authenticate) as client:
        ana, eve = "Authorization: Bearer ana", "Authorization: Bearer eve"
        assert await client.poll("Authorization: Bearer no") == 'c[4401,"no"]'
        assert await client.poll(ana) == "o"
        assert (await client.poll(eve)).startswith("c[4401,")
        assert await client.send("a", lines=(eve,)) == 403
        assert await client.send("b", "close", lines=(ana,)) == 204
        assert await client.poll(eve) == "o", "what was said to ana is not eve's to hear"


async def test_a_stop_is_said_to_who_waits_and_to_who_comes() -> None:
    async with sockjs() as client:
        assert await client.poll() == "o"
        client.ask()
        session = next(iter(client.node.sessions.values()))
        await until(lambda: session.transport is not None and session.transport.buffered == 0)
        client.node.send_away()
        assert await client.polled() == 'c[1001,"the server stops"]'
        client.path = "/echo/000/new"
        assert await client.poll() == 'c[1001,"the server stops"]'


async def test_a_websocket_has_frames_and_ends_with_one() -> None:
    async with sockjs() as client:
        socket = client.asks
        socket.send(upgrade(f"{client.path}/websocket"))
        await socket.reader.readuntil(b"\r\n\r\n")
        assert await socket.frame() == (0x81, b"o")
        socket.send(frame(""), frame("[]"), frame('["a",1]'))
        assert await socket.frame() == (0x81, b'a["a"]')
        assert await socket.frame() == (0x81, b'a["1"]')
        socket.send(frame('"close"'))
        assert await socket.frame() == (0x81, b'c[3000,"Go away!"]')
        assert await socket.frame() == (0x88, b"\x0b\xb8Go away!")
        socket.send(close_frame(3000))
        assert await socket.rest() == b""


async def test_a_websocket_that_says_what_is_no_json_is_closed_without_a_frame() -> None:
    async with sockjs() as client:
        socket = client.asks
        socket.send(upgrade(f"{client.path}/websocket"), frame('["a'))
        await socket.reader.readuntil(b"\r\n\r\n")
        assert await socket.frame() == (0x81, b"o")
        assert await socket.frame() == (0x88, b"\x03\xefBroken JSON encoding.")


async def test_a_websocket_has_heartbeats_and_pings() -> None:
    async with sockjs(heartbeat=0.02) as client:
        socket = client.asks
        socket.send(upgrade(f"{client.path}/websocket"))
        await socket.reader.readuntil(b"\r\n\r\n")
        assert await socket.frame() == (0x81, b"o")
        heard = {await socket.frame() for _ in range(2)}
        assert {first for first, _ in heard} == {0x81, 0x89}
        assert (0x81, b"h") in heard


async def test_a_plain_request_finds_no_websocket() -> None:
    async with sockjs() as client:
        for path in (f"{client.path}/websocket", "/echo/websocket"):
            client.asks.send(request(path))
            said = await client.asks.answer()
            assert (said.status, said.body) == (400, b'Can "Upgrade" only to "WebSocket".')
            client.asks.send(request(path, method="POST"))
            said = await client.asks.answer()
            assert (said.status, said.body) == (405, b"")
            assert "content-type" not in said.headers
