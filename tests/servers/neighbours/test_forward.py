"""Tests of anywire.servers.neighbours.forward: what belongs to another node reaches it."""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from anywire.brokers.local.words import Framer
from anywire.core.admission import Elsewhere
from anywire.core.node import Authenticate
from anywire.errors import Refused
from anywire.limits import Limits
from anywire.payload import Payload
from anywire.servers.neighbours import forward, words
from anywire.wires.anywire.server import Own
from anywire.wires.base import Answer, Hello, User
from tests.servers.neighbours.pair import (
    PROTOCOL,
    Caller,
    House,
    asked,
    call,
    descriptors,
    dial_to,
    left,
    pair,
)
from tests.servers.oddly import Guest
from tests.servers.serving import frame, request, upgrade
from tests.wires.strangers.odd import Odd


def said(text: str) -> bytes:
    """An event of the own wire, as a frame."""
    message = {"type": "event", "address": "talk", "event": "message", "data": text}
    return frame(json.dumps(message))


def tickets(asked_for: list[str]) -> Authenticate:
    """Credentials that are good for one time; `asked_for` has each that was shown."""

    async def authenticate(hello: Hello) -> User | None:
        ticket = hello.query.get("ticket", "")
        if ticket in asked_for:
            raise Refused("used", "this ticket was used")
        asked_for.append(ticket)
        return User("ana", {"ticket": ticket})

    return authenticate


# --- WebSockets, handed over ----------------------------------------------------------------------


async def test_a_socket_that_resumes_elsewhere_is_handed_to_the_owner_with_its_early_bytes() -> (
    None
):
    async with pair() as (one, two), left(one) as away:
        async with call(two, away.resuming(), said("a") + said("b")) as caller:
            welcome = await caller.hear("welcome")
            assert welcome["resumed"]
            assert welcome["session"] == away.session
            await caller.message("c")
            assert await caller.words(3) == ["a", "b", "c"]
            assert (two.server.connections, one.server.connections) == (0, 1)
            await caller.goodbye(1000, "")
            await one.until(lambda: not one.node.sessions)
        await one.until(lambda: not one.server.connections)
        assert (two.node.counters.handed_over, two.node.counters.requests) == (1, 1)
        assert (one.node.counters.handed_over, one.node.counters.requests) == (0, 0)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_waits_in_the_kernel_does_not_overtake_the_early_bytes(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def main() -> None:
        async with pair() as (one, two), left(one) as away:
            async with call(two, away.resuming(), said("a")) as caller:
                await caller.message("b")
                assert (await caller.hear("welcome"))["resumed"]
                assert await caller.words(2) == ["a", "b"]
            ours, theirs = socket.socketpair()
            join = {"type": "join", "address": "talk", "ref": 1}
            ours.sendall(said("kernel") + said("last"))
            one.server.adopt(theirs, upgrade("/ws", PROTOCOL) + frame(json.dumps(join)))
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            caller = Caller(reader, writer, None)
            await caller.hear("welcome")
            await caller.hear("joined")
            assert await caller.words(2) == ["kernel", "last"]
            writer.transport.abort()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


async def test_nothing_is_lost_when_a_client_wanders_between_the_nodes() -> None:
    async with pair() as houses, left(houses[0]) as away:
        heard: list[object] = []
        for turn in range(8):
            house = houses[turn % 2]
            async with call(house, away.resuming(), said(f"{turn}")) as caller:
                caller.seen = away.seen
                await caller.hear("welcome")
                await caller.message(f"{turn}+")
                heard += await caller.words(2)
                away.seen, away.token = caller.seen, caller.token
                caller.vanish()
                await houses[0].until(lambda: houses[0].node.detached)
        assert heard == [f"{turn}{more}" for turn in range(8) for more in ("", "+")]
        assert houses[1].node.counters.handed_over == 4


async def test_a_ticket_for_one_time_is_shown_once_by_who_hands_a_socket_over() -> None:
    shown: list[str] = []
    async with (
        pair(authenticate=tickets(shown)) as (one, two),
        left(one, "?ticket=1") as away,
        call(two, away.resuming(ticket="2")) as caller,
    ):
        assert (await caller.hear("welcome"))["resumed"]
        assert shown == ["1", "2"]


async def test_an_upgrade_that_is_refused_by_its_owner_is_answered_there() -> None:
    async with pair() as (one, two), left(one) as away:
        away.token = "wrong"
        async with call(two, away.resuming()) as caller:
            welcome = await caller.hear("welcome")
            assert not welcome["resumed"]
            assert welcome["session"].startswith("n0.")
        assert two.node.counters.handed_over == 1


async def test_handing_over_leaves_no_descriptor_behind() -> None:
    async with pair() as (one, two), left(one) as away:
        await one.until(lambda: not one.server.connections)
        before = descriptors()
        for _ in range(3):
            async with call(two, away.resuming()) as caller:
                away.token = (await caller.hear("welcome"))["token"]
            await one.until(lambda: not one.server.connections + two.server.connections)
        assert descriptors() == before


class Deaf:
    """A door behind which somebody reads and says what a test wants."""

    def __init__(self, house: House) -> None:
        os.unlink(house.door)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(house.door)
        self.socket.listen()
        self.socket.setblocking(False)

    async def visit(self) -> socket.socket:
        async with asyncio.timeout(5):
            visitor, _ = await asyncio.get_running_loop().sock_accept(self.socket)
        visitor.setblocking(False)
        return visitor


async def deaf(house: House, act: Callable[[Deaf], Awaitable[None]]) -> None:
    door = Deaf(house)
    try:
        await act(door)
    finally:
        door.socket.close()


async def test_who_does_not_take_a_socket_in_time_cannot_take_it_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forward, "PATIENCE", 0.1)
    async with pair() as (one, two), left(one) as away:
        await one.until(lambda: not one.server.connections)
        before = descriptors()

        async def act(door: Deaf) -> None:
            async with dial_to(two) as dialed:
                dialed.send(resume(away))
                visitor = await door.visit()
                second = await door.visit()  # it asks for a relay, having given up
                data, given, _, _ = socket.recv_fds(visitor, 65536, 1)
                assert isinstance(words.from_stranger(Framer().receive(data)[0]), words.Handed)
                assert len(given) == 1
                with pytest.raises(BrokenPipeError):
                    visitor.send(b"\x01")
                os.close(given[0])
                visitor.close()
                second.close()
                assert (await dialed.answer(has_body=False)).status == 101
                closing = (await dialed.rest())[-40:]
                assert b"the owner of this session is gone" in closing

        await deaf(one, act)
        await two.until(lambda: not two.server.connections)
        assert descriptors() == before
        assert two.node.counters.handed_over == 0


async def test_a_socket_taken_at_the_last_moment_has_one_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer is there, but the waiting for it has ended: it counts."""

    async def never(*args: object) -> None:
        await offer(*args)  # type: ignore[arg-type]
        raise TimeoutError

    offer = forward._offer
    monkeypatch.setattr(forward, "_offer", never)
    async with pair() as (one, two), left(one) as away:
        async with call(two, away.resuming()) as caller:
            assert (await caller.hear("welcome"))["resumed"]
            assert (one.server.connections, two.server.connections) == (1, 0)
        assert two.node.counters.handed_over == 1


async def test_a_stop_in_the_middle_of_a_hand_over_asks_who_has_the_socket() -> None:
    for is_taken in (False, True):
        async with pair() as (one, two), left(one) as away:

            async def act(
                door: Deaf, two: House = two, away: Caller = away, is_taken: bool = is_taken
            ) -> None:
                async with dial_to(two) as dialed:
                    dialed.send(resume(away))
                    visitor = await door.visit()
                    _, given, _, _ = socket.recv_fds(visitor, 65536, 1)
                    if is_taken:
                        visitor.send(b"\x01")
                    await two.server.stop()
                    if is_taken:
                        os.write(given[0], b"of the owner")
                    os.close(given[0])
                    visitor.close()
                    answer = await dialed.rest()
                    if is_taken:
                        assert answer == b"of the owner"
                    else:
                        assert answer.startswith(b"HTTP/1.1 503 ")

            await deaf(one, act)


def touch(path: str) -> None:
    Path(path).touch()


def resume(away: Caller) -> bytes:
    return (
        f"GET /ws{away.resuming()} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Protocol: anywire.json.1\r\n\r\n"
    ).encode()


async def test_an_owner_that_is_gone_is_told_in_the_wires_words() -> None:
    async with pair() as (one, two), left(one) as away:
        os.unlink(one.door)
        for _ in range(2):
            async with call(two, away.resuming()) as caller:
                assert (await caller.hear("bye"))["text"] == "the owner of this session is gone"
                assert (await caller.end())[0] == 1013
            async with dial_to(two) as dialed:
                dialed.send(asked(f"/ws/poll{away.resuming()}"))
                answer = await dialed.answer()
                assert (answer.status, answer.headers["x-anywire-code"]) == (404, "owner_gone")
            touch(one.door)  # now there is something that refuses
        assert two.node.counters.handed_over == two.node.counters.relayed == 0


async def test_a_node_that_has_no_door_is_gone() -> None:
    async with pair() as (_, two):
        found = await two.hosting.forward.relay(
            Own("/ws"), Hello(), Elsewhere("nobody", needs_user=False)
        )
        assert isinstance(found, Answer)
        assert found.code == 1013


async def test_an_offer_that_is_larger_than_the_kernel_takes_at_once_arrives_whole() -> None:
    loop = asyncio.get_running_loop()
    data = b"x" * 3_000_000
    async with pair() as (one, _):

        async def act(door: Deaf) -> None:
            with socket.socket(socket.AF_UNIX) as visit:
                visit.setblocking(False)
                offer = asyncio.create_task(forward._offer(visit, one.door, data, 0))
                visitor = await door.visit()
                got, given, _, _ = socket.recv_fds(visitor, 65536, 1)
                os.close(given[0])
                size = len(got)
                while size < len(data):
                    size += len(await loop.sock_recv(visitor, 65536))
                visitor.send(b"\x01")
                await offer
                assert forward._is_taken(visit)
                visitor.close()

        await deaf(one, act)


# --- requests -------------------------------------------------------------------------------------


class Poller:
    """A client of our own wire over long polls."""

    def __init__(self, session: str = "", token: str = "") -> None:
        self.session, self.token = session, token

    @property
    def path(self) -> str:
        return f"/ws/poll?session={self.session}&resume={self.token}"

    async def ask(self, house: House, path: str = "") -> list[dict[str, Any]]:
        async with dial_to(house) as dialed:
            dialed.send(asked(path or self.path))
            async with asyncio.timeout(5):
                answer = await dialed.answer()
        assert answer.status == 200, answer
        return [json.loads(one) for one in answer.body.split(b"\x1e") if one]

    async def events(self, house: House, *expected: str) -> int:
        """Ask until these were heard; how often that was."""
        heard: list[str] = []
        polls = 0
        while len(heard) < len(expected):
            heard += [said["data"] for said in await self.ask(house) if said["type"] == "event"]
            polls += 1
        assert heard == list(expected)
        return polls

    async def tell(self, house: House, *messages: dict[str, Any]) -> int:
        async with dial_to(house) as dialed:
            body = b"\x1e".join(json.dumps(message).encode() for message in messages)
            dialed.send(asked(self.path, method="POST", body=body))
            async with asyncio.timeout(5):
                return (await dialed.answer(has_body=False)).status

    @classmethod
    async def begin(cls, house: House, path: str = "/ws/poll") -> "Poller":
        one = cls()
        [welcome] = await one.ask(house, path)
        one.session, one.token = welcome["session"], welcome["token"]
        return one


JOIN = {"type": "join", "address": "talk", "ref": 1}


def event(text: str) -> dict[str, Any]:
    return {"type": "event", "address": "talk", "event": "message", "data": text}


async def test_polls_and_posts_at_the_wrong_node_are_answered_by_the_owner() -> None:
    async with pair() as (one, two):
        poller = await Poller.begin(one)
        assert await poller.tell(two, JOIN, event("a")) == 204
        assert await poller.tell(one, event("b")) == 204
        polls = await poller.events(two, "a", "b")
        waiting = asyncio.create_task(poller.events(two, "c"))
        assert await poller.tell(two, event("c")) == 204
        polls += await waiting
        assert two.node.counters.forwarded == two.node.counters.requests == polls + 2
        assert (one.node.counters.forwarded, one.node.counters.requests) == (0, 1)


async def test_the_identity_of_a_resume_by_poll_is_judged_once_where_it_came_in() -> None:
    shown: list[str] = []
    async with pair(authenticate=tickets(shown)) as (one, two):
        poller = await Poller.begin(one, "/ws/poll?ticket=1")
        [welcome] = await poller.ask(two, f"{poller.path}&received=0&ticket=2")
        assert welcome["resumed"]
        assert shown == ["1", "2"]
        poller.token = welcome["token"]
        async with dial_to(two) as dialed:
            dialed.send(asked(f"{poller.path}&received=0&ticket=2"))
            assert (await dialed.answer()).status == 403
        assert two.node.counters.forwarded == 2


async def test_a_body_over_the_limit_is_refused_where_it_comes_in() -> None:
    async with pair(limits=Limits(body=2000)) as (one, two):
        poller = await Poller.begin(one)
        async with dial_to(two) as dialed:
            dialed.send(asked(poller.path, method="POST", body=b"x" * 2001))
            assert (await dialed.answer()).status == 413
        async with dial_to(two) as dialed:
            head = f"POST {poller.path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
            dialed.send(head.encode(), b"7d0\r\n", b"x" * 2000, b"\r\n1\r\nx\r\n0\r\n\r\n")
            assert (await dialed.answer()).status == 413
        await one.until(lambda: not one.hosting.door._links)  # type: ignore[union-attr]


async def test_an_answer_before_the_whole_body_is_passed_on_and_nothing_waits_for_the_rest() -> (
    None
):
    async with pair() as (one, two):
        poller = await Poller.begin(one)
        poller.token = "wrong"
        async with dial_to(two) as dialed:
            head = f"POST {poller.path} HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n"
            dialed.send(head.encode(), b"x")
            assert (await dialed.answer()).status == 404
        await two.until(lambda: not two.node.dispatcher.stepper.tasks)
        await one.until(lambda: not one.hosting.door._links)  # type: ignore[union-attr]


async def test_a_client_that_leaves_its_forwarded_poll_is_gone_at_the_owner_too() -> None:
    async with pair() as (one, two):
        poller = await Poller.begin(one)
        async with dial_to(two) as dialed:
            dialed.send(asked(poller.path))
            await one.until(lambda: one.hosting.door._links)  # type: ignore[union-attr]
            dialed.writer.transport.abort()
        await one.until(lambda: not one.hosting.door._links)  # type: ignore[union-attr]
        await poller.tell(one, JOIN)
        assert [said["type"] for said in await poller.ask(two)] == ["joined"]
        await two.until(lambda: not two.node.dispatcher.stepper.tasks)


async def test_the_owner_dies_while_a_poll_waits() -> None:
    async with pair() as (one, two):
        poller = await Poller.begin(one)
        async with dial_to(two) as dialed:
            dialed.send(asked(poller.path))
            door = one.hosting.door
            assert door is not None
            await one.until(lambda: door._links)
            for link in door._links:
                link.cut("killed")
            answer = await dialed.answer()
            assert (answer.status, answer.headers["x-anywire-code"]) == (404, "owner_gone")


async def test_a_stop_answers_polls_that_were_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    async with pair() as (one, two):
        poller = await Poller.begin(one)
        async with dial_to(two) as dialed:
            dialed.send(asked(poller.path))
            await one.until(lambda: one.hosting.door._links)  # type: ignore[union-attr]
            await two.server.stop()
            answer = await dialed.answer()
            assert (answer.status, answer.headers["x-anywire-code"]) == (503, "stopping")
    assert "failed" not in caplog.text


async def test_a_user_whose_claims_cannot_travel_is_an_error_that_the_log_explains(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def authenticate(hello: Hello) -> User:
        return User("ana", {"row": object()})

    async with pair(authenticate=authenticate) as (one, two):
        poller = await Poller.begin(one)
        async with dial_to(two) as dialed:
            dialed.send(asked(f"{poller.path}&received=0"))
            assert (await dialed.answer()).status == 500
    assert "Encoding objects of type object is unsupported" in caplog.text


async def test_a_stream_at_the_wrong_node_is_the_owners_part_by_part() -> None:
    async with pair() as (one, two), dial_to(two) as dialed:
        poller = await Poller.begin(one)
        dialed.send(request(poller.path.replace("/poll", "/events")))
        async with asyncio.timeout(5):
            answer = await dialed.answer(has_body=False)
            assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
            assert (await dialed.chunk()).startswith(b":")
            assert await poller.tell(two, JOIN, event("a")) == 204
            heard = [json.loads((await dialed.chunk())[6:]) for _ in range(2)]
            assert [said["type"] for said in heard] == ["joined", "event"]
            one.node.sessions[poller.session].close(4003, "out")
            assert b'"bye"' in await dialed.chunk()
            assert await dialed.chunk() == b"event: close\ndata: 4003 out\n\n"
            assert await dialed.chunk() == b""
            dialed.send(request("/healthz"))
            assert (await dialed.answer()).body == b"ok\n"  # the connection goes on
        assert two.node.counters.forwarded == 2


async def test_a_stream_that_was_passed_on_and_cut_is_asked_for_again_at_any_node() -> None:
    async with pair() as (one, two):
        poller = await Poller.begin(one)
        path = poller.path.replace("/poll", "/stream")
        async with dial_to(two) as dialed:
            dialed.send(request(path))
            await dialed.answer(has_body=False)
            await dialed.chunk()
            assert await poller.tell(one, JOIN, event("lost")) == 204
            await dialed.chunk()
            dialed.writer.transport.abort()
        await one.until(lambda: not one.hosting.door._links)  # type: ignore[union-attr]
        assert await poller.tell(two, event("meanwhile")) == 204
        for house in (one, two):
            heard = await poller.ask(house, f"{poller.path}&ack=0")
            assert [said.get("data") for said in heard] == [None, "lost", "meanwhile"]


async def test_a_stream_whose_client_does_not_read_is_waited_for_by_the_owner() -> None:
    async with pair(limits=Limits(outbox=1 << 26)) as (one, two), dial_to(two) as dialed:
        poller = await Poller.begin(one)
        dialed.send(request(poller.path.replace("/poll", "/stream")))
        await dialed.answer(has_body=False)
        session = one.node.sessions[poller.session]
        said = 0
        while not session.outbox.waiting:
            session.enqueue(Payload(b'{"type":"x","data":"%b"}' % (b"x" * 60_000)))
            said += 1
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        session.enqueue(Payload(b'"last"'))
        await dialed.chunk()
        async with asyncio.timeout(5):
            for _ in range(said):
                assert len(await dialed.chunk()) > 60_000
            assert await dialed.chunk() == b'"last"\x1e'


async def test_the_owner_dies_in_the_middle_of_a_stream() -> None:
    async with pair() as (one, two), dial_to(two) as dialed:
        poller = await Poller.begin(one)
        dialed.send(request(poller.path.replace("/poll", "/stream")))
        await dialed.answer(has_body=False)
        await dialed.chunk()
        door = one.hosting.door
        assert door is not None
        for link in door._links:
            link.cut("killed")
        assert await dialed.rest() == b""  # without its end: it is no whole answer


async def test_what_is_refused_at_the_wrong_node_is_said_in_the_words_of_the_request() -> None:
    async with (
        pair(wires=[Odd()]) as (one, two),
        dial_to(one) as asks,
        dial_to(two) as elsewhere,
    ):
        guest = Guest(one.node, asks, elsewhere, "/odd/talk")
        await guest.open()
        os.unlink(one.door)
        assert await guest.poll(elsewhere) == ["x1013 the owner of this session is gone"]
        assert guest.told["set-cookie"] == "odd=very"
        guest.ask(elsewhere, "stream")
        said = await elsewhere.answer()
        assert (said.status, said.body[:3]) == (200, b"0:,")
        assert (await guest.post("hello")).status == 403


async def test_a_stop_says_so_to_requests_that_were_passed_on_in_their_own_words() -> None:
    async with (
        pair(wires=[Odd()]) as (one, two),
        dial_to(one) as asks,
        dial_to(two) as polls,
        dial_to(two) as streams,
    ):
        guest = Guest(one.node, asks, polls, "/odd/talk")
        await guest.open()
        other = Guest(one.node, asks, polls, "/odd/talk")
        await other.open()
        guest.ask(polls)
        other.ask(streams, "stream")
        await streams.answer(has_body=False)
        assert await streams.chunk() == b"0:,"
        await one.until(lambda: len(one.hosting.door._links) == 2)  # type: ignore[union-attr]
        await two.server.stop()
        assert guest.read(await polls.answer()) == ["x1001 the server stops"]
        assert await streams.rest() == b""  # it had begun: its client comes back for the rest
