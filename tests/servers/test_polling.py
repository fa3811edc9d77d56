"""Long polls over real HTTP: how they open, go on and end, and what is refused."""

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
from anywire.servers.tcp import Server
from anywire.wires.anywire import Own
from anywire.wires.base import Hello, User
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

    async def open(self, query: str = "") -> dict[str, Any]:
        """Open, or resume; the welcome."""
        self.asks.send(request(f"/ws/poll?{query}"))
        welcome, *self.rest = messages(await self.asks.answer())
        assert welcome["type"] == "welcome"
        self.session, self.token = welcome["session"], welcome["token"]
        self.query = f"session={self.session}&resume={self.token}"
        return welcome

    async def resume(self, received: int) -> dict[str, Any]:
        return await self.open(f"{self.query}&received={received}")

    def ask(self) -> None:
        self.asks.send(request(f"/ws/poll?{self.query}"))

    async def poll(self) -> list[dict[str, Any]]:
        self.ask()
        return messages(await self.asks.answer())

    async def post(self, *said: object) -> int:
        """The status of an answer to these messages."""
        body = "\x1e".join(json.dumps(one) for one in said).encode()
        self.says.send(request(f"/ws/poll?{self.query}", method="POST", body=body))
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
        assert b"too many sessions on long polls" in said.body
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
