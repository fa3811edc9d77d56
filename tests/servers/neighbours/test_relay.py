"""Tests of anywire.servers.neighbours.relay: the socket is here, the session there."""

import asyncio
import json
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from anywire import Anywire
from anywire.brokers.local.dialogue import Dialogue
from anywire.core.clock import Deadlines
from anywire.core.node import Node
from anywire.errors import ProtocolError, Refused
from anywire.limits import Limits
from anywire.net.connection import Ping
from anywire.payload import Payload
from anywire.servers.neighbours import words
from anywire.servers.neighbours.relay import Relay, RelayedSocket, RelayTransport
from anywire.servers.neighbours.words import FromStranger
from anywire.transports.websocket import WebSocketTransport
from anywire.wires.base import Answer, Hello, Opening, User
from tests.contracts.transport import CHECKS, Check, Pair, Recorder, reading_can_be_paused
from tests.core.support import Bench, TestTransport, TestWire
from tests.servers.asgihost import Line, hosted, websocket
from tests.servers.neighbours.pair import call, dial_to, left, pair
from tests.servers.neighbours.test_forward import resume, said, tickets
from tests.transports.test_websocket import Accepting, Client


@asynccontextmanager
async def relayed(limits: Limits | None = None) -> AsyncIterator[Pair]:
    """The owner's transport, a link between two nodes, the other one's socket, and its client."""
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(now=loop.time, call_at=loop.call_at)
    sink, standing = Recorder(), set[Relay]()
    relay = Relay(standing)
    ours, theirs = socket.socketpair()

    def take(link: Dialogue[FromStranger], word: FromStranger) -> bool:
        transport.take(word)
        return False

    _, owner = await loop.create_unix_connection(
        lambda: Dialogue(words.from_stranger, take, lambda link: transport.lost()), sock=ours
    )
    _, stranger = await loop.create_unix_connection(
        lambda: Dialogue(words.from_owner, relay.take, relay.lost), sock=theirs
    )
    transport = RelayTransport(owner, loop.time)
    transport.attach(sink)
    owner.say(words.Accepted(None))
    await relay.begun
    relay.accepted(stranger, None)

    def accepted(writer: asyncio.Transport) -> None:
        there = WebSocketTransport(
            writer,
            buffer=memoryview(bytearray(65536)),
            now=loop.time,
            deadlines=deadlines,
            limits=limits or Limits(closing=0.2),
        )
        writer.set_protocol(there)
        there.attach(relay)
        relay.attach(there)

    listener = await loop.create_server(lambda: Accepting(accepted), "127.0.0.1", 0)
    name = listener.sockets[0].getsockname()
    client = Client(*await asyncio.open_connection(*name), None)
    try:
        yield Pair(transport, sink, client)
    finally:
        transport.abort()
        client.writer.transport.abort()
        listener.close()
        await sink.until(lambda: bool(sink.ends))
        assert not standing
        owner.close()
        deadlines.close()


@pytest.mark.parametrize(
    "check",
    [check for check in CHECKS if check is not reading_can_be_paused],
    ids=lambda check: check.__name__,
)
async def test_a_relayed_socket_is_a_transport(check: Check) -> None:
    async with relayed() as pair:
        await check(pair)


async def test_a_pause_reaches_the_socket() -> None:
    """In its own time: what was read before is still heard."""
    async with relayed() as pair:
        pair.transport.pause()
        pair.say("paused")
        assert await pair.peer.receive() == "paused"
        await pair.peer.send("waits")
        pair.say("still")
        assert await pair.peer.receive() == "still"
        assert pair.sink.messages == []
        pair.transport.resume()
        await pair.sink.until(lambda: pair.sink.messages == ["waits"])


async def test_a_sign_of_life_is_passed_on() -> None:
    async with relayed() as pair:
        assert pair.transport.beat()
        assert isinstance(pair.peer, Client)
        assert isinstance(await pair.peer.event(), Ping)
        await pair.sink.until(lambda: pair.sink.heards > 0)


# --- the two ends, without a socket ---------------------------------------------------------------


class Wire:
    """A link of a list."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.is_over = False
        self.is_closed = False
        self.choked: Callable[[bool], None] | None = None

    def say(self, word: object) -> None:
        self.said.append(word)

    def close(self) -> None:
        self.is_closed = True


def standing_relay() -> tuple[Relay, Wire, TestTransport]:
    link, transport = Wire(), TestTransport()
    relay = Relay(set())
    relay.take(link, words.Accepted("p"))  # type: ignore[arg-type]
    relay.accepted(link, "p")  # type: ignore[arg-type]
    relay.attach(transport)
    return relay, link, transport


async def test_reading_stops_while_the_owner_is_slow_or_wants_it_so() -> None:
    relay, link, transport = standing_relay()
    assert link.choked is not None
    link.choked(True)
    assert transport.is_paused
    relay.take(link, words.Paused())  # type: ignore[arg-type]
    link.choked(False)
    assert transport.is_paused
    relay.take(link, words.Resumed())  # type: ignore[arg-type]
    assert not transport.is_paused


async def test_a_link_that_is_slow_before_there_is_a_socket_pauses_nothing() -> None:
    relay, link = Relay(set()), Wire()
    relay.accepted(link, None)  # type: ignore[arg-type]
    assert link.choked is not None
    link.choked(True)


async def test_the_owner_is_told_once_the_client_has_taken_what_was_said() -> None:
    relay, link, transport = standing_relay()
    relay.take(link, words.Said(["a"]))  # type: ignore[arg-type]
    assert link.said == [words.Taken()]
    transport.is_stuck = True
    relay.take(link, words.Said(["b"]))  # type: ignore[arg-type]
    assert link.said == [words.Taken()]
    relay.writable()
    relay.writable()
    assert link.said == [words.Taken()] * 2


async def test_what_the_owner_said_before_the_socket_stood_is_not_lost() -> None:
    relay, link, transport = Relay(set()), Wire(), TestTransport()
    for word in (words.Accepted(None), words.Said(["a"]), words.Closed(4000, "b")):
        relay.take(link, word)  # type: ignore[arg-type]
    relay.accepted(link, None)  # type: ignore[arg-type]
    relay.attach(transport)
    assert [payload.data for payload in transport.payloads] == [b"a"]
    assert transport.closed == (4000, "b")


async def test_an_owner_that_went_away_before_the_socket_stood_is_told_to_the_client() -> None:
    relay, link, transport = Relay(set()), Wire(), TestTransport()
    relay.take(link, words.Accepted(None))  # type: ignore[arg-type]
    relay.lost(link)  # type: ignore[arg-type]
    link.is_over = True
    relay.accepted(link, None)  # type: ignore[arg-type]
    relay.attach(transport)
    assert transport.closed == (1012, "the owner of this session is gone")


async def test_an_owner_that_goes_away_without_an_answer_is_an_error() -> None:
    relay = Relay(set())
    relay.lost(Wire())  # type: ignore[arg-type]
    with pytest.raises(ConnectionError):
        await relay.begun


async def test_a_client_that_left_before_it_was_accepted_is_gone_at_the_owner() -> None:
    relay, link = Relay(set()), Wire()
    relay.accepted(link, None)  # type: ignore[arg-type]
    relay.abandon()
    assert link.said == [words.Gone(1006, "", is_clean=False)]
    assert link.is_closed


async def test_what_cannot_be_probed_there_is_not_said_to_have_been() -> None:
    link = Wire()
    transport = RelayTransport(link, lambda: 0.0, beats=False)  # type: ignore[arg-type]
    assert not transport.beat()
    assert link.said == []


async def test_an_end_is_told_once_and_nothing_is_said_or_heard_after_a_close() -> None:
    link, sink = Wire(), Recorder()
    transport = RelayTransport(link, lambda: 0.0)  # type: ignore[arg-type]
    transport.attach(sink)
    transport.close(4000, "enough")
    transport.close(4001, "again")
    transport.write([Payload.of("never").framed(transport.framing)])
    for word in (words.Said(["unheard"]), words.Heard(), words.Taken()):
        transport.take(word)
    transport.take(words.Gone(4000, "enough", is_clean=True))
    transport.lost()
    assert link.said == [words.Closed(4000, "enough")]
    assert (sink.messages, sink.heards, sink.writables) == ([], 0, 0)
    assert sink.ends == [(4000, "enough", True)]


async def test_a_sink_that_comes_after_the_close_hears_of_the_end_only() -> None:
    sink = Recorder()
    transport = RelayTransport(Wire(), lambda: 0.0)  # type: ignore[arg-type]
    transport.close(1001, "")
    transport.attach(sink)
    transport.take(words.Said(["unheard"]))
    transport.lost()
    assert (sink.messages, sink.ends) == ([], [(1006, "", False)])


async def test_a_sink_that_leaves_while_it_hears_messages_hears_no_more_of_them() -> None:
    class Leaving(Recorder):
        def receive(self, message: str | bytes, now: float) -> None:
            super().receive(message, now)
            transport.close(1000, "")

    sink = Leaving()
    transport = RelayTransport(Wire(), lambda: 0.0)  # type: ignore[arg-type]
    transport.attach(sink)
    transport.take(words.Said(["one", "two"]))
    assert sink.messages == ["one"]


async def test_words_that_belong_to_nothing_break_the_rules() -> None:
    relay, link = Relay(set()), Wire()
    with pytest.raises(ProtocolError, match="neither accepted nor denied"):
        relay.take(link, words.Beat())  # type: ignore[arg-type]
    relay, link, _ = standing_relay()
    with pytest.raises(ProtocolError, match="End is no part"):
        relay.take(link, words.End())  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="End is no part"):
        RelayTransport(link, lambda: 0.0).take(words.End())  # type: ignore[arg-type]


async def test_an_admission_that_fails_hangs_up(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(TestWire):
        def open(self, hello: Hello) -> Opening | Answer:
            raise KeyError("bug")

    async def never(hello: Hello) -> User:
        await asyncio.Event().wait()
        raise AssertionError

    bench, link = Bench(authenticate=never), Wire()
    RelayedSocket(bench.node, Broken(), bench.hello()).begin(link)  # type: ignore[arg-type]
    assert link.is_closed
    assert "KeyError" in caplog.text
    caplog.clear()
    link, gone = Wire(), Wire()
    RelayedSocket(bench.node, bench.wire, bench.hello()).begin(link)  # type: ignore[arg-type]
    left = RelayedSocket(bench.node, bench.wire, bench.hello())
    left.begin(gone)  # type: ignore[arg-type]
    left.lost()
    await bench.node.stop()
    assert link.is_closed
    assert not gone.is_closed
    assert link.said == gone.said == []
    assert caplog.text == ""


# --- under TLS ------------------------------------------------------------------------------------


async def test_under_tls_a_socket_that_resumes_elsewhere_is_relayed() -> None:
    shown: list[str] = []
    async with (
        pair(ssl=True, authenticate=tickets(shown)) as (one, two),
        left(one, "?ticket=1") as away,
    ):
        async with call(two, away.resuming(ticket="2"), said("a") + said("b")) as caller:
            welcome = await caller.hear("welcome")
            assert (welcome["resumed"], welcome["session"]) == (True, away.session)
            await caller.message("c")
            assert await caller.words(3) == ["a", "b", "c"]
            assert (two.server.connections, one.server.connections) == (1, 0)
            assert shown == ["1", "2"]
            await caller.goodbye(1000, "")
            await one.until(lambda: not one.node.sessions)
        counters = two.node.counters
        assert (counters.relayed, counters.handed_over, counters.requests) == (1, 0, 1)


async def test_nothing_is_lost_when_a_client_wanders_between_nodes_under_tls() -> None:
    async with pair(ssl=True) as houses, left(houses[0]) as away:
        heard: list[object] = []
        for turn in range(6):
            house = houses[turn % 2]
            async with call(house, away.resuming(), said(f"{turn}")) as caller:
                caller.seen = away.seen
                await caller.hear("welcome")
                await caller.message(f"{turn}+")
                heard += await caller.words(2)
                away.seen, away.token = caller.seen, caller.token
                caller.vanish()
                await houses[0].until(lambda: houses[0].node.detached)
        assert heard == [f"{turn}{more}" for turn in range(6) for more in ("", "+")]
        assert houses[1].node.counters.relayed == 3


async def test_close_codes_and_reasons_go_both_ways() -> None:
    async with pair(ssl=True) as (one, two), left(one) as away:
        async with call(two, away.resuming()) as caller:
            away.token = (await caller.hear("welcome"))["token"]
            await caller.goodbye(4321, "see you")
            await one.until(lambda: one.node.detached)  # it is no goodbye: it may resume
        async with call(two, away.resuming()) as caller:
            await caller.hear("welcome")
            [session] = one.node.sessions.values()
            session.close(4403, "enough")
            assert await caller.end() == (4403, "enough")
        await one.until(lambda: not one.hosting.door._links)  # type: ignore[union-attr]


async def test_a_user_who_is_another_one_gets_a_new_session_at_the_owner() -> None:
    async def authenticate(hello: Hello) -> User | None:
        who = hello.query["who"]
        if who == "eve":
            raise Refused("no_eve", "not you")
        return User(who, {"is": who})

    async with (
        pair(ssl=True, authenticate=authenticate) as (one, two),
        left(one, "?who=ana") as away,
    ):
        async with call(two, away.resuming(who="bo")) as caller:
            assert not (await caller.hear("welcome"))["resumed"]
            assert one.node.sessions[caller.session].user == User("bo", {"is": "bo"})
        async with call(two, away.resuming(who="eve")) as caller:
            assert (await caller.hear("refused"))["code"] == "no_eve"
            assert (await caller.end())[0] == 4401


async def test_the_owners_refusal_is_said_by_who_has_the_socket() -> None:
    async with pair(ssl=True) as (one, two), left(one) as away:
        one.node.is_stopping = True
        async with call(two, away.resuming()) as caller:
            assert (await caller.hear("bye"))["text"] == "the server stops"
            assert (await caller.end())[0] == 1001
        one.node.is_stopping = False
        await one.until(lambda: not one.hosting.door._links)  # type: ignore[union-attr]


async def test_a_slow_client_behind_a_relay_is_closed_and_buffers_stay_bounded() -> None:
    limits = Limits(outbox=200_000, kept_bytes=100_000, closing=0.3)
    async with pair(ssl=True, limits=limits) as (one, two), left(one) as away:
        async with call(two, away.resuming()) as caller:
            await caller.hear("welcome")
            [session] = one.node.sessions.values()
            door = one.hosting.door
            assert door is not None
            [link] = door._links
            assert link._transport is not None
            caller.deafen()
            most = said = 0
            while not session.has_ended:
                await one.node.room("talk").publish("message", "x" * 10_000)
                await asyncio.sleep(0)
                said += 1
                assert said < 5000
                assert session.transport is not None
                held = session.outbox.waiting + link._transport.get_write_buffer_size()
                most = max(most, held + session.transport.buffered)
            assert most < 200_000 + 3 * 64 * 1024
            caller.listen()
            assert await caller.end() == (4408, "too slow")


async def test_an_owner_that_dies_closes_its_relayed_sockets_so_that_they_come_back() -> None:
    async with pair(ssl=True) as (one, two), left(one) as away:
        async with call(two, away.resuming()) as caller:
            await caller.hear("welcome")
            door = one.hosting.door
            assert door is not None
            for link in door._links:
                link.cut("killed")
            assert await caller.end() == (1012, "the owner of this session is gone")
        await one.until(lambda: one.node.detached)
        async with call(two, away.resuming()) as caller:  # it did not die after all
            assert (await caller.hear("welcome"))["resumed"]


async def test_a_stranger_that_dies_leaves_a_session_that_waits() -> None:
    async with pair(ssl=True) as (one, two), left(one) as away:
        async with call(two, away.resuming()) as caller:
            await caller.hear("welcome")
            door = one.hosting.door
            assert door is not None
            for link in door._links:
                assert link._transport is not None
                link._transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            await one.until(lambda: one.node.detached)
        async with call(one, away.resuming()) as caller:
            assert (await caller.hear("welcome"))["resumed"]


async def test_an_owner_that_stops_says_goodbye_through_the_other_node() -> None:
    async with pair(ssl=True) as (one, two), left(one) as away:
        async with call(two, away.resuming()) as caller:
            await caller.hear("welcome")
            stopping = asyncio.create_task(one.server.stop())
            assert (await caller.hear("bye"))["text"] == "the server stops"
            assert await caller.end() == (1001, "the server stops")
            await stopping


async def test_a_server_that_stops_sends_relayed_clients_back_and_does_not_wait_for_them() -> None:
    async with pair(ssl=True) as (one, two), left(one) as away:
        async with call(two, away.resuming()) as caller:
            await caller.hear("welcome")
            async with asyncio.timeout(2):
                stopping = asyncio.create_task(two.server.stop())
                assert await caller.end() == (1012, "the server stops")
                caller.vanish()
                await stopping
        await one.until(lambda: one.node.detached)


async def test_a_bug_while_the_owner_opens_the_session_closes_the_relayed_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(self: Node, *args: object) -> None:
        raise KeyError("broken")

    async with pair(ssl=True) as (one, two), left(one) as away:
        monkeypatch.setattr(Node, "open", broken)
        async with call(two, away.resuming()) as caller:
            assert await caller.end() == (1011, "internal")
        monkeypatch.undo()


async def test_a_client_that_leaves_while_its_owner_thinks_leaves_no_session_attached() -> None:
    waiting, go = asyncio.Event(), asyncio.Event()

    async def authenticate(hello: Hello) -> User:
        if "slow" in hello.query:
            waiting.set()
            await go.wait()
        return User("ana")

    async with (
        pair(ssl=True, authenticate=authenticate) as (one, two),
        left(one) as away,
    ):
        async with dial_to(two) as dialed:
            dialed.send(resume(away).replace(b"?session", b"?slow=1&session"))
            await waiting.wait()
        go.set()
        await two.until(lambda: not two.server.connections)
        await two.until(lambda: not two.node.dispatcher.stepper.tasks)
        await one.until(lambda: one.node.detached)


async def test_an_owner_that_does_not_answer_in_time_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def silent(self: object, link: object) -> None:
        pass

    monkeypatch.setattr("anywire.servers.neighbours.relay.RelayedSocket.begin", silent)
    monkeypatch.setattr("anywire.servers.neighbours.forward.PATIENCE", 0.1)
    limits = Limits(authentication=0.0, closing=0.5)
    async with pair(ssl=True, limits=limits) as (one, two), left(one) as away:
        async with call(two, away.resuming()) as caller:
            assert (await caller.end())[0] == 1013
        await one.until(lambda: not one.hosting.door._links)  # type: ignore[union-attr]


# --- under an ASGI host ---------------------------------------------------------------------------


@asynccontextmanager
async def mounted(folder: str) -> AsyncIterator[tuple[Anywire, Anywire]]:
    """Two apps under hosts of queues, in one folder."""
    apps: list[Anywire] = []
    async with AsyncExitStack() as stack:
        for _ in range(2):
            app = Anywire(broker=f"local:{folder}")
            app.channel("talk")
            await stack.enter_async_context(app.lifespan())
            apps.append(app)
        yield apps[0], apps[1]


async def test_under_an_asgi_host_a_socket_is_relayed() -> None:
    def heard(line: Line, at: int) -> dict[str, object]:
        told: dict[str, object] = json.loads(line.said[at]["text"])
        return told

    def scope(query: str = "") -> dict[str, object]:
        scope = websocket("/ws")
        return {**scope, "subprotocols": ["anywire.json.1"], "query_string": query.encode()}

    with tempfile.TemporaryDirectory() as place:
        async with mounted(f"{place}/f") as (one, two):
            async with hosted(one) as first, hosted(two) as second:
                line = first(scope())
                line.tell("websocket.connect")
                await line.next(2)
                welcome = heard(line, 1)
                line.tell("websocket.disconnect", code=1006)
                await line.ended()
                query = f"session={welcome['session']}&resume={welcome['token']}&received=0"
                line = second(scope(query))
                line.tell("websocket.connect")
                await line.next(2)
                assert line.said[0]["type"] == "websocket.accept"
                assert heard(line, 1)["resumed"]
                assert two.node.counters.relayed == 1
                [session] = one.node.sessions.values()
                assert session.transport is not None
                assert not session.transport.beat()
                session.close(4403, "enough")
                await line.until(lambda: line.said[-1]["type"] == "websocket.close")
                assert (line.said[-1]["code"], line.said[-1]["reason"]) == (4403, "enough")
