"""HTTP requests of the client: against servers that say whatever they like."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme

from anywire.client.http import Asking, Way
from anywire.errors import AnywireError, ProtocolError, Refused
from anywire.net.handshake import parse_url

pytestmark = pytest.mark.net

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Heard:
    """The requests that a server heard, and how many connections it had."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.gone = asyncio.Event()

    def server(self, *answers: bytes, stays: bool = True) -> Serve:
        """Answers one after the other; then it hangs up, or waits for its client to do it."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                for answer in answers:
                    head = await reader.readuntil(b"\r\n\r\n")
                    self.heads.append(head)
                    size = 0
                    for line in head.lower().split(b"\r\n"):
                        if line.startswith(b"content-length: "):
                            size = int(line.split(b" ")[1])
                    self.bodies.append(await reader.readexactly(size))
                    writer.write(answer)
                if stays:
                    await reader.read()
            self.gone.set()

        return serve


@asynccontextmanager
async def serving(
    serve: Serve, context: ssl.SSLContext | None = None, *, unix: str | None = None
) -> AsyncIterator[int]:
    """A server's port, if it has one; when it ends, it has nobody to serve any more."""
    running: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(handle(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await serve(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    if unix is not None:
        server = await asyncio.start_unix_server(connected, unix)
    else:
        server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    async with server:
        yield 0 if unix is not None else server.sockets[0].getsockname()[1]
    if running:
        await asyncio.wait(running)


def asking(
    port: int,
    *,
    headers: dict[str, str] | None = None,
    fresh: bool = False,
    max_answer: int = 1000,
    scheme: str = "http",
    userinfo: str = "",
    way: Way | None = None,
) -> Asking:
    target = parse_url(f"{scheme}://{userinfo}127.0.0.1:{port}/ignored")
    pairs = list((headers or {}).items())
    return Asking(way or Way(), target, pairs, fresh=fresh, max_answer=max_answer)


async def test_one_connection_serves_one_request_after_the_other() -> None:
    heard = Heard()
    async with serving(heard.server(OK, OK, OK)) as port:
        server = asking(port, headers={"Cookie": "a=1"})
        for number in range(2):
            answer = await server.ask("GET", f"/poll?n={number}")
            assert (answer.status, answer.headers) == (200, [("content-length", "2")])
            assert answer.body == b"ok"
        await server.ask("POST", "/post", b"body")
        server.abort()
        await heard.gone.wait()
    assert heard.connections == 1
    assert heard.bodies == [b"", b"", b"body"]
    host = f"Host: 127.0.0.1:{port}\r\n".encode()
    assert heard.heads[0] == b"GET /poll?n=0 HTTP/1.1\r\n" + host + b"Cookie: a=1\r\n\r\n"
    post = b"Content-Type: application/octet-stream\r\nContent-Length: 4\r\n\r\n"
    assert heard.heads[2] == b"POST /post HTTP/1.1\r\n" + host + b"Cookie: a=1\r\n" + post


async def test_a_fresh_connection_serves_one_request_alone() -> None:
    heard = Heard()
    async with serving(heard.server(OK)) as port:
        server = asking(port, fresh=True)
        for _ in range(3):
            await server.ask("GET", "/")
            await heard.gone.wait()
    assert heard.connections == 3
    assert b"Connection: close\r\n" in heard.heads[0]


async def test_a_connection_that_is_not_kept_is_followed_by_another() -> None:
    heard = Heard()
    last = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with serving(heard.server(last)) as port:
        server = asking(port)
        for _ in range(2):
            await server.ask("GET", "/")
        server.abort()
    assert heard.connections == 2


async def test_a_connection_that_is_lost_between_two_requests_is_followed_by_another() -> None:
    heard = Heard()
    async with serving(heard.server(OK, stays=False)) as port:
        server = asking(port)
        await server.ask("GET", "/")
        connection = server._connection
        assert connection is not None
        await heard.gone.wait()
        for _ in range(1000):
            if not connection.is_usable:
                break
            await asyncio.sleep(0)
        assert (await server.ask("GET", "/")).status == 200
    assert heard.connections == 2


@pytest.mark.parametrize(
    ("said", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", 200, b"ab"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" + OK, 200, b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2 + OK, 200, b"ok"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n", 404, b"no\n"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    ],
)
async def test_an_answer_is_read_however_it_is_framed(
    said: bytes, status: int, body: bytes
) -> None:
    async with serving(Heard().server(said)) as port:
        server = asking(port)
        answer = await server.ask("GET", "/")
        server.abort()
    assert (answer.status, answer.body) == (status, body)
    assert ("a", "b") not in answer.headers


async def test_an_answer_may_come_byte_by_byte() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for byte in OK:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    async with serving(trickle) as port:
        server = asking(port)
        assert (await server.ask("GET", "/")).body == b"ok"
        server.abort()


@pytest.mark.parametrize(
    ("said", "error", "text"),
    [
        (b"SSH-2.0-OpenSSH\r\n", ProtocolError, "not HTTP"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            ProtocolError,
            "not HTTP",
        ),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 17_000, ProtocolError, "head"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001, ProtocolError, "1000"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"3e8\r\n"
            + b"x" * 1000
            + b"\r\n3e8\r\n"
            + b"x" * 1000
            + b"\r\n0\r\n\r\n",
            ProtocolError,
            "1000",
        ),
        (b"", ConnectionError, "hung up"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", ConnectionError, "hung up"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", ConnectionError, "hung up"),
    ],
)
async def test_an_answer_that_cannot_be_whole_is_an_error(
    said: bytes, error: type[Exception], text: str
) -> None:
    async with serving(Heard().server(said, stays=False)) as port:
        server = asking(port)
        with pytest.raises(error, match=text):
            await server.ask("GET", "/")


async def test_a_body_that_is_too_large_says_so_by_its_code() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001
    async with serving(Heard().server(said)) as port:
        with pytest.raises(ProtocolError) as caught:
            await asking(port).ask("GET", "/")
    assert caught.value.code == 1009


async def test_what_nobody_asked_for_ends_the_connection() -> None:
    heard = Heard()
    async with serving(heard.server(OK + OK)) as port:
        server = asking(port)
        assert (await server.ask("GET", "/")).body == b"ok"
        connection = server._connection
        assert connection is not None
        connection.data_received(b"HTTP/1.1")
        assert not connection.is_usable
        await heard.gone.wait()


async def test_an_answer_is_read_as_it_comes() -> None:
    step = asyncio.Event()
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            for data in (chunked, b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"):
                writer.write(data)
                await step.wait()
                step.clear()
        await reader.read()

    async with serving(slow) as port:
        server = asking(port)
        for _ in range(2):
            answer = await server.begin("GET", "/")
            assert (answer.status, answer.headers) == (200, [("transfer-encoding", "chunked")])
            parts = []
            step.set()
            while part := await answer.part():
                parts.append(part)
                step.set()
            assert parts == [b"one", b"two"]
            assert await answer.part() == b""
            step.set()
        server.abort()


async def test_an_answer_that_breaks_is_read_as_far_as_it_came() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"
    async with serving(Heard().server(said, stays=False)) as port:
        answer = await asking(port).begin("GET", "/")
        assert await answer.part() == b"abc"
        for _ in range(2):
            with pytest.raises(ConnectionError, match="hung up"):
                await answer.part()


async def test_a_reading_that_is_cancelled_leaves_nothing_open() -> None:
    heard = Heard()
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    async with serving(heard.server(said)) as port:
        answer = await asking(port).begin("GET", "/")
        reading = asyncio.create_task(answer.part())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await heard.gone.wait()


async def test_what_nobody_reads_is_left_on_the_network() -> None:
    size = 4 * 1024 * 1024
    said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
    async with serving(Heard().server(said)) as port:
        server = asking(port, max_answer=size)
        answer = await server.begin("GET", "/")
        connection = server._connection
        assert connection is not None
        for _ in range(10_000):
            await asyncio.sleep(0)
            if connection._is_paused:
                break
        held = len(connection._body)
        for _ in range(10):
            await asyncio.sleep(0)
        assert held == len(connection._body) < size / 2
        assert len((await answer.whole(size)).body) == size
        server.abort()


async def test_an_answer_too_many_ends_the_connection() -> None:
    heard = Heard()
    async with serving(heard.server(OK + OK)) as port:
        server = asking(port)
        for _ in range(2):
            assert (await server.ask("GET", "/")).body == b"ok"
        server.abort()
    assert heard.connections == 2


async def test_nobody_there_is_an_oserror() -> None:
    async with serving(Heard().server()) as port:
        pass
    with pytest.raises(OSError, match=r"."):
        await asking(port).ask("GET", "/")


async def test_a_cancelled_request_leaves_nothing_open() -> None:
    heard = Heard()
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await heard.server()(reader, writer)

    async with serving(silent) as port:
        server = asking(port)
        task = asyncio.create_task(server.ask("GET", "/"))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await heard.gone.wait()


async def test_a_connection_given_up_while_it_is_made_is_not_kept() -> None:
    heard = Heard()
    async with serving(heard.server(OK)) as port:
        server = asking(port)
        task = asyncio.create_task(server.ask("GET", "/"))
        await asyncio.sleep(0)
        server.abort()
        with pytest.raises(ConnectionError):
            await task


async def test_headers_of_the_caller_win_and_those_of_the_connection_are_not_theirs() -> None:
    heard = Heard()
    async with serving(heard.server(OK)) as port:
        server = asking(port, headers={"Host": "other.test"}, userinfo="ana:s%C3%A9cret@")
        await server.ask("GET", "/")
        server.abort()
        with pytest.raises(Refused, match="content-length"):
            asking(port, headers={"Content-Length": "3"})
        with pytest.raises(Refused, match="cannot be asked for"):
            asking(port, headers={"X": "a\r\nb"})
        with_token = asking(port, headers={"authorization": "Bearer t"}, userinfo="ana:pw@")
        await with_token.ask("GET", "/")
        with_token.abort()
    assert b"Host: other.test\r\n" in heard.heads[0]
    assert b"Authorization: Basic YW5hOnPDqWNyZXQ=\r\n" in heard.heads[0]
    assert heard.heads[0].count(b"Host") == 1
    assert b"Basic" not in heard.heads[1] and b"Bearer t" in heard.heads[1]


async def test_tls_is_verified_and_the_name_may_be_given() -> None:
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("server.test").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    async with serving(Heard().server(OK), theirs) as port:
        way = Way(ssl=ours, server_hostname="server.test")
        server = asking(port, scheme="https", way=way)
        assert (await server.ask("GET", "/")).body == b"ok"
        server.abort()
        for wrong in (Way(), Way(ssl=ours)):
            with pytest.raises(ssl.SSLError):
                await asking(port, scheme="wss", way=wrong).ask("GET", "/")


async def test_a_unix_socket_is_connected_to_whatever_the_url_names(tmp_path: Path) -> None:
    path = str(tmp_path / "server")
    async with serving(Heard().server(OK), unix=path):
        server = asking(1, way=Way(unix=path))
        assert (await server.ask("GET", "/")).body == b"ok"
        server.abort()


async def test_a_proxy_leads_there(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    established = b"HTTP/1.1 200 Connection established\r\n\r\n"
    async with serving(heard.server(established, OK)) as port:
        server = asking(1, way=Way(proxy=f"http://127.0.0.1:{port}"))
        assert (await server.ask("GET", "/")).body == b"ok"
        server.abort()
        assert heard.heads[0].startswith(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        named = asking(1, way=Way(proxy="env"))
        assert (await named.ask("GET", "/")).body == b"ok"
        named.abort()


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="one of the two"):
        Way(proxy="http://p:1", unix="/run/x")
    with pytest.raises(AnywireError):
        Way(proxy="ftp://p")
