"""Requests and responses under an ASGI host."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from anywire.core.stepping import Stepper
from anywire.errors import Closed
from anywire.servers.asgiexchange import AsgiExchange, path_of, request_of, user_of
from anywire.servers.carry import whole
from anywire.servers.exchange import AHEAD
from anywire.servers.guest import Message, Receive, Send
from anywire.servers.static import Reply, text
from anywire.wires.base import Hello, User
from tests.servers.asgihost import Line, Scope, http, websocket

Answer = Callable[[AsgiExchange], Coroutine[Any, Any, None]]


def line(answer: Answer, scope: Scope | None = None) -> Line:
    """A connection that this answers."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        exchange = AsgiExchange(scope, receive, send, Stepper())
        answering = asyncio.create_task(answer(exchange))
        await exchange.run()
        await answering

    return Line(app, http() if scope is None else scope)


def body(said: list[Message]) -> bytes:
    return b"".join(message["body"] for message in said[1:])


async def test_a_reply_is_a_start_and_a_body_with_its_length() -> None:
    async def answer(exchange: AsgiExchange) -> None:
        exchange.respond(Reply(200, [("X-A", "1")], b"hello"))
        exchange.respond(Reply(500, []))
        exchange.write(b"more")
        exchange.end()

    held = line(answer)
    await held.ended()
    start, part = held.said
    assert start["status"] == 200
    assert start["headers"] == [(b"x-a", b"1"), (b"content-length", b"5")]
    assert part == {"type": "http.response.body", "body": b"hello", "more_body": False}


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304), ("GET", 204)])
async def test_a_response_without_a_body_has_none(method: str, status: int) -> None:
    async def answer(exchange: AsgiExchange) -> None:
        exchange.respond(Reply(status, [], b"hello"))

    held = line(answer, http(method=method))
    await held.ended()
    assert body(held.said) == b""


async def test_a_long_response_waits_for_its_host() -> None:
    async def answer(exchange: AsgiExchange) -> None:
        exchange.start(200, [("Content-Type", "text/plain")])
        with pytest.raises(ValueError, match="has begun"):
            exchange.start(200, [])
        for number in range(3):
            exchange.write(b"%d" % number)
            await exchange.drained()
        exchange.write(b"")
        exchange.end(b"!")

    held = line(answer)
    held.takes.clear()
    await held.until(lambda: held.asked)
    assert held.said == []
    held.takes.set()
    await held.ended()
    assert body(held.said) == b"012!"


async def test_parts_that_are_written_together_are_one_message_and_headers_are_added() -> None:
    async def answer(exchange: AsgiExchange) -> None:
        exchange.headers = [("X-Added", "2")]
        exchange.start(200, [("X-A", "1")])
        exchange.write(b"a", b"", b"bc")
        exchange.write()
        exchange.end()

    held = line(answer)
    await held.ended()
    start, first, last = held.said
    assert start["headers"] == [(b"x-a", b"1"), (b"x-added", b"2")]
    assert (first["body"], last["body"], last["more_body"]) == (b"abc", b"", False)


async def test_what_is_kept_is_answered_later() -> None:
    told: list[bool] = []
    kept: asyncio.Future[AsgiExchange] = asyncio.get_running_loop().create_future()

    async def answer(exchange: AsgiExchange) -> None:
        assert not exchange.is_kept
        exchange.keep(lambda: told.append(exchange.is_gone))
        kept.set_result(exchange)

    held = line(answer)
    exchange = await kept
    assert exchange.is_kept and not exchange.is_full
    held.takes.clear()
    exchange.start(200, [])
    exchange.write(b"on its way")
    assert exchange.is_full
    held.takes.set()
    await held.until(lambda: len(held.said) == 2)
    assert told == [False]  # the host has taken all
    exchange.end()
    await held.ended()
    assert body(held.said) == b"on its way"


async def test_who_keeps_a_request_is_told_when_its_client_is_gone() -> None:
    told: list[bool] = []
    kept = asyncio.Event()

    async def answer(exchange: AsgiExchange) -> None:
        exchange.keep(lambda: told.append(exchange.is_gone))
        kept.set()

    held = line(answer)
    await kept.wait()
    held.tell("http.disconnect")
    await held.ended()
    assert told == [True]


async def test_a_body_is_read_in_parts_as_fast_as_it_is_wanted() -> None:
    parts: list[bytes] = []
    may_read = asyncio.Event()

    async def answer(exchange: AsgiExchange) -> None:
        exchange.bound(10 * AHEAD)
        await may_read.wait()
        while part := await exchange.read():
            parts.append(part)
        assert exchange._incoming.is_whole
        exchange.respond(text(200, "thanks"))

    held = line(answer, http(method="POST", headers=[(b"transfer-encoding", b"chunked")]))
    for _ in range(4):
        held.tell("http.request", body=b"x" * AHEAD, more_body=True)
    held.tell("http.request", body=b"", more_body=False)
    await held.until(lambda: held.asked == 2)
    may_read.set()
    await held.ended()
    assert sum(map(len, parts)) == 4 * AHEAD


@pytest.mark.parametrize("length", [b"11", None])
async def test_a_body_over_the_bound_is_refused(length: bytes | None) -> None:
    headers = [] if length is None else [(b"content-length", length)]

    async def answer(exchange: AsgiExchange) -> None:
        exchange.bound(10)
        if not exchange.is_gone:
            with pytest.raises(Closed):
                await whole(exchange)

    held = line(answer, http(method="POST", headers=headers))
    if length is None:
        held.tell("http.request", body=b"x" * 6, more_body=True)
        held.tell("http.request", body=b"x" * 6, more_body=True)
    await held.ended()
    assert held.said[0]["status"] == 413
    assert body(held.said) == b"a body has at most 10 bytes here\n"


async def test_a_client_that_leaves_ends_reads_and_waits() -> None:
    ended = []

    async def answer(exchange: AsgiExchange) -> None:
        with pytest.raises(Closed):
            await whole(exchange)
        await exchange.gone()
        exchange.respond(text(200, "to nobody"))
        exchange.start(200, [])
        exchange.write(b"to nobody")
        exchange.end()
        exchange.fail(500, "to nobody")
        await exchange.drained()
        ended.append(exchange.is_gone)

    held = line(answer)
    held.tell("http.request", body=b"a", more_body=True)
    held.tell("http.disconnect")
    await held.ended()
    assert (held.said, ended) == ([], [True])


async def test_who_waits_for_the_end_hears_that_the_response_is_whole() -> None:
    async def answer(exchange: AsgiExchange) -> None:
        waiting = asyncio.create_task(exchange.gone())
        await asyncio.sleep(0)
        exchange.respond(text(200, "done"))
        await waiting
        assert exchange.has_ended and not exchange.is_gone

    await line(answer).ended()


async def test_a_failure_is_said_if_nothing_was_and_else_breaks_off() -> None:
    async def before(exchange: AsgiExchange) -> None:
        exchange.fail(500, "sorry")

    async def after(exchange: AsgiExchange) -> None:
        exchange.start(200, [])
        exchange.write(b"half")
        exchange.fail(500, "sorry")

    held = line(before)
    await held.ended()
    assert (held.said[0]["status"], body(held.said)) == (500, b"sorry\n")
    held = line(after)
    await held.ended()
    assert (body(held.said), held.said[-1]["more_body"]) == (b"half", True)


async def test_a_host_that_breaks_is_a_client_that_left() -> None:
    async def answer(exchange: AsgiExchange) -> None:
        exchange.start(200, [])
        await exchange.gone()
        assert exchange.is_gone

    held = line(answer)
    held.breaks = True
    await held.ended()


async def test_a_websocket_is_refused_with_a_response_where_the_host_has_that() -> None:
    async def answer(exchange: AsgiExchange) -> None:
        exchange.respond(text(404, "nothing is here"))

    held = line(answer, websocket())
    await held.ended()
    assert [message["type"] for message in held.said] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    held = line(answer, websocket(extensions=None))
    await held.ended()
    assert held.said == [{"type": "websocket.close", "code": 1008, "reason": ""}]


async def test_what_the_host_said_is_known_until_the_end() -> None:
    scopes: dict[bytes, Message] = {}
    scope = http(user=SimpleNamespace(id=7))

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        exchange = AsgiExchange(scope, receive, send, Stepper(), scopes)
        hello = Hello(seed=b"seed")
        exchange.greet(hello)
        assert hello.user == User("7")
        assert scopes == {b"seed": scope}
        exchange.respond(text(200, "hello"))
        await exchange.run()

    await Line(app, scope).ended()
    assert scopes == {}


class Nameless:
    is_authenticated = True

    @property
    def identity(self) -> str:
        raise NotImplementedError

    username = "ana"


@pytest.mark.parametrize(
    ("known", "user"),
    [
        (None, None),
        (SimpleNamespace(is_authenticated=False, pk=1), None),
        (SimpleNamespace(pk=1, id=2), User("1")),
        (SimpleNamespace(id=UUID(int=1)), User(str(UUID(int=1)))),
        (SimpleNamespace(identity="ana@a.example"), User("ana@a.example")),
        (Nameless(), User("ana")),
        (SimpleNamespace(username=""), None),
        ("a name alone", None),
        ({"id": 1}, None),
    ],
)
def test_the_frameworks_user_is_known_by_a_name_of_its_own(known: Any, user: User | None) -> None:
    assert user_of(http(user=known)) == user


@pytest.mark.parametrize(
    ("path", "root", "raw", "ours"),
    [
        ("/ws", "", None, "/ws"),
        ("/rt/ws", "/rt", None, "/ws"),
        ("/ws", "/rt", None, "/ws"),
        ("/rt", "/rt", None, "/"),
        ("/rtx/ws", "/rt", None, "/rtx/ws"),
        ("/a/b/ws", "/a/b/", None, "/ws"),
        ("", "", None, "/"),
        ("/ws/", "", b"/rt/ws", "/ws"),
        ("/ws/", "", b"/rt/ws/", "/ws/"),
    ],
)
def test_the_path_is_below_the_mount(path: str, root: str, raw: bytes | None, ours: str) -> None:
    assert path_of(http(path, root_path=root, raw_path=raw)) == ours


def test_a_request_is_as_our_own_server_would_have_read_it() -> None:
    scope = http("/é x", raw_path=None, query_string=b"a=1", headers=[(b"Host", b"h")])
    request = request_of(scope)
    assert (request.raw_path, request.query) == (b"/%C3%A9%20x", b"a=1")
    assert (request.target, request.header("host")) == (b"/%C3%A9%20x?a=1", "h")
    assert (request.length, request.upgrade) == (0, False)
    assert request_of(websocket("/raw/echo", headers=[])).upgrade
