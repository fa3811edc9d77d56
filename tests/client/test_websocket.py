"""The client's WebSocket over real sockets: `websockets` as the other end, our own server, and
servers that misbehave.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve

from anywire import Anywire, Hello, Limits, Member, Own, User
from anywire.client import Receiver, connect
from anywire.client.websocket import SocketDialer
from anywire.core.node import Node
from anywire.errors import AnywireError, ProtocolError, Refused
from anywire.net.handshake import HandshakeError
from anywire.net.rfc6455 import accept_key
from anywire.payload import Message, Payload
from anywire.servers.tcp import Server
from anywire.wires.base import Request

pytestmark = pytest.mark.net

Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Heard:
    """A receiver that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.ends: list[tuple[int, str]] = []
        self.signs = 0
        self.writable = 0
        self._changed = asyncio.Event()

    def on_message(self, message: Message) -> None:
        self.messages.append(message)
        self._changed.set()

    def on_heard(self) -> None:
        self.signs += 1
        self._changed.set()

    def on_writable(self) -> None:
        self.writable += 1
        self._changed.set()

    def on_closed(self, code: int, reason: str) -> None:
        self.ends.append((code, reason))
        self._changed.set()

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not done():
                self._changed.clear()
                await self._changed.wait()


receiver: type[Receiver] = Heard


@asynccontextmanager
async def oracle(
    handler: Callable[[ServerConnection], Awaitable[None]], **options: Any
) -> AsyncIterator[str]:
    """The URL of a server of the `websockets` library."""
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/"


@asynccontextmanager
async def bytes_server(reply: Reply) -> AsyncIterator[str]:
    """The URL of a server that says whatever it likes once it has a request's head."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reply(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


MESSAGES: list[Message] = ["", "grüße", b"", b"\x00\xff" * 9, "x" * 70_000, b"y" * 70_000]


@pytest.mark.parametrize("compress", [True, False])
async def test_every_kind_of_message_goes_there_and_back(compress: bool) -> None:
    async with oracle(echo, compression="deflate" if compress else None) as url:
        link = await SocketDialer(compress=True).dial(url, Request())
        heard = Heard()
        link.start(heard)
        link.write([Payload.of(message) for message in MESSAGES])
        link.write([])
        await heard.until(lambda: len(heard.messages) == len(MESSAGES))
        assert heard.messages == MESSAGES
        link.close(4001, "enough")
        await heard.until(lambda: bool(heard.ends))
        assert heard.ends == [(4001, "enough")]
        link.write([Payload.of("too late")])
        link.close(1000, "")
        link.abort()


async def test_a_greeted_link_counts_once_the_server_has_spoken() -> None:
    speak = asyncio.Event()

    async def greet(connection: ServerConnection) -> None:
        await speak.wait()
        await connection.send("hello")
        await connection.wait_closed()

    async with oracle(greet) as url:
        dialing = asyncio.create_task(SocketDialer(greeted=True).dial(url, Request()))
        (await SocketDialer().dial(url, Request())).abort()  # which waits for no word
        assert not dialing.done()
        speak.set()
        link = await dialing
        heard = Heard()
        link.start(heard)
        await heard.until(lambda: heard.messages == ["hello"])
        link.close(1000, "")
        await heard.until(lambda: bool(heard.ends))


async def test_a_greeted_link_takes_a_word_that_came_with_the_handshake() -> None:
    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting.append(asyncio.create_task(greet(reader, writer)))

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = head.split("Sec-WebSocket-Key: ")[1].partition("\r\n")[0]
        lines = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        lines += f"Sec-WebSocket-Accept: {accept_key(key)}\r\n"
        writer.write(f"HTTP/1.1 101 X\r\n{lines}\r\n".encode() + b"\x81\x02hi")
        await reader.read()
        writer.close()

    greeting: list[asyncio.Task[None]] = []
    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        link = await SocketDialer(greeted=True).dial(url, Request())
        heard = Heard()
        link.start(heard)
        assert heard.messages == ["hi"]
        link.abort()
        await heard.until(lambda: bool(heard.ends))
        await asyncio.wait(greeting)


async def test_a_greeted_link_whose_server_says_nothing_is_none() -> None:
    async def hang_up(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with oracle(hang_up) as url:
        with pytest.raises(ConnectionError, match="the server said nothing"):
            await SocketDialer(greeted=True).dial(url, Request())


async def test_what_the_request_wants_is_in_the_handshake() -> None:
    seen: dict[str, Any] = {}

    async def look(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        seen["path"] = request.path
        seen["token"] = request.headers["Authorization"]
        await connection.send("hello")

    async with oracle(look, subprotocols=["b.1"]) as url:
        request = Request(
            subprotocols=["a.1", "b.1"],
            query={"session": "a b", "received": "3"},
            headers={"Authorization": "Bearer secret"},
        )
        for path, joint in (("ws?room=1", "&"), ("ws", "?")):
            link = await SocketDialer().dial(url + path, request)
            assert link.subprotocol == "b.1"
            heard = Heard()
            await asyncio.sleep(0)
            link.start(heard)
            await heard.until(lambda heard=heard: bool(heard.ends))  # type: ignore[misc]
            assert heard.messages == ["hello"]
            assert heard.ends[0][0] == 1000
            assert seen == {
                "path": f"/{path}{joint}session=a+b&received=3",
                "token": "Bearer secret",
            }


async def test_pings_are_sent_and_answered() -> None:
    async def ping(connection: ServerConnection) -> None:
        await (await connection.ping())
        await connection.send("pinged")
        async for _ in connection:
            pass

    async with oracle(ping) as url:
        link = await SocketDialer().dial(url, Request())
        heard = Heard()
        link.start(heard)
        await heard.until(lambda: bool(heard.messages))
        signs = heard.signs
        assert link.beat()
        await heard.until(lambda: heard.signs > signs)
        link.abort()
        await heard.until(lambda: bool(heard.ends))
        assert heard.ends == [(1006, "the connection was lost")]


async def test_a_message_over_the_limit_ends_the_link_with_1009() -> None:
    async def much(connection: ServerConnection) -> None:
        await connection.send("x" * 5000)
        await connection.wait_closed()

    async with oracle(much) as url:
        link = await SocketDialer(max_message=1000).dial(url, Request())
        heard = Heard()
        link.start(heard)
        await heard.until(lambda: bool(heard.ends))
        assert heard.ends[0][0] == 1009
        assert heard.messages == []


async def test_a_link_that_is_full_says_so_until_the_peer_reads() -> None:
    gate = asyncio.Event()

    async def slow(connection: ServerConnection) -> None:
        await gate.wait()
        async for message in connection:
            await connection.send(str(len(message)))

    async with oracle(slow, max_queue=1, compression=None) as url:
        link = await SocketDialer(compress=False).dial(url, Request())
        heard = Heard()
        link.start(heard)
        written = 0
        while not link.is_blocked:
            link.write([Payload(bytes(500_000), is_text=False)])
            written += 1
            await asyncio.sleep(0)
        gate.set()
        await heard.until(lambda: len(heard.messages) == written)
        assert heard.writable >= 1
        assert not link.is_blocked
        link.abort()


async def test_a_close_that_is_never_answered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anywire.client.link.CLOSING", 0.01)

    async def deaf(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await connection.wait_closed()

    async with oracle(deaf, close_timeout=0.1) as url:
        link = await SocketDialer().dial(url, Request())
        heard = Heard()
        link.start(heard)
        link.close(1006, "not to be sent")
        await heard.until(lambda: bool(heard.ends))
        assert heard.ends[0][0] == 1006


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", HandshakeError, "404 Not Found"),
        (b"HTTP/1.1 302 Found\r\nLocation: ws://evil/\r\n\r\n", HandshakeError, "302"),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", Refused, "401"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", Refused, "403"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", HandshakeError, "did not upgrade"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", ProtocolError, "answer"),
        (b"", ConnectionError, "hung up before"),
    ],
)
async def test_a_server_that_opens_no_websocket_ends_the_attempt(
    answer: bytes, error: type[Exception], words: str
) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    async with bytes_server(reply) as url:
        with pytest.raises(error, match=words):
            await SocketDialer().dial(url, Request())


async def test_an_answer_that_comes_byte_by_byte_is_taken() -> None:
    async with oracle(echo) as url:
        port = int(url.rsplit(":", 1)[1].rstrip("/"))

        done = asyncio.Event()

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            onward, back = await asyncio.open_connection("127.0.0.1", port)
            back.write(await reader.readuntil(b"\r\n\r\n"))

            async def pump() -> None:
                while data := await reader.read(1000):
                    back.write(data)

            pumping = asyncio.create_task(pump())
            while data := await onward.read(1):
                writer.write(data)
                await writer.drain()
            pumping.cancel()
            for end in (back, writer):
                end.close()
                await end.wait_closed()
            done.set()

        front = await asyncio.start_server(relay, "127.0.0.1", 0)
        async with front:
            where = front.sockets[0].getsockname()[1]
            link = await SocketDialer().dial(f"ws://127.0.0.1:{where}/", Request())
            heard = Heard()
            link.start(heard)
            link.write([Payload.of("slowly")])
            await heard.until(lambda: bool(heard.messages))
            assert heard.messages == ["slowly"]
            link.close(1000, "")
            await heard.until(lambda: bool(heard.ends))
            await done.wait()


async def test_a_header_that_cannot_be_is_refused_for_good() -> None:
    async with oracle(echo) as url:
        for headers in ({"X-Bad": "a\r\nX-Evil: b"}, {"Upgrade": "h2c"}):
            with pytest.raises(Refused, match="invalid: this cannot be asked for"):
                await SocketDialer().dial(url, Request(headers=headers))


async def test_a_cancelled_attempt_leaves_nothing_open() -> None:
    hung_up = asyncio.Event()
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        assert await reader.read() == b""
        hung_up.set()

    async with bytes_server(silent) as url:
        attempt = asyncio.create_task(SocketDialer().dial(url, Request()))
        await asked.wait()
        attempt.cancel()
        async with asyncio.timeout(5):
            await hung_up.wait()
        assert attempt.cancelled()


async def test_certificates_and_host_names_are_verified(tmp_path: Path) -> None:
    authority = trustme.CA()
    inside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(inside)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with oracle(echo, ssl=inside) as url:
        port = url.rsplit(":", 1)[1]
        for dialer, host in (
            (SocketDialer(), "localhost"),
            (SocketDialer(ssl=trusting), "127.0.0.1"),
        ):
            with pytest.raises(ssl.SSLCertVerificationError):
                await dialer.dial(f"wss://{host}:{port}", Request())
        link = await SocketDialer(ssl=trusting).dial(f"wss://localhost:{port}", Request())
        heard = Heard()
        link.start(heard)
        link.write([Payload.of("secret")])
        await heard.until(lambda: bool(heard.messages))
        link.abort()
        await heard.until(lambda: bool(heard.ends))
    with pytest.raises(ValueError, match="wss://"):
        connect("ws://localhost/ws", ssl=trusting)


# --- with our own server ------------------------------------------------------------------------


def shop() -> Anywire:
    app = Anywire(wires=[Own("/ws")], limits=Limits(resume=60))
    chat = app.channel("chat:{room}", history=50)

    @app.authenticate
    def who(hello: Hello) -> User | None:
        if hello.token == "wrong":
            raise Refused("bad_token", "that token is not ours")
        return None if hello.token is None else User(hello.token)

    @chat.on("say")
    async def say(member: Member, text: str) -> str:
        await member.room.publish("said", {"by": member.user.id, "text": text})
        return text.upper()

    return app


@asynccontextmanager
async def serving(app: Anywire, **options: Any) -> AsyncIterator[tuple[Server, Node]]:
    async with app.lifespan():
        node = app.node
        server = Server(node=node, wires=app.wires, **options)
        await server.start()
        try:
            yield server, node
        finally:
            await server.stop()


@pytest.mark.parametrize("format", ["json", "msgpack"])
async def test_a_conversation_with_our_server_in_either_format(format: Any) -> None:
    async with serving(shop(), port=0) as (server, _):
        url = f"ws://127.0.0.1:{server.addresses[0].port}/ws"
        async with connect(url, format=format, token="ana") as client:
            chat = client.channel("chat:lobby")
            heard = chat.events()
            await chat.join()
            assert await chat.call("say", text="x" * 600) == "X" * 600
            assert (await anext(heard)).data == {"by": "ana", "text": "x" * 600}
            await heard.aclose()
        with pytest.raises(Refused, match="bad_token: that token is not ours"):
            async with connect(url, token="wrong"):
                raise AssertionError("a wrong token was let in")


@pytest.mark.slow
async def test_a_cut_socket_is_resumed_and_a_restarted_server_is_found_again(
    tmp_path: Path,
) -> None:
    app = shop()
    path = str(tmp_path / "socket")
    heard: list[str] = []
    states: asyncio.Queue[str] = asyncio.Queue()
    async with serving(app, path=path) as (_, node):
        client = connect("ws://server/ws", unix=path, reconnect_interval=0.01)
        client.on("state", lambda state, previous: states.put_nowait(state))
        await client.open()
        chat = client.channel("chat:lobby", recover=True)
        chat.on("said", lambda data: heard.append(data["text"]))
        await chat.join()
        await chat.call("say", text="first")
        link = client._redial.link
        assert link is not None
        link.abort()
        await reached(states, "waiting")
        assert await chat.call("say", text="after the cut") == "AFTER THE CUT"
        assert len(node.sessions) == 1
    await reached(states, "waiting")
    for text in ("typed", "meanwhile"):
        assert await chat.send("say", text=text)
    call = asyncio.create_task(chat.call("say", text="asked meanwhile"))
    async with serving(app, path=path):
        assert await call == "ASKED MEANWHILE"
        assert client.state == "open"
        assert heard == ["first", "after the cut", "typed", "meanwhile", "asked meanwhile"]
        await client.close()
        assert client.state == "closed"


async def reached(states: asyncio.Queue[str], state: str) -> None:
    async with asyncio.timeout(5):
        while await states.get() != state:
            pass


async def test_a_server_that_stops_answering_is_given_up_and_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("anywire.client.link.CLOSING", 0.05)
    app = shop()
    async with serving(app, port=0) as (server, _):
        behind = server.addresses[0].port
        frozen = asyncio.Event()
        relays: list[asyncio.Task[None]] = []
        writers: list[asyncio.StreamWriter] = []

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            onward, back = await asyncio.open_connection("127.0.0.1", behind)
            is_first = not relays
            writers.extend((writer, back))

            async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                while data := await source.read(65536):
                    if is_first and frozen.is_set():
                        await asyncio.Event().wait()
                    sink.write(data)
                sink.close()

            relays.append(asyncio.create_task(pump(reader, back)))
            relays.append(asyncio.create_task(pump(onward, writer)))

        front = await asyncio.start_server(relay, "127.0.0.1", 0)
        async with front:
            url = f"ws://127.0.0.1:{front.sockets[0].getsockname()[1]}/ws"
            states: asyncio.Queue[str] = asyncio.Queue()
            async with connect(
                url, reconnect_interval=0.01, heartbeat_interval=0.05, heartbeat_timeout=0.05
            ) as client:
                client.on("state", lambda state, previous: states.put_nowait(state))
                chat = client.channel("chat:lobby")
                await chat.join()
                frozen.set()
                assert await chat.call("say", text="into the void") == "INTO THE VOID"
                await reached(states, "waiting")
        for task in relays:
            task.cancel()
        await asyncio.gather(*relays, return_exceptions=True)
        for end in writers:
            end.close()
            await end.wait_closed()


async def test_nobody_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    client = connect("ws://server/ws", unix=str(tmp_path / "nobody"), reconnect_interval=0.01)
    with pytest.raises(
        AnywireError, match=r"no connection to ws://server/ws within 0.05 s: .*No such"
    ):
        await client.open(timeout=0.05)
