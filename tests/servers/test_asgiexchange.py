"""One request of an ASGI host and its response, as a carrier sees them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from anywire.core.stepping import Stepper
from anywire.errors import Closed
from anywire.servers.asgiexchange import AsgiExchange, path_of, request_of, user_of
from anywire.servers.exchange import AHEAD
from anywire.servers.guest import Message, Receive, Send
from anywire.servers.static import Reply
from anywire.wires.base import Hello
from tests.core.support import turns
from tests.servers.asgihost import Line, Scope, http, websocket

HALF = b"x" * (AHEAD // 2 + 1)


@asynccontextmanager
async def begun(
    scope: Scope, scopes: dict[bytes, Scope] | None = None
) -> AsyncIterator[tuple[AsgiExchange, Line]]:
    """An exchange that runs, and its host."""
    made: asyncio.Future[AsgiExchange] = asyncio.get_running_loop().create_future()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        exchange = AsgiExchange(scope, receive, send, Stepper(), scopes)
        made.set_result(exchange)
        await exchange.run()

    line = Line(app, scope)
    try:
        yield await made, line
    finally:
        line.task.cancel()
        await asyncio.gather(line.task, return_exceptions=True)


def post(path: str = "/", **more: Any) -> Scope:
    """A request whose body has no length."""
    chunked = [(b"host", b"test"), (b"transfer-encoding", b"chunked")]
    return http(path, **{"method": "POST", "headers": chunked, **more})


def sized(size: int) -> Scope:
    """A request that says how long its body is."""
    return http(method="POST", headers=[(b"content-length", b"%d" % size)])


def status(line: Line) -> object:
    return line.said[0]["status"] if line.said else None


def body(line: Line) -> bytes:
    """What was said of the body, whole or not."""
    return b"".join(message["body"] for message in line.said[1:])


def is_whole(line: Line) -> bool:
    return bool(line.said) and line.said[-1].get("more_body") is False


# --- the request ----------------------------------------------------------------------------------


async def test_a_body_in_parts_is_read_as_it_comes() -> None:
    async with begun(post()) as (exchange, line):
        line.tell("http.request", body=b"one", more_body=True)
        assert await exchange.read() == b"one"
        assert not exchange.is_whole
        line.tell("http.request", body=b"two", more_body=True)
        line.tell("http.request", body=b"", more_body=True)
        line.tell("http.request", body=b"three")
        assert await exchange.body() == b"twothree"
        assert exchange.is_whole
        assert await exchange.read() == b""


async def test_a_body_that_fits_exactly_is_taken() -> None:
    async with begun(sized(6)) as (exchange, line):
        exchange.bound(6)
        line.tell("http.request", body=b"abc", more_body=True)
        line.tell("http.request", body=b"def")
        assert await exchange.body() == b"abcdef"
        assert line.said == []


async def test_a_body_over_the_limit_is_refused_by_its_length() -> None:
    async with begun(sized(7)) as (exchange, line):
        exchange.bound(6)
        await line.ended()
        assert (status(line), is_whole(line)) == (413, True)
        assert b"at most 6 bytes" in body(line)
        with pytest.raises(Closed):
            await exchange.body()


async def test_a_body_over_the_limit_is_refused_while_it_is_read() -> None:
    async with begun(post()) as (exchange, line):
        exchange.bound(6)
        reading = asyncio.create_task(exchange.body())
        line.tell("http.request", body=b"abcd", more_body=True)
        line.tell("http.request", body=b"efg", more_body=True)
        await line.ended()
        assert (status(line), is_whole(line), line.asked) == (413, True, 2)
        with pytest.raises(Closed):
            await reading


async def test_a_body_that_came_before_its_limit_was_known_is_refused_too() -> None:
    async with begun(post()) as (exchange, line):
        line.tell("http.request", body=b"abcdefg", more_body=True)
        await line.until(lambda: line.asked == 2)
        exchange.bound(6)
        await line.ended()
        assert status(line) == 413


async def test_a_host_is_asked_for_no_more_than_is_read() -> None:
    async with begun(post()) as (exchange, line):
        for _ in range(3):
            line.tell("http.request", body=HALF, more_body=True)
        await line.until(lambda: line.asked == 2)
        await turns()
        assert line.asked == 2
        assert len(await exchange.read()) == 2 * len(HALF)
        assert await exchange.read() == HALF
        await line.until(lambda: line.asked == 4)


async def test_a_client_that_leaves_inside_its_body_ends_all_waiting() -> None:
    async with begun(post()) as (exchange, line):
        reading = asyncio.create_task(exchange.body())
        gone = asyncio.create_task(exchange.gone())
        line.tell("http.request", body=b"abc", more_body=True)
        await line.until(lambda: line.asked == 2)
        line.tell("http.disconnect")
        await line.ended()
        assert exchange.is_gone
        async with asyncio.timeout(5):
            await gone
            with pytest.raises(Closed):
                await reading
        exchange.respond(Reply(200, [], b"to nobody"))
        exchange.start(200, [])
        exchange.write(b"to nobody")
        exchange.end()
        exchange.fail(500, "to nobody")
        await turns()
        assert line.said == []


async def test_a_body_that_nobody_reads_is_not_in_the_way_of_an_answer() -> None:
    async with begun(post()) as (exchange, line):
        line.tell("http.request", body=HALF + HALF, more_body=True)
        await line.until(lambda: line.asked == 1)
        await turns()
        exchange.respond(Reply(200, [], b"no need"))
        await line.ended()
        assert body(line) == b"no need"
        with pytest.raises(Closed):
            while await exchange.read():
                pass


# --- the response ---------------------------------------------------------------------------------


async def test_a_whole_answer_is_a_start_and_one_part() -> None:
    async with begun(http()) as (exchange, line):
        exchange.respond(Reply(201, [("X-A", "ü")], b"made"))
        await line.ended()
        headers = [(b"x-a", b"\xfc"), (b"content-length", b"4")]
        assert line.said == [
            {"type": "http.response.start", "status": 201, "headers": headers},
            {"type": "http.response.body", "body": b"made", "more_body": False},
        ]
        assert exchange.has_begun
        assert exchange.has_ended


async def test_the_first_answer_counts() -> None:
    async with begun(http()) as (exchange, line):
        exchange.respond(Reply(200, [], b"first"))
        exchange.respond(Reply(500, [], b"second"))
        exchange.write(b"late")
        exchange.end(b"late")
        exchange.fail(500, "late")
        with pytest.raises(ValueError, match="has begun"):
            exchange.start(500, [])
        await line.ended()
        assert (status(line), body(line)) == (200, b"first")


async def test_a_response_in_parts_is_said_part_by_part() -> None:
    async with begun(http()) as (exchange, line):
        gone = asyncio.create_task(exchange.gone())
        exchange.write(b"before the start, so never")
        exchange.start(200, [(b"Content-Type", b"text/plain")])
        exchange.write(b"one")
        exchange.write(b"")
        await exchange.drained()
        assert [message["type"] for message in line.said] == [
            "http.response.start",
            "http.response.body",
        ]
        assert not gone.done()
        exchange.write(b"two")
        exchange.end(b"three")
        await line.ended()
        await gone
        assert [(said["body"], said["more_body"]) for said in line.said[1:]] == [
            (b"one", True),
            (b"two", True),
            (b"three", False),
        ]


@pytest.mark.parametrize(
    ("scope", "code", "length"),
    [(http(method="HEAD"), 200, b"4"), (http(), 204, b"4"), (http(), 304, None)],
)
async def test_a_response_without_a_body_has_none(
    scope: Scope, code: int, length: bytes | None
) -> None:
    async with begun(scope) as (exchange, line):
        exchange.respond(Reply(code, [], b"body"))
        await line.ended()
        assert (status(line), body(line), is_whole(line)) == (code, b"", True)
        assert dict(line.said[0]["headers"]).get(b"content-length") == length


async def test_a_head_of_a_stream_is_its_start_and_its_end() -> None:
    async with begun(http(method="HEAD")) as (exchange, line):
        exchange.start(200, [])
        exchange.write(b"one")
        exchange.end(b"two")
        await line.ended()
        assert len(line.said) == 2
        assert is_whole(line)


async def test_drained_waits_for_a_slow_host() -> None:
    async with begun(http()) as (exchange, line):
        line.takes.clear()
        exchange.start(200, [])
        exchange.write(b"one")
        drained = asyncio.create_task(exchange.drained())
        await turns()
        assert not drained.done()
        line.takes.set()
        async with asyncio.timeout(5):
            await drained
        assert body(line) == b"one"
        async with asyncio.timeout(5):
            await exchange.drained()


async def test_drained_waits_for_no_client_that_is_gone() -> None:
    async with begun(http()) as (exchange, line):
        line.takes.clear()
        exchange.start(200, [])
        drained = asyncio.create_task(exchange.drained())
        await turns()
        line.tell("http.disconnect")
        async with asyncio.timeout(5):
            await drained
        await line.ended()
        assert line.said == []


async def test_the_request_is_over_once_the_host_has_taken_the_answer() -> None:
    async with begun(http()) as (exchange, line):
        line.takes.clear()
        exchange.respond(Reply(200, [], b"slowly"))
        await turns()
        assert exchange.has_ended
        assert not line.task.done()
        line.takes.set()
        await line.ended()
        assert body(line) == b"slowly"


@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_host_that_hung_up_is_a_client_that_is_gone(is_slow: bool) -> None:
    async with begun(http()) as (exchange, line):
        await line.until(lambda: line.asked == 1)
        exchange.start(200, [])
        await exchange.drained()
        gone = asyncio.create_task(exchange.gone())
        await turns()
        if is_slow:
            line.takes.clear()
            exchange.write(b"one")
            line.task.get_loop().call_soon(line.takes.set)
            await exchange.drained()
        line.breaks = True
        exchange.write(b"two")
        async with asyncio.timeout(5):
            await gone
            await exchange.drained()
        assert exchange.is_gone
        await line.ended()
        line.breaks = False
        exchange.write(b"three")
        await turns()
        assert body(line) == (b"one" if is_slow else b"")


async def test_a_host_that_hangs_up_on_the_last_part_ends_the_request() -> None:
    async with begun(http()) as (exchange, line):
        line.breaks = True
        exchange.respond(Reply(200, [], b"to nobody"))
        await line.ended()
        assert line.said == []


async def test_a_failure_is_an_answer_while_nothing_was_said() -> None:
    async with begun(http()) as (exchange, line):
        exchange.fail(503, "the server stops")
        await line.ended()
        assert (status(line), body(line)) == (503, b"the server stops\n")
        assert is_whole(line)
        assert exchange.is_gone


async def test_a_failure_inside_a_response_leaves_it_unfinished() -> None:
    async with begun(http()) as (exchange, line):
        exchange.start(200, [])
        exchange.write(b"half")
        exchange.fail(500, "oops")
        await line.ended()
        assert body(line) == b"half"
        assert not is_whole(line)


async def test_an_abort_says_nothing_more_even_to_a_host_that_takes_nothing() -> None:
    async with begun(http()) as (exchange, line):
        line.takes.clear()
        exchange.respond(Reply(200, [], b"slowly"))
        await turns()
        exchange.abort()
        await line.ended()
        assert line.said == []


# --- a WebSocket that is refused ------------------------------------------------------------------


async def test_a_refused_websocket_gets_an_http_answer_where_the_host_can() -> None:
    async with begun(websocket()) as (exchange, line):
        exchange.respond(Reply(404, [("X-A", "b")], b"nothing"))
        await line.ended()
        headers = [(b"x-a", b"b"), (b"content-length", b"7")]
        assert line.said == [
            {"type": "websocket.http.response.start", "status": 404, "headers": headers},
            {"type": "websocket.http.response.body", "body": b"nothing", "more_body": False},
        ]


@pytest.mark.parametrize("extensions", [{}, None])
async def test_a_refused_websocket_is_the_hosts_403_where_it_cannot(extensions: object) -> None:
    async with begun(websocket(extensions=extensions)) as (exchange, line):
        exchange.respond(Reply(404, [], b"nothing"))
        await line.ended()
        [said] = line.said
        assert said["type"] == "websocket.close"


async def test_a_client_that_leaves_before_it_is_accepted_is_gone() -> None:
    async with begun(websocket()) as (exchange, line):
        line.tell("websocket.disconnect", code=1006)
        await line.ended()
        assert exchange.is_gone
        exchange.respond(Reply(404, []))
        assert line.said == []


# --- what a scope says ----------------------------------------------------------------------------


def test_a_request_is_read_as_our_own_server_reads_it() -> None:
    scope = http("/a b/é", raw_path=b"/a%20b/%C3%A9", query_string=b"x=1", http_version="2")
    scope["headers"] = [(b"Host", b"test"), (b"Content-Length", b"5")]
    request = request_of(scope)
    assert (request.method, request.version, request.upgrade) == ("GET", "2", False)
    assert (request.path, request.raw_path) == ("/a b/é", b"/a%20b/%C3%A9")
    assert (request.query, request.target) == (b"x=1", b"/a%20b/%C3%A9?x=1")
    assert request.headers == [(b"host", b"test"), (b"content-length", b"5")]
    assert request.length == 5


def test_what_a_host_may_leave_out_is_made_up_for() -> None:
    scope = {"type": "websocket", "path": "/a b", "headers": []}
    request = request_of(scope)
    assert (request.method, request.version, request.upgrade) == ("GET", "1.1", True)
    assert (request.raw_path, request.target, request.query) == (b"/a%20b", b"/a%20b", b"")
    assert request.length == 0


@pytest.mark.parametrize(
    ("header", "length"),
    [
        ((b"transfer-encoding", b"chunked"), None),
        ((b"content-length", b"-1"), None),
        ((b"content-length", b"12"), 12),
    ],
)
def test_the_length_of_a_body_is_what_the_host_says(
    header: tuple[bytes, bytes], length: int | None
) -> None:
    assert request_of(http(headers=[header])).length == length


@pytest.mark.parametrize(
    ("root", "path", "below"),
    [
        ("", "/ws", "/ws"),
        ("/live", "/live/ws", "/ws"),
        ("/live/", "/live/ws", "/ws"),
        ("/live", "/ws", "/ws"),
        ("/live", "/livewire", "/livewire"),
        ("/live", "/live", "/"),
        ("/live", "/live/", "/"),
        ("", "", "/"),
    ],
)
def test_a_path_is_taken_below_the_mount(root: str, path: str, below: str) -> None:
    assert path_of(http(path, root_path=root)) == below


def test_a_slash_that_a_framework_put_behind_a_path_is_no_part_of_it() -> None:
    assert path_of(http("/ws/", raw_path=b"/ws")) == "/ws"
    assert path_of(http("/ws/", raw_path=b"/ws/")) == "/ws/"


@pytest.mark.parametrize(
    ("scheme", "is_secure"), [("http", False), ("ws", False), ("https", True), ("wss", True)]
)
async def test_who_asks_and_over_what_is_what_the_host_says(scheme: str, is_secure: bool) -> None:
    async with begun(http(scheme=scheme)) as (exchange, _):
        assert (exchange.remote, exchange.is_secure) == ("192.0.2.1", is_secure)
    async with begun(http(client=None)) as (exchange, _):
        assert exchange.remote == ""


@dataclass
class Known:
    """A user as frameworks have them."""

    pk: object = None
    id: object = None
    username: object = None
    is_authenticated: bool = True

    @property
    def identity(self) -> str:
        """Left out by the framework."""
        raise NotImplementedError


@pytest.mark.parametrize(
    ("known", "id"),
    [
        (None, None),
        (object(), None),
        (Known(), None),
        (Known(pk=0), "0"),
        (Known(pk=7, id="x", username="ada"), "7"),
        (Known(id=UUID(int=1)), "00000000-0000-0000-0000-000000000001"),
        (Known(id="", username="ada"), "ada"),
        (Known(pk=b"7", username="ada"), "ada"),
        (Known(pk=7, is_authenticated=False), None),
    ],
)
def test_a_user_of_the_framework_is_taken_by_a_name_that_is_its_alone(
    known: object, id: str | None
) -> None:
    user = user_of(http(user=known))
    assert (None if user is None else user.id) == id


async def test_a_hello_knows_the_user_and_its_scope_until_the_request_is_over() -> None:
    scopes: dict[bytes, Scope] = {}
    scope = http(user=Known(pk=7))
    async with begun(scope, scopes) as (exchange, line):
        hello = Hello(seed=b"seed")
        exchange.greet(hello)
        assert hello.user is not None
        assert hello.user.id == "7"
        assert scopes == {b"seed": scope}
        exchange.respond(Reply(200, []))
        await line.ended()
        assert scopes == {}
