"""A hub as a client meets it: this wire on the core, with a clock that a test moves."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from anywire.core.admission import Admitted, admit
from anywire.core.channel import Channel
from anywire.core.member import Member
from anywire.core.session import Session
from anywire.errors import CallFailed, Refused
from anywire.limits import Limits
from anywire.payload import Carrier
from anywire.wires.base import Answer, Hello
from anywire.wires.signalr import SignalR
from anywire.wires.signalr.machine import HANDSHAKE
from tests.core.support import Bench, TestTransport, running, turns

HUB = SignalR({"/hub": "chat"})
HAND = {"protocol": "json", "version": 1}


class Peer:
    """A client of the hub over one WebSocket; later transports are others."""

    def __init__(self, bench: Bench, session: Session, transport: TestTransport) -> None:
        self.bench = bench
        self.session = session
        self.transport = transport
        self._read = 0

    def say(self, *told: object) -> None:
        """Each in a message of its own."""
        for one in told:
            text = one if isinstance(one, str) else json.dumps(one)
            self.session.receive(f"{text}\x1e", self.bench.clock.now())

    def invoke(self, target: str, *args: object, id: str | None = None, **more: object) -> None:
        told = {"type": 1, "target": target, "arguments": args, **more}
        self.say(told if id is None else {**told, "invocationId": id})

    def heard(self) -> list[Any]:
        """What was said since the last call of this."""
        self.bench.flush()
        texts = [
            text
            for payload in self.transport.payloads[self._read :]
            for text in payload.data.decode().split("\x1e")
            if text
        ]
        self._read = len(self.transport.payloads)
        return [json.loads(text) for text in texts]

    def completions(self) -> list[tuple[str, Any]]:
        """Ids, and results or errors."""
        return [
            (one["invocationId"], one.get("error", one.get("result")))
            for one in self.heard()
            if one.get("type") == 3
        ]

    def cut(self) -> None:
        self.session.detached(self.transport, 1006, "", is_clean=False)


def asked(bench: Bench, path: str = "/hub", **options: Any) -> Hello:
    hello = bench.hello(**options.pop("query", {}))
    hello.path, hello.key, hello.time = path, bench.node.key, bench.clock.wall()
    hello.seed = hello.seed[::-1]  # the bytes that differ come first
    for name, value in options.items():
        setattr(hello, name, value)
    return hello


async def negotiated(bench: Bench, **query: str) -> dict[str, Any]:
    """What a negotiation is answered."""
    hello = asked(
        bench, "/hub/negotiate", carrier=Carrier.REPLY, query={"negotiateVersion": "1", **query}
    )
    answer = await admit(bench.node, HUB, hello)
    assert isinstance(answer, Answer)
    said = json.loads(answer.body)
    assert isinstance(said, dict)
    return said


async def dialed(bench: Bench, **query: str) -> Peer:
    """A WebSocket that has come in."""
    hello = asked(bench, query=query)
    found = await admit(bench.node, HUB, hello)
    assert isinstance(found, Admitted), found
    transport = TestTransport()
    session = bench.node.open(HUB, hello, found.opening, found.machine, found.user, transport)
    return Peer(bench, session, transport)


async def refused(bench: Bench, **query: str) -> int:
    """The status of one that has not."""
    found = await admit(bench.node, HUB, asked(bench, query=query))
    assert isinstance(found, Answer)
    return found.status


async def connected(bench: Bench, **query: str) -> Peer:
    """… and is in the hub."""
    peer = await dialed(bench, **query)
    peer.say(HAND)
    await turns()
    assert peer.heard() == [{}]
    return peer


async def stateful(bench: Bench) -> tuple[Peer, str]:
    """One with stateful reconnect, and its token."""
    said = await negotiated(bench, useStatefulReconnect="true")
    assert said["useStatefulReconnect"] is True
    token = said["connectionToken"]
    return await connected(bench, id=token), token


class Desk:
    """Handlers that wait, and streams that a test feeds; what they did, in order."""

    def __init__(self, channel: Channel) -> None:
        self.log: list[str] = []
        self.gate = asyncio.Event()

        @channel.on("Wait")
        async def wait(name: str) -> str:
            self.log.append(f"+{name}")
            await self.gate.wait()
            self.log.append(f"-{name}")
            return name

        @channel.on("Endless")
        async def endless(name: str) -> AsyncIterator[int]:
            self.log.append(f"+{name}")
            try:
                yield 0
                await asyncio.Event().wait()
            finally:
                self.log.append(f"!{name}")

        @channel.on("Echo")
        async def echo(value: Any) -> Any:
            return value

        @channel.on("Sum")
        async def total(numbers: AsyncIterator[int]) -> int:
            return sum([number async for number in numbers])


# --- order ----------------------------------------------------------------------------------------


async def test_who_types_during_a_stream_is_heard() -> None:
    async with running() as bench:
        desk = Desk(bench.channel("chat"))
        peer = await connected(bench)
        peer.invoke("Endless", "a", id="0", type=4)
        await turns()
        peer.invoke("Echo", "typing", id="1")
        await turns()
        assert peer.heard() == [
            {"type": 2, "invocationId": "0", "item": 0},
            {"type": 3, "invocationId": "1", "result": "typing"},
        ]
        peer.say({"type": 5, "invocationId": "0"})
        await turns()
        assert peer.completions() == [("0", None)]
        assert desk.log == ["+a", "!a"]
        assert not peer.session.streams


async def test_a_cancel_works_while_as_many_wait_as_may() -> None:
    async with running() as bench:
        desk = Desk(bench.channel("chat"))
        peer = await connected(bench)
        peer.invoke("Wait", "a", id="0")
        for n in range(1, 65):
            peer.invoke("Endless", str(n), id=str(n), type=4)
        peer.invoke("Echo", "x", id="65")
        assert peer.completions() == [("65", "busy: too many events wait; send fewer at once")]
        peer.say(*[{"type": 5, "invocationId": str(n)} for n in range(65)])
        await turns()
        assert peer.completions() == [(str(n), None) for n in range(65)]
        assert desk.log == ["+a"], "what was cancelled before its turn never runs"
        peer.invoke("Echo", "x", id="66")
        await turns()
        assert peer.completions() == [("66", "x")]
        assert not peer.session.streams


async def test_who_sends_more_than_may_wait_and_again_is_closed() -> None:
    async with running() as bench:
        Desk(bench.channel("chat"))
        peer = await connected(bench)
        for _ in range(65 + 256):
            peer.invoke("Wait", "a")
        assert not peer.session.has_ended
        peer.invoke("Wait", "a")
        assert peer.session.has_ended
        assert peer.transport.closed == (4429, "too many events wait for their handlers")
        assert peer.heard()[-1]["type"] == 7


# --- questions ------------------------------------------------------------------------------------


async def test_a_question_that_nobody_answers_times_out() -> None:
    async with running(limits=Limits(calls=2)) as bench:
        members: list[Member] = []
        channel = bench.channel("chat")

        @channel.join
        async def join(member: Member) -> None:
            members.append(member)

        peer = await connected(bench)
        asking = [asyncio.create_task(members[0].call("Ask", n, timeout=3)) for n in range(2)]
        await turns()
        with pytest.raises(CallFailed, match="busy"):
            await members[0].call("Ask", 3)
        assert [(one["target"], one["invocationId"]) for one in peer.heard()] == [
            ("Ask", "~1"),
            ("Ask", "~2"),
        ]
        bench.clock.move(3)
        for task in asking:
            with pytest.raises(CallFailed, match="timeout"):
                await task
        for n in range(9):  # late, and never asked
            peer.say({"type": 3, "invocationId": f"~{n}", "result": 1})
        assert not peer.session.has_ended
        assert len(peer.session.calls or ()) == 0


async def test_who_answers_only_after_its_own_call_has_returned_gets_a_time_out() -> None:
    async with running() as bench:
        channel = bench.channel("chat")

        @channel.on("AskMe")
        async def ask_me(member: Member) -> Any:
            return await member.call("Question", timeout=2)

        peer = await connected(bench)
        peer.invoke("AskMe", id="0")
        await turns()
        assert [one["invocationId"] for one in peer.heard()] == ["~1"]
        bench.clock.move(2)
        await turns()
        assert peer.completions() == [("0", "timeout: no answer within 2 s")]
        peer.say({"type": 3, "invocationId": "~1", "result": 1})
        peer.invoke("AskMe", id="1")
        await turns()
        peer.say({"type": 3, "invocationId": "~2", "result": "because"})
        await turns()
        assert peer.completions() == [("1", "because")]


# --- groups ---------------------------------------------------------------------------------------


async def test_names_are_what_their_bytes_are() -> None:
    """CVE-2026-114147: names that differ in case are others, whatever it costs to fold them."""
    async with running() as bench:
        channel = bench.channel("chat")

        @channel.on("Join")
        async def enter(member: Member, group: str) -> None:
            await member.enter(group)

        @channel.on("Tell")
        async def tell(group: str) -> None:
            await bench.node.room(f"chat/{group}").publish("told", group)

        groups = ["a", "A", "\u00e9", "e\u0301", "stra\u00dfe", "STRASSE", "\u212a", "k", "K"]
        peers = {group: await connected(bench) for group in groups}
        for group, peer in peers.items():
            peer.invoke("Join", group)
        await turns()
        for group in groups:
            peers["a"].invoke("Tell", group)
        await turns()
        for group, peer in peers.items():
            assert [one["arguments"] for one in peer.heard()] == [[group]]
        peers["a"].invoke("tell", "a", id="0")
        ((_, error),) = peers["a"].completions()
        assert error.startswith("unknown_event")


# --- uploads --------------------------------------------------------------------------------------


async def test_items_of_unknown_uploads_and_after_a_cancel_are_kept_nowhere() -> None:
    async with running() as bench:
        Desk(bench.channel("chat"))
        peer = await connected(bench)
        peer.invoke("Sum", id="0", streamIds=["1"])
        await turns()
        peer.say({"type": 2, "invocationId": "1", "item": 5})
        peer.say({"type": 5, "invocationId": "0"})
        await turns()
        for n in range(100):
            peer.say({"type": 2, "invocationId": "1", "item": 5})
            peer.say({"type": 2, "invocationId": f"x{n}", "item": 5})
            peer.say({"type": 3, "invocationId": f"x{n}"})
        assert peer.completions() == [("0", None)]
        session = peer.session
        assert not session.inboxes and not session.streams and not session.has_ended
        peer.invoke("Sum", id="2", streamIds=["1"])
        peer.say({"type": 2, "invocationId": "1", "item": 5}, {"type": 3, "invocationId": "1"})
        await turns()
        assert peer.completions() == [("2", 5)]


async def test_an_upload_that_runs_too_far_ahead_fails_its_method_alone() -> None:
    async with running(limits=Limits(stream_items=4)) as bench:
        desk = Desk(bench.channel("chat"))
        peer = await connected(bench)
        peer.invoke("Wait", "a", id="0")
        peer.invoke("Sum", id="1", streamIds=["2"])
        for _ in range(9):
            peer.say({"type": 2, "invocationId": "2", "item": 1})
        assert peer.heard() == []
        desk.gate.set()
        await turns()
        assert peer.completions() == [
            ("0", "a"),
            ("1", "busy: the upload is too far ahead of its handler"),
        ]


# --- the end --------------------------------------------------------------------------------------


async def test_what_is_no_message_closes_the_connection_and_says_why() -> None:
    async with running() as bench:
        Desk(bench.channel("chat"))
        peer, other = await connected(bench), await connected(bench)
        peer.say({"type": 1})
        assert peer.heard() == [
            {
                "type": 7,
                "error": "the arguments of an invocation are a list",
                "allowReconnect": True,
            }
        ]
        assert peer.transport.closed == (4400, "the arguments of an invocation are a list")
        assert list(bench.node.sessions.values()) == [other.session]


async def test_who_may_not_join_hears_it_as_the_answer_to_its_handshake() -> None:
    async with running() as bench:
        channel = bench.channel("chat")

        @channel.join
        async def join(member: Member) -> None:
            raise Refused("staff_only", "this hub is for staff")

        peer = await dialed(bench)
        peer.say(HAND)
        await turns()
        assert peer.heard() == [{"error": "staff_only: this hub is for staff"}]
        assert peer.transport.closed == (4403, "this hub is for staff")


# --- connections ----------------------------------------------------------------------------------


async def test_a_connection_has_the_id_that_was_given_away_and_begins_once() -> None:
    async with running() as bench:
        Desk(bench.channel("chat"))
        said = await negotiated(bench)
        token = said["connectionToken"]
        peer = await connected(bench, id=token)
        assert peer.session.id == said["connectionId"]
        assert await refused(bench, id=token) == 409
        assert await refused(bench, id=said["connectionId"]) == 404, "the id is no secret"
        peer.cut()
        assert peer.session.has_ended
        assert await refused(bench, id=token) == 404
        late = (await negotiated(bench))["connectionToken"]
        bench.clock.move(15.1)
        assert await refused(bench, id=late) == 404


# --- stateful reconnect ---------------------------------------------------------------------------


async def test_after_a_cut_both_say_what_the_other_does_not_have_and_calls_go_on() -> None:
    async with running() as bench:
        desk = Desk(bench.channel("chat"))
        peer, token = await stateful(bench)
        session = peer.session
        peer.invoke("Echo", "a", id="0")
        peer.invoke("Endless", "s", id="1", type=4)
        await turns()
        peer.invoke("Wait", "w", id="2")
        await turns()
        assert len(peer.heard()) == 2
        peer.say({"type": 8, "sequenceId": 1})  # it has the echo, and was cut before the item
        peer.cut()
        assert not session.has_ended
        desk.gate.set()
        await turns()

        again = await dialed(bench, id=token)
        assert again.session is session
        assert again.heard() == [{"type": 9, "sequenceId": 2}]
        again.invoke("Echo", "lost", id="9")  # before its Sequence: nothing counts
        again.say({"type": 9, "sequenceId": 3})
        again.invoke("Wait", "w", id="2")  # it repeats what was not acknowledged
        again.invoke("Echo", "new", id="3")
        await turns()
        assert again.heard() == [
            {"type": 2, "invocationId": "1", "item": 0},
            {"type": 3, "invocationId": "2", "result": "w"},
            {"type": 3, "invocationId": "3", "result": "new"},
        ]
        again.say({"type": 5, "invocationId": "1"})
        await turns()
        assert again.completions() == [("1", None)]
        assert desk.log == ["+s", "+w", "-w", "!s"]
        again.say({"type": 8, "sequenceId": 5})
        assert session.outbox.kept == 0 and not session.has_ended
        assert peer.transport.closed is None and again.transport.closed is None


async def test_who_was_cut_twice_before_it_spoke_loses_nothing() -> None:
    async with running() as bench:
        Desk(bench.channel("chat"))
        peer, token = await stateful(bench)
        peer.invoke("Echo", "a", id="0")
        await turns()
        peer.heard()
        for _ in range(3):
            peer.cut()
            peer = await dialed(bench, id=token)
            assert peer.heard() == [{"type": 9, "sequenceId": 1}]
        peer.say({"type": 9, "sequenceId": 2})
        assert peer.completions() == [("0", "a")]


async def test_a_connection_that_goes_by_requests_is_not_resumed_over_a_websocket() -> None:
    async with running() as bench:
        Desk(bench.channel("chat"))
        token = (await negotiated(bench, useStatefulReconnect="true"))["connectionToken"]
        hello = asked(bench, carrier=Carrier.POLL, query={"id": token})
        found = await admit(bench.node, HUB, hello)
        assert isinstance(found, Admitted)
        transport = TestTransport()
        bench.node.open(HUB, hello, found.opening, found.machine, found.user, transport)
        assert await refused(bench, id=token) == 404
        assert transport.closed is None


async def test_a_newer_connection_takes_over() -> None:
    async with running() as bench:
        Desk(bench.channel("chat"))
        peer, token = await stateful(bench)
        again = await dialed(bench, id=token)
        assert again.session is peer.session
        assert peer.transport.closed == (4409, "replaced by a newer connection")


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"type": 8, "sequenceId": 2}, "acknowledges what was never sent"),
        ({"type": 8, "sequenceId": 2**63}, "acknowledges what was never sent"),
        ({"type": 9, "sequenceId": 3}, "messages are missing before the first repeated one"),
        ({"type": 9, "sequenceId": 0}, "messages are missing before the first repeated one"),
    ],
)
async def test_who_lies_about_what_came_is_closed(told: object, reason: str) -> None:
    async with running() as bench:
        Desk(bench.channel("chat"))
        peer, _ = await stateful(bench)
        peer.invoke("Echo", "a", id="0")
        await turns()
        peer.heard()
        peer.say(told)
        assert peer.transport.closed == (4400, reason)
        assert bench.node.sessions == {}


async def test_who_says_again_what_came_harms_nobody() -> None:
    async with running() as bench:
        Desk(bench.channel("chat"))
        peer, _ = await stateful(bench)
        peer.invoke("Echo", "a", id="0")
        await turns()
        for _ in range(9):
            peer.say({"type": 8, "sequenceId": 0}, {"type": 8, "sequenceId": 1})
            peer.say({"type": 9, "sequenceId": 1})
            peer.invoke("Echo", "a", id="0")
        assert not peer.session.has_ended
        assert peer.completions() == [("0", "a")]


async def test_what_is_not_kept_any_more_ends_the_session_and_its_client_begins_anew() -> None:
    async with running(limits=Limits(kept_messages=2)) as bench:
        Desk(bench.channel("chat"))
        peer, token = await stateful(bench)
        for n in range(4):
            peer.invoke("Echo", n, id=str(n))
        await turns()
        peer.heard()
        peer.cut()
        again = await dialed(bench, id=token)
        again.say({"type": 9, "sequenceId": 5})
        (_, close) = again.heard()
        assert close["type"] == 7 and close["allowReconnect"] is True
        assert again.session.has_ended


async def test_a_session_whose_handshake_never_came_waits_for_nobody() -> None:
    async with running() as bench:
        Desk(bench.channel("chat"))
        token = (await negotiated(bench, useStatefulReconnect="true"))["connectionToken"]
        peer = await dialed(bench, id=token)
        bench.clock.move(HANDSHAKE)
        assert peer.session.has_ended and not bench.node.detached
        token = (await negotiated(bench, useStatefulReconnect="true"))["connectionToken"]
        peer = await dialed(bench, id=token)
        peer.cut()
        assert peer.session.has_ended
        assert await refused(bench, id=token) == 404


async def test_a_session_that_nobody_resumes_ends_in_time() -> None:
    async with running(limits=Limits(resume=5)) as bench:
        Desk(bench.channel("chat"))
        peer, token = await stateful(bench)
        peer.cut()
        bench.clock.move(4.9)
        assert not peer.session.has_ended
        bench.clock.move(0.1)
        assert peer.session.has_ended
        assert await refused(bench, id=token) == 404


async def test_a_client_that_says_goodbye_does_not_come_back() -> None:
    async with running() as bench:
        Desk(bench.channel("chat"))
        peer, token = await stateful(bench)
        peer.say({"type": 7})
        assert peer.session.has_ended and peer.transport.closed == (1000, "")
        assert await refused(bench, id=token) == 404


# --- signs of life --------------------------------------------------------------------------------


async def test_the_first_ping_is_as_early_as_the_others() -> None:
    async with running() as bench:
        Desk(bench.channel("chat"))
        wire = SignalR({"/hub": "chat"}, ping=1.0, timeout=5.0)
        hello = asked(bench)
        found = await admit(bench.node, wire, hello)
        assert isinstance(found, Admitted)
        transport = TestTransport()
        session = bench.node.open(wire, hello, found.opening, found.machine, found.user, transport)
        peer = Peer(bench, session, transport)
        peer.say(HAND)
        await turns()
        assert peer.heard() == [{}]
        for _ in range(4):
            bench.clock.move(1.0)
            assert peer.heard() == [{"type": 6}]
        bench.clock.move(1.0)
        assert session.has_ended and transport.is_aborted
