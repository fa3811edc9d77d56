"""Requests over real HTTP: how sessions open, go on and end by them, and what is refused."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from anywire.core.node import Authenticate, Node
from anywire.core.session import Session
from anywire.errors import Refused
from anywire.limits import Limits
from anywire.payload import Carrier, Payload
from anywire.servers.tcp import Server
from anywire.transports.http import HttpTransport
from anywire.wires.anywire import Own
from anywire.wires.base import Answer, Hello, Opening, User
from tests.servers.hub import HAND, hub
from tests.servers.oddly import odd
from tests.servers.serving import (
    Dialed,
    Said,
    dial,
    frame,
    make_node,
    request,
    serving,
    upgrade,
)
from tests.wires.strangers.odd import Odd

pytestmark = pytest.mark.net


def messages(said: Said) -> list[dict[str, Any]]:
    assert said.status == 200, said
    return [json.loads(text) for text in said.body.decode().split("\x1e") if text]


async def until(condition: Callable[[], bool]) -> None:
    """Give the server turns until it holds; five seconds are too many."""
    end = asyncio.get_running_loop().time() + 5
    while not condition():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0)


@dataclass(slots=True)
class Client:
    """A session on long polls, written out by hand; `asks` polls, `says` posts."""

    node: Node
    asks: Dialed
    says: Dialed
    query: str = ""
    session: str = ""
    token: str = ""
    rest: list[dict[str, Any]] = field(default_factory=list)
    """What came with the welcome."""
    path: str = "/ws/poll"

    async def open(self, query: str = "") -> dict[str, Any]:
        """Open, or resume; the welcome."""
        self.asks.send(request(f"{self.path}?{query}"))
        welcome, *self.rest = messages(await self.asks.answer())
        assert welcome["type"] == "welcome"
        self.session, self.token = welcome["session"], welcome["token"]
        self.query = f"session={self.session}&resume={self.token}"
        return welcome

    async def resume(self, received: int) -> dict[str, Any]:
        return await self.open(f"{self.query}&received={received}")

    def ask(self, more: str = "") -> None:
        self.asks.send(request(f"{self.path}?{self.query}{more}"))

    async def poll(self, more: str = "") -> list[dict[str, Any]]:
        self.ask(more)
        return messages(await self.asks.answer())

    async def post(self, *said: object, more: str = "") -> int:
        """The status of an answer to these messages."""
        body = "\x1e".join(json.dumps(one) for one in said).encode()
        self.says.send(request(f"{self.path}?{self.query}{more}", method="POST", body=body))
        return (await self.says.answer()).status

    async def join(self) -> None:
        assert await self.post({"type": "join", "ref": 1, "address": "echo"}) == 204
        (joined,) = await self.poll()
        assert joined["type"] == "joined"

    @property
    def standing(self) -> Session:
        return self.node.sessions[self.session]

    async def settled(self, *, is_attached: bool) -> None:
        """Wait for the server to see that."""
        await until(lambda: self.standing.is_attached is is_attached)


def event(text: str) -> dict[str, object]:
    return {"type": "event", "address": "echo", "event": "message", "data": text}


@asynccontextmanager
async def polling(
    limits: Limits | None = None, authenticate: Authenticate | None = None
) -> AsyncIterator[tuple[Server, Client]]:
    node = make_node(limits=limits, authenticate=authenticate)
    async with (
        serving(node=node, wires=[Own("/ws")]) as server,
        dial(server) as asks,
        dial(server) as says,
    ):
        yield server, Client(node, asks, says)


async def test_the_first_poll_opens_a_session_and_is_answered_at_once() -> None:
    async with polling() as (_, client):
        welcome = await client.open()
        assert not welcome["resumed"] and welcome["received"] == 0
        assert client.standing.is_attached


async def test_an_answer_is_for_nobody_else_and_not_to_be_kept() -> None:
    async with polling() as (_, client):
        client.asks.send(request("/ws/poll"))
        headers = (await client.asks.answer()).headers
        assert headers["cache-control"] == "no-store, no-transform"
        assert headers["content-type"] == "application/octet-stream"
        assert headers["x-content-type-options"] == "nosniff"
        assert "x-anywire-close" not in headers


async def test_what_is_posted_is_heard_and_its_answer_is_polled() -> None:
    async with polling() as (_, client):
        await client.open()
        await client.join()
        client.ask()
        assert await client.post(event("one"), event("two")) == 204
        heard = messages(await client.asks.answer())
        while len(heard) < 2:
            heard += await client.poll()
        assert [one["data"] for one in heard] == ["one", "two"]


async def test_a_poll_waits_and_is_answered_empty_in_time() -> None:
    async with polling(Limits(poll=0.05, beat=0)) as (_, client):
        await client.open()
        assert await client.poll() == []
        assert await client.poll() == []
        assert client.standing.is_attached


async def test_messagepack_has_bodies_of_its_own() -> None:
    async with polling() as (_, client):
        client.asks.send(request("/ws/poll?protocol=anywire.msgpack.1"))
        body = (await client.asks.answer()).body
        assert int.from_bytes(body[:4], "big") == len(body) - 4
        assert body[5:].startswith(b"\xa4type\xa7welcome")


async def test_who_does_not_poll_in_time_is_detached_and_may_resume() -> None:
    async with polling(Limits(poll_gap=0.05)) as (_, client):
        await client.open()
        await client.join()
        await client.settled(is_attached=False)
        client.ask()
        said = await client.asks.answer()
        assert (said.status, said.body) == (404, b"the session waits for a resume\n")
        assert await client.post(event("unheard")) == 404
        old = client.query
        welcome = await client.resume(received=1)
        assert welcome["resumed"] and welcome["received"] == 1
        assert client.query != old
        client.ask()
        assert await client.post(event("heard")) == 204
        assert [one["data"] for one in messages(await client.asks.answer())] == ["heard"]


async def test_what_a_lost_answer_carried_comes_again_after_a_resume() -> None:
    async with polling() as (server, client):
        await client.open()
        await client.join()
        async with dial(server) as lost:
            lost.send(request(f"/ws/poll?{client.query}"))
            assert await client.post(event("once"), event("twice")) == 204
            await lost.answer()  # and nobody gets it
        welcome = await client.resume(received=1)
        assert (welcome["resumed"], welcome["received"]) == (True, 3)
        assert [one["data"] for one in client.rest] == ["once", "twice"]


async def test_a_client_that_hangs_up_while_it_waits_may_ask_again() -> None:
    async with polling() as (server, client):
        await client.open()
        await client.join()
        async with dial(server) as other:
            other.send(request(f"/ws/poll?{client.query}"))
        assert await client.post(event("for the next")) == 204
        assert [one["data"] for one in await client.poll()] == ["for the next"]


async def test_a_poll_is_replaced_by_the_next_and_told_so() -> None:
    async with polling() as (server, client):
        await client.open()
        client.ask()
        async with dial(server) as other:
            other.send(request(f"/ws/poll?{client.query}"))
            said = await client.asks.answer()
            assert (said.status, said.body) == (200, b"")
            assert said.headers["x-anywire-close"] == "4409 replaced%20by%20a%20newer%20request"
            await client.post({"type": "ping", "echo": 1})
            assert messages(await other.answer())[0]["echo"] == 1


async def test_a_resume_ends_the_older_poll_and_its_secret_is_good_for_nothing_else() -> None:
    async with polling() as (server, client), dial(server) as other:
        await client.open()
        client.ask()
        newer = Client(client.node, other, other, client.query)
        assert (await newer.resume(received=0))["resumed"]
        said = await client.asks.answer()
        assert said.headers["x-anywire-close"].startswith("4409 replaced")
        # What was under way when the client resumed would come twice.
        assert await client.post(event("late")) == 409
        client.ask()
        assert (await client.asks.answer()).status == 409
        assert await newer.post({"type": "ping"}) == 204
        assert await client.post(event("later")) == 404


async def test_a_post_whose_body_comes_after_a_resume_is_not_taken() -> None:
    async with polling() as (server, client), dial(server) as slow:
        await client.open()
        await client.join()
        body = json.dumps(event("late")).encode()
        head = request(f"/ws/poll?{client.query}", f"Content-Length: {len(body)}", method="POST")
        requests = client.node.counters.requests
        slow.send(head, body[:5])
        await until(lambda: client.node.counters.requests > requests)
        assert (await client.resume(received=1))["received"] == 1
        slow.send(body[5:])
        assert (await slow.answer()).status == 404
        assert (await client.resume(received=1))["received"] == 1


async def test_messages_wait_while_the_server_does_not_read() -> None:
    async with polling() as (_, client):
        await client.open()
        await client.join()
        transport = client.standing.transport
        assert transport is not None
        transport.pause()
        post = asyncio.create_task(client.post(event("patience")))
        client.ask()
        await client.says.writer.drain()
        transport.resume()
        assert [one["data"] for one in messages(await client.asks.answer())] == ["patience"]
        assert await post == 204


@pytest.mark.parametrize(
    ("session", "token"), [("nobody.0123", "{token}"), ("{session}", "guess"), ("x", "y")]
)
async def test_an_unknown_session_and_a_wrong_secret_are_not_found(
    session: str, token: str
) -> None:
    async with polling() as (_, client):
        await client.open()
        known = {"session": client.session, "token": client.token}
        client.query = f"session={session.format(**known)}&resume={token.format(**known)}"
        client.ask()
        assert (await client.asks.answer()).status == 404
        assert await client.post(event("hello")) == 404
        assert client.standing.is_attached


async def test_a_resume_of_nobody_is_a_new_session() -> None:
    async with polling() as (_, client):
        client.query = "session=nobody.0123&resume=guess"
        assert not (await client.resume(received=7))["resumed"]


async def test_who_is_refused_hears_the_applications_code_and_words() -> None:
    async def authenticate(hello: Hello) -> User:
        raise Refused("name_missing", "say ?name=")

    async with polling(authenticate=authenticate) as (_, client):
        client.asks.send(request("/ws/poll"))
        said = await client.asks.answer()
        assert (said.status, said.headers["x-anywire-code"]) == (403, "name_missing")
        assert said.body == b"say ?name=\n"


async def test_sessions_on_polls_are_as_many_as_connections_may_be() -> None:
    async with polling(Limits(connections=2)) as (_, client):
        await client.open()
        other = Client(client.node, client.asks, client.says)
        await other.open()
        client.asks.send(request("/ws/poll"))
        said = await client.asks.answer()
        assert said.status == 429
        assert b"too many sessions on requests" in said.body
        assert len(client.node.sessions) == 2
        assert (await client.resume(received=0))["resumed"]  # it is no new one
        assert len(client.node.sessions) == 2
        assert await other.post({"type": "bye", "code": 1000}) == 204
        other.ask()
        await other.asks.answer()
        await Client(client.node, client.asks, client.says).open()


async def test_a_page_of_another_origin_gets_nothing() -> None:
    async with polling() as (_, client):
        client.asks.send(request("/ws/poll", "Origin: https://elsewhere.test"))
        assert (await client.asks.answer()).status == 403
        assert not client.node.sessions


async def test_a_body_over_the_limit_is_refused() -> None:
    async with polling(Limits(body=100)) as (_, client):
        await client.open()
        body = b"{" * 101
        client.says.send(request(f"/ws/poll?{client.query}", method="POST", body=body))
        assert (await client.says.answer()).status == 413


async def test_a_broken_body_ends_the_session_and_says_when_to_come_back() -> None:
    async with polling() as (_, client):
        await client.open()
        client.ask()
        client.says.send(request(f"/ws/poll?{client.query}", method="POST", body=b"\xff"))
        said = await client.says.answer()
        assert (said.status, said.body) == (400, b"the body is no UTF-8\n")
        last = await client.asks.answer()
        assert last.headers["x-anywire-close"] == "1007 the%20body%20is%20no%20UTF-8"
        (bye,) = messages(last)
        assert (bye["type"], bye["code"], bye["retry"]) == ("bye", 1007, 1.0)


async def test_a_broken_body_that_comes_after_a_resume_hurts_nobody() -> None:
    async with polling() as (server, client), dial(server) as slow:
        await client.open()
        lines = ("Content-Length: 2",)
        requests = client.node.counters.requests
        slow.send(request(f"/ws/poll?{client.query}", *lines, method="POST"), b"\xff")
        await until(lambda: client.node.counters.requests > requests)
        await client.resume(received=0)
        slow.send(b"\xff")
        assert (await slow.answer()).status == 400
        assert client.standing.is_attached


async def test_the_last_word_of_a_session_is_told_to_the_poll_that_waits() -> None:
    async with polling() as (_, client):
        await client.open()
        client.ask()
        await client.settled(is_attached=True)
        client.standing.close(4403, "thrown out é")
        said = await client.asks.answer()
        assert said.headers["x-anywire-close"] == "4403 thrown%20out%20%C3%A9"
        (bye,) = messages(said)
        assert (bye["type"], bye["code"], bye["text"]) == ("bye", 4403, "thrown out é")
        client.ask()
        assert (await client.asks.answer()).status == 404


async def test_the_last_word_of_a_session_is_told_to_the_next_poll() -> None:
    async with polling() as (_, client):
        await client.open()
        client.standing.close(4403, "thrown out")
        assert not client.node.sessions
        assert await client.post(event("too late")) == 404
        right, client.query = client.query, client.query[:-1]
        client.ask()
        assert (await client.asks.answer()).status == 404
        client.query = right
        client.ask()
        said = await client.asks.answer()
        assert said.headers["x-anywire-close"].startswith("4403")
        assert messages(said)[0]["code"] == 4403


async def test_a_goodbye_ends_the_session() -> None:
    async with polling() as (_, client):
        await client.open()
        client.ask()
        assert await client.post({"type": "bye", "code": 1000}) == 204
        said = await client.asks.answer()
        assert said.headers["x-anywire-close"] == "1000"
        assert not client.node.sessions


async def test_what_stands_behind_a_goodbye_is_not_taken() -> None:
    async with polling() as (_, client):
        await client.open()
        assert await client.post({"type": "bye", "code": 1000}, event("unheard")) == 404


async def test_a_message_that_breaks_the_rules_ends_the_session() -> None:
    async with polling() as (_, client):
        await client.open()
        await client.post({"type": "nonsense"})
        assert (await client.poll())[-1]["code"] == 4400


@pytest.mark.parametrize("path", ["/ws/poll?session=s", "/ws/poll?protocol=soap"])
async def test_a_bad_request_is_told_so(path: str) -> None:
    async with polling() as (_, client):
        client.asks.send(request(path))
        assert (await client.asks.answer()).status == 400


async def test_a_poll_has_no_other_methods() -> None:
    async with polling() as (_, client):
        client.asks.send(request("/ws/poll", method="PUT"))
        said = await client.asks.answer()
        assert (said.status, said.headers["allow"]) == (405, "GET, POST")


async def test_a_server_that_stops_tells_who_polls() -> None:
    async with contextlib.AsyncExitStack() as stack:
        node = make_node()
        server = await stack.enter_async_context(serving(node=node, wires=[Own("/ws")]))
        asks = await stack.enter_async_context(dial(server))
        client = Client(node, asks, asks)
        await client.open()
        client.ask()
        await until(lambda: node.counters.requests > 0)
        stop = asyncio.create_task(server.stop())
        (bye,) = messages(await asks.answer())
        assert (bye["type"], bye["code"]) == ("bye", 1001)
        await stop


async def test_one_session_goes_from_polls_to_a_websocket_and_back() -> None:
    async with polling() as (server, client), dial(server) as socket:
        await client.open()
        await client.join()
        path = f"/ws?{client.query}&received=1"
        socket.send(upgrade(path, "Sec-WebSocket-Protocol: anywire.json.1"))
        assert (await socket.answer(has_body=False)).status == 101
        welcome = json.loads((await socket.frame())[1])
        assert welcome["resumed"]
        socket.send(frame(json.dumps(event("by socket"))))
        assert json.loads((await socket.frame())[1])["data"] == "by socket"
        client.query = f"session={welcome['session']}&resume={welcome['token']}"
        client.ask()
        assert (await client.asks.answer()).status == 404  # it is on a socket now
        again = await client.resume(received=2)
        assert (again["resumed"], again["received"]) == (True, 2)


# --- what is asked for again ----------------------------------------------------------------------


async def test_a_poll_that_says_what_it_has_hears_again_what_a_lost_answer_carried() -> None:
    async with polling() as (server, client):
        await client.open()
        await client.join()
        async with dial(server) as lost:
            lost.send(request(f"/ws/poll?{client.query}"))
            assert await client.post(event("once"), event("twice")) == 204
            await lost.answer()  # and nobody gets it
        heard = await client.poll("&ack=1")
        assert [one["data"] for one in heard] == ["once", "twice"]
        client.ask("&ack=3")
        assert await client.post(event("new")) == 204
        assert [one["data"] for one in messages(await client.asks.answer())] == ["new"]


async def test_what_waited_and_is_asked_for_by_its_count_comes_once() -> None:
    async with polling() as (_, client):
        await client.open()
        await client.join()
        assert await client.post(event("a"), event("b")) == 204
        transport = client.standing.transport
        assert transport is not None
        await until(lambda: transport.buffered > 0)  # for the next poll
        assert [one["data"] for one in await client.poll("&ack=1")] == ["a", "b"]


@pytest.mark.parametrize("count", [0, 9])
async def test_a_count_that_cannot_be_made_good_wants_a_resume_and_loses_nothing(
    count: int,
) -> None:
    async with polling(Limits(kept_messages=1)) as (_, client):
        await client.open()
        await client.join()
        assert await client.post(event("a"), event("b")) == 204
        client.ask(f"&ack={count}")
        assert (await client.asks.answer()).status == 404
        assert [one["data"] for one in await client.poll()] == ["a", "b"]


async def test_a_post_that_is_repeated_is_taken_once() -> None:
    async with polling() as (_, client):
        await client.open()
        await client.join()
        assert await client.post(event("a"), event("b"), more="&from=1") == 204
        assert await client.post(event("a"), event("b"), more="&from=1") == 204
        assert await client.post(event("b"), event("c"), more="&from=2") == 204
        heard = [one["data"] for one in await client.poll()]
        while len(heard) < 3:
            heard += [one["data"] for one in await client.poll()]
        assert heard == ["a", "b", "c"]
        assert client.standing.machine.received == 4


async def test_a_post_behind_one_that_never_came_is_refused() -> None:
    async with polling() as (_, client):
        await client.open()
        await client.join()
        assert await client.post(event("c"), more="&from=2") == 404
        assert client.standing.machine.received == 1
        assert await client.post(event("b"), more="&from=1") == 204


async def test_a_count_begins_anew_with_a_resume() -> None:
    async with polling() as (_, client):
        await client.open()
        await client.join()
        await client.resume(received=1)
        assert await client.post(event("a"), more="&from=0") == 204
        assert [one["data"] for one in await client.poll()] == ["a"]


# --- streams --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Stream:
    """What a client hears of one event stream, or of one stream."""

    dialed: Dialed
    is_events: bool
    begin: bytes = b""
    _read: bytes = b""

    @classmethod
    async def of(cls, client: Client, query: str) -> "Stream":
        client.asks.send(request(f"{client.path}?{query}"))
        said = await client.asks.answer(has_body=False)
        assert (said.status, said.headers["transfer-encoding"]) == (200, "chunked")
        assert said.headers["cache-control"] == "no-store, no-transform"
        is_events = client.path.endswith("events")
        assert (said.headers["content-type"] == "text/event-stream") is is_events
        stream = cls(client.asks, is_events)
        stream.begin = await client.asks.chunk()
        return stream

    async def part(self) -> str:
        """The next record, or the next text; empty at the end."""
        end = b"\n\n" if self.is_events else b"\x1e"
        async with asyncio.timeout(5):
            while end not in self._read:
                chunk = await self.dialed.chunk()
                if not chunk:
                    assert not self._read
                    return ""
                self._read += chunk
        part, _, self._read = self._read.partition(end)
        return part.decode()

    async def hear(self) -> dict[str, Any]:
        part = await self.part()
        if self.is_events:
            assert part.startswith("data: "), part
        said: dict[str, Any] = json.loads(part.removeprefix("data: "))
        return said


async def streamed(client: Client, path: str, query: str = "") -> tuple[Stream, dict[str, Any]]:
    """A session on a stream, opened or resumed, and its welcome."""
    client.path = path
    stream = await Stream.of(client, query)
    welcome = await stream.hear()
    assert welcome["type"] == "welcome", welcome
    client.session, client.token = welcome["session"], welcome["token"]
    client.query = f"session={client.session}&resume={client.token}"
    return stream, welcome


STREAMS = pytest.mark.parametrize("path", ["/ws/events", "/ws/stream"])


@STREAMS
async def test_a_stream_opens_a_session_and_tells_all_it_says(path: str) -> None:
    async with polling() as (_, client):
        stream, welcome = await streamed(client, path)
        assert not welcome["resumed"]
        assert len(stream.begin) >= 2048
        assert await client.post({"type": "join", "ref": 1, "address": "echo"}) == 204
        assert (await stream.hear())["type"] == "joined"
        assert await client.post(event("one\n"), event("two")) == 204
        assert [(await stream.hear())["data"] for _ in range(2)] == ["one\n", "two"]
        assert client.standing.is_attached


@STREAMS
async def test_the_end_of_a_session_is_the_last_part_of_its_stream(path: str) -> None:
    async with polling() as (_, client):
        stream, _ = await streamed(client, path)
        client.standing.close(4403, "thrown out \u00e9")
        bye = await stream.hear()
        assert (bye["type"], bye["code"], bye["text"]) == ("bye", 4403, "thrown out \u00e9")
        is_events = path == "/ws/events"
        last = "event: close\ndata: " if is_events else "!"
        assert await stream.part() == f"{last}4403 thrown%20out%20%C3%A9"
        assert await stream.part() == ""
        client.asks.send(request("/healthz"))
        assert (await client.asks.answer()).body == b"ok\n"  # the connection goes on


async def test_messagepack_has_streams_of_its_own() -> None:
    async with polling() as (_, client):
        client.path = "/ws/stream"
        client.asks.send(request("/ws/stream?protocol=anywire.msgpack.1"))
        await client.asks.answer(has_body=False)
        padding = await client.asks.chunk()
        assert not any(padding) and len(padding) % 4 == 0
        welcome = await client.asks.chunk()
        assert int.from_bytes(welcome[:4], "big") == len(welcome) - 4
        assert welcome[5:].startswith(b"\xa4type\xa7welcome")
        (session,) = client.node.sessions.values()
        session.close(4000, "")
        await client.asks.chunk()
        last = await client.asks.chunk()
        assert last == b"\x01\0\0\x05!4000"
        assert await client.asks.chunk() == b""


@STREAMS
async def test_a_stream_that_is_cut_is_asked_for_again_and_nothing_is_lost(path: str) -> None:
    async with polling() as (server, client):
        async with dial(server) as first:
            cut = Client(client.node, first, client.says)
            stream, _ = await streamed(cut, path)
            assert await cut.post({"type": "join", "ref": 1, "address": "echo"}) == 204
            await stream.hear()
            transport = cut.standing.transport
            assert isinstance(transport, HttpTransport)
            assert await cut.post(event("on its way")) == 204
            await stream.hear()  # which its client did not get, let us say
        await until(lambda: transport._outlet is None)
        client.path, client.session = path, cut.session
        client.query = cut.query
        assert await client.post(event("meanwhile")) == 204
        again = await Stream.of(client, f"{client.query}&ack=1")
        assert [(await again.hear())["data"] for _ in range(2)] == ["on its way", "meanwhile"]
        assert await client.post(event("after")) == 204
        assert (await again.hear())["data"] == "after"


@STREAMS
async def test_a_stream_is_replaced_by_the_next_and_told_so(path: str) -> None:
    async with polling() as (server, client), dial(server) as other:
        stream, _ = await streamed(client, path)
        next = Client(client.node, other, client.says, path=path)
        again = await Stream.of(next, client.query)
        assert "4409 replaced%20by%20a%20newer%20request" in await stream.part()
        assert await stream.part() == ""
        await client.post({"type": "ping", "echo": 1})
        assert (await again.hear())["echo"] == 1


async def test_one_session_goes_from_polls_to_streams_and_back() -> None:
    async with polling() as (server, client), dial(server) as other:
        await client.open()
        await client.join()
        stream = await Stream.of(Client(client.node, other, other, path="/ws/events"), client.query)
        assert await client.post(event("on events")) == 204
        assert (await stream.hear())["data"] == "on events"
        client.ask("&ack=2")
        assert "4409" in await stream.part()
        assert await client.post(event("on a poll")) == 204
        assert [one["data"] for one in messages(await client.asks.answer())] == ["on a poll"]
        asks = Client(client.node, client.asks, client.says)
        resumed, welcome = await streamed(asks, "/ws/stream", f"{client.query}&received=3")
        assert welcome["resumed"]
        assert await asks.post(event("on a stream")) == 204
        assert (await resumed.hear())["data"] == "on a stream"


async def test_a_stream_that_resumes_with_much_to_say_goes_on_past_the_gap() -> None:
    async with polling(Limits(poll_gap=0.02)) as (_, client):
        await client.open()
        stream, _ = await streamed(client, "/ws/events", f"{client.query}&received=0")
        loop = asyncio.get_running_loop()
        passed = loop.create_future()
        loop.call_later(0.05, passed.set_result, None)
        await passed
        await client.post({"type": "ping", "echo": 1})
        assert (await stream.hear())["echo"] == 1


async def test_a_client_of_http_1_0_hears_a_stream_without_chunks() -> None:
    async with polling() as (_, client):
        client.asks.send(b"GET /ws/events HTTP/1.0\r\nHost: test\r\n\r\n")
        said = await client.asks.answer(has_body=False)
        assert "transfer-encoding" not in said.headers
        await client.asks.reader.readuntil(b'data: {"type":"welcome"')
        (session,) = client.node.sessions.values()
        session.close(4000, "")
        assert (await client.asks.rest()).endswith(b"event: close\ndata: 4000\n\n")


async def test_a_stream_whose_client_does_not_read_is_waited_for_and_then_cut() -> None:
    limits = Limits(idle=0.05, outbox=1 << 26, kept_bytes=1 << 26)
    async with polling(limits) as (_, client):
        await streamed(client, "/ws/stream")
        transport = client.standing.transport
        assert transport is not None
        while not transport.buffered:
            client.standing.enqueue(Payload(b'"%b"' % (b"x" * 60_000)))
            await asyncio.sleep(0)
        await until(lambda: not transport.buffered)  # it was cut: `Limits.idle`
        welcome = await Client(client.node, client.says, client.says).open(
            f"{client.query}&received=0"
        )
        assert welcome["resumed"]


# --- what waits costs no task ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/ws/poll", "/ws/events", "/ws/stream"])
async def test_a_request_that_waits_has_no_task(path: str) -> None:
    async with polling() as (server, client), contextlib.AsyncExitStack() as stack:
        waiting = []
        for _ in range(10):
            dialed = await stack.enter_async_context(dial(server))
            one = Client(client.node, dialed, client.says)
            await one.open()
            one.path = path
            waiting.append(one)
        tasks = len(asyncio.all_tasks())
        requests = client.node.counters.requests
        for one in waiting:
            one.ask()
        await until(lambda: client.node.counters.requests == requests + 10)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == tasks
        for one in waiting:
            assert one.standing.is_attached
            one.standing.close(4000, "")
        for one in waiting:
            assert (await one.asks.answer()).status == 200


# --- what a stranger's requests are like ----------------------------------------------------------


async def test_what_a_stranger_posts_is_heard_and_answered_as_it_says() -> None:
    async with odd() as (_, guest):
        await guest.open()
        said = await guest.post("hello")
        assert (said.status, said.body, said.headers["x-odd"]) == (202, b"thanks\n", "taken")
        assert await guest.poll() == ["mhello"]


async def test_a_body_may_be_refused_without_harm() -> None:
    async with odd() as (_, guest):
        await guest.open()
        said = await guest.post_as_it_is(b"later")
        assert (said.status, said.headers["retry-after"], said.body) == (429, "1", b"later\n")
        assert said.headers["set-cookie"] == "odd=very"
        assert guest.standing.is_attached
        assert (await guest.post("now")).status == 202


async def test_a_second_body_while_one_is_read_may_end_the_session() -> None:
    async with odd(Odd(is_alone=True)) as (server, guest), dial(server) as slow:
        await guest.open()
        lines = ("Content-Length: 2",)
        requests = guest.node.counters.requests
        slow.send(request(f"/odd/echo/say?{guest.query}", *lines, method="POST"), b"1")
        await until(lambda: guest.node.counters.requests > requests)
        said = await guest.post("too soon")
        assert (said.status, said.body) == (403, b"another one is read\n")
        assert not guest.node.sessions
        assert await guest.poll() == ["x4400 two requests bring messages at once"]


async def test_one_body_after_the_other_is_no_crowd() -> None:
    async with odd(Odd(is_alone=True)) as (_, guest):
        await guest.open()
        for text in ("a", "b"):
            assert (await guest.post(text)).status == 202
        assert (await guest.post_as_it_is(b"later")).status == 429
        assert (await guest.post("c")).status == 202


async def test_two_bodies_at_once_are_taken_where_that_is_no_fault() -> None:
    async with odd() as (server, guest), dial(server) as slow:
        await guest.open()
        lines = ("Content-Length: 4",)
        requests = guest.node.counters.requests
        slow.send(request(f"/odd/echo/say?{guest.query}", *lines, method="POST"), b"1:")
        await until(lambda: guest.node.counters.requests > requests)
        assert (await guest.post("first")).status == 202
        slow.send(b"m,")
        assert (await slow.answer()).status == 202
        heard = await guest.poll()
        assert [*heard, *(await guest.poll() if len(heard) < 2 else ())] == ["mfirst", "m"]


async def test_what_is_posted_to_a_session_that_says_its_last_word_is_dropped() -> None:
    async with odd(Odd(is_repeated=True)) as (_, guest):
        await guest.open()
        guest.standing.close(3000, "go away")
        assert (await guest.post("dropped")).status == 202
        assert await guest.poll() == ["x3000 go away"]
        assert (await guest.post("dropped, too")).status == 202
        guest.key = "wrong"
        assert (await guest.post("nobody")).status == 403


async def test_a_post_opens_nothing() -> None:
    class Eager(Odd):
        def open(self, hello: Hello) -> Opening | Answer:
            hello.carrier = Carrier.POLL
            return super().open(hello)

    async with odd(Eager()) as (_, guest):
        said = await guest.post("hello")
        assert (said.status, said.headers["allow"]) == (405, "GET")
        assert not guest.node.sessions


async def test_a_session_that_cannot_resume_goes_on_for_whom_shows_its_secret() -> None:
    async with odd() as (_, guest):
        await guest.open()
        right, guest.key = guest.key, "guess"
        assert await guest.poll() == ["x1013 no such session"]
        assert (await guest.post("hello")).status == 403
        guest.key = right
        assert (await guest.post("hello")).status == 202


async def test_who_does_not_ask_in_time_is_gone_where_nothing_can_be_resumed() -> None:
    async with odd(Odd(gap=0.02)) as (_, guest):
        await guest.open()
        await until(lambda: not guest.node.sessions)
        assert await guest.poll() == ["x1013 no such session"]


async def test_an_id_that_the_client_made_up_is_opened_by_whoever_asks_first() -> None:
    wire = Odd(is_claimed=True)
    async with odd(wire) as (_, guest):
        guest.session = "made-up"
        (hello,) = await guest.poll()
        assert hello.startswith("hmade-up ")
        assert (await guest.post("hello")).status == 202
        assert await guest.poll() == ["mhello"]
        guest.standing.close(4003, "out")
        assert await guest.poll() == ["x4003 out"]
        (again,) = await guest.poll()
        assert again.startswith("hmade-up ")


async def test_the_last_word_of_a_session_is_for_who_has_its_id_where_the_client_made_it_up() -> (
    None
):
    async with odd(Odd(is_claimed=True, is_repeated=True)) as (_, guest):
        guest.session = "made-up"
        await guest.poll()
        guest.standing.close(3000, "go away")
        for _ in range(2):
            assert await guest.poll() == ["x3000 go away"]


async def test_a_session_on_a_websocket_is_not_asked_for_what_it_says() -> None:
    async with odd() as (server, guest), dial(server) as socket:
        socket.send(upgrade("/odd/echo"))
        assert (await socket.answer(has_body=False)).status == 101
        guest.session, guest.key = (await socket.frame())[1][1:].decode().split(" ")
        assert await guest.poll() == ["x1013 the session waits for a resume"]
        assert (await guest.post("hello")).status == 403


# --- sessions whose ids were given away before ----------------------------------------------------


async def test_an_id_that_was_given_away_is_opened_by_a_poll_and_by_nothing_else() -> None:
    async with hub() as (_, client):
        await client.negotiate()
        assert (await client.post(HAND)).status == 404
        assert (await client.leave()).status == 404
        said = await client.poll()
        assert (said.status, said.body) == (200, b""), "at once, so that the client goes on"
        assert client.standing.is_attached
        assert (await client.post(HAND)).status == 200
        assert (await client.poll()).body == b"{}\x1e"


async def test_nobody_has_a_part_in_a_session_by_its_id_or_a_wrong_secret() -> None:
    async with hub() as (_, client):
        await client.open()
        right = client.token
        for wrong in (client.id, right[:-1], f"{right}=", right.swapcase()):
            client.token = wrong
            assert (await client.poll()).status == 404
            assert (await client.post(b'{"type":7}\x1e')).status == 404
            assert (await client.leave()).status == 404
        client.token = right
        assert (await client.post(b'{"type":6}\x1e')).status == 200


async def test_a_get_is_what_its_wire_says_where_its_route_does_not_tell() -> None:
    async with hub() as (_, client):
        await client.negotiate()
        client.ask(None, "Accept: text/event-stream")
        said = await client.asks.answer(has_body=False)
        assert (said.status, said.headers["content-type"]) == (200, "text/event-stream")
        assert await client.asks.chunk() == b":\r\n"
        assert (await client.post(HAND)).status == 200
        assert await client.asks.chunk() == b"data: {}\x1e\r\n\r\n"
        transport = client.standing.transport
        assert transport is not None and transport.carrier is Carrier.EVENTS
        assert client.standing.hello.carrier is Carrier.EVENTS


async def test_who_leaves_by_a_request_has_left_and_its_id_is_spent() -> None:
    async with hub() as (_, client):
        await client.open()
        session = client.standing
        said = await client.leave()
        assert (said.status, said.body) == (202, b"")
        assert session.has_ended and client.node.has_ended(client.id)
        assert (await client.poll()).body == b'{"type":7}\x1e', "the last word"
        for _ in range(2):
            assert (await client.poll()).status == 404
            assert (await client.post(b'{"type":6}\x1e')).status == 404
            assert (await client.leave()).status == 404


async def test_the_last_word_of_a_session_is_for_who_has_its_secret() -> None:
    async with hub() as (_, client):
        await client.open()
        client.standing.close(4000, "out")
        right, client.token = client.token, client.id
        assert (await client.poll()).status == 404
        client.token = right
        assert json.loads((await client.poll()).body[:-1])["error"] == "out"
        assert (await client.poll()).status == 404
